"""A meta-batch a few tasks at a time, where all at once would take more than the memory budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metalstm.learners.base import Learner, MetaLoss
from metalstm.runtime.budget import BUDGET
from metalstm.tasks.examples import TaskBatch


def meta_loss(
    learner: Learner, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0
) -> MetaLoss:
    """`learner.meta_loss`, of as many tasks at a time as the budget holds."""
    at_a_time = BUDGET.share(tasks.tasks, tasks.tasks * learner.bytes_in_training(tasks))
    return in_parts(lambda part: learner.meta_loss(part, generator, progress), learner, tasks, at_a_time)


def in_parts(
    meta_loss_of: Callable[[TaskBatch], MetaLoss], learner: Learner, tasks: TaskBatch, at_a_time: int
) -> MetaLoss:
    """Return a meta-loss that is a mean over tasks, with the graph of `at_a_time` tasks in memory.

    Take each part's gradient and free its graph; the gradient of the loss returned is the mean of theirs.
    """
    if at_a_time >= tasks.tasks:
        return meta_loss_of(tasks)
    parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    losses, metrics = [], []
    for part in tasks.split(at_a_time):
        outcome = meta_loss_of(part)
        share = outcome.loss * (part.tasks / tasks.tasks)
        if share.requires_grad:
            add_gradients(share, parameters, total)
        losses.append(share.detach())
        metrics.append(outcome.metrics)
    pull = sum(
        ((parameter - parameter.detach()) * gradient).sum()
        for parameter, gradient in zip(parameters, total, strict=True)
    )
    joined = {name: torch.cat([part[name] for part in metrics]) for name in metrics[0]}
    return MetaLoss(torch.stack(losses).sum() + pull, joined)


def add_gradients(loss: Tensor, parameters: Sequence[Tensor], total: Sequence[Tensor]) -> None:
    """Back-propagates the loss of a part of the tasks, and adds its gradients to those of the other parts."""
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for sum_, gradient in zip(total, gradients, strict=True):
        if gradient is not None:
            sum_ += gradient
