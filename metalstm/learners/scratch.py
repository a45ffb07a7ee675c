"""The same LSTM from a random start: what a task costs without meta-learning.

Legend: T tasks, Q query examples, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from metalstm.learners.objective import Kind, task_loss
from metalstm.nn.model import LSTMModel, ModelShape
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import seeded_generator


class Scratch:
    """Trains a randomly started LSTM on the support set alone, every task of a batch from a start of its own.

    Args:
        shape: of the model, the same as the learner's that it is compared with.
        kind: classification or regression.
        optimizer: `sgd`, as the inner loop's, or `adam`.
        lr: its rate.
        seed: of the starts; the t-th task of a batch has the t-th start.
    """

    def __init__(self, shape: ModelShape, kind: Kind, optimizer: Literal["sgd", "adam"], lr: float, seed: int) -> None:
        self.shape = shape
        self.kind = kind
        self.optimizer = optimizer
        self.lr = lr
        self.seed = seed

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """Query predictions after each number of gradient steps in `at` (ascending): [len(at), T, Q, O]."""
        device = tasks.support.inputs.device
        models = [
            LSTMModel(self.shape, seeded_generator(self.seed, "scratch", task)).to(device)
            for task in range(tasks.tasks)
        ]
        weights = {
            name: torch.stack([model.get_parameter(name).detach() for model in models]).requires_grad_()
            for name, _ in models[0].named_parameters()
        }
        model = models[0]
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        optimizer = kinds[self.optimizer](list(weights.values()), lr=self.lr)
        support, query = (model.prepare(examples.inputs, examples.lengths) for examples in tasks)
        predictions = []
        for step in range(max(at) + 1):
            if step in at:
                with torch.no_grad():
                    predictions.append(model.answer(query, weights))
            if step < max(at):
                optimizer.zero_grad()
                with torch.enable_grad():
                    # Summed, not averaged: the tasks share no weight, so each takes its own step.
                    task_loss(self.kind, model.answer(support, weights), tasks.support.targets).sum().backward()
                optimizer.step()
        return torch.stack(predictions)
