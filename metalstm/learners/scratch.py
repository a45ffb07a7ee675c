"""The same model from a random start: what a task costs without meta-learning.

Legend: T tasks, Q query examples, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metalstm.learners.adaptable import WholeModel
from metalstm.learners.base import Learner, Outcome
from metalstm.learners.fitting import Optimizer, fitted_curve
from metalstm.learners.objective import Kind
from metalstm.nn.base import Shape
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import seeded_generator


class Scratch(Learner):
    """Trains a randomly started model on the support set alone, every task of a batch from a start of its own.

    It has no meta-parameters: there is nothing to meta-train.

    Args:
        shape: of the model, the same as the learner's that it is compared with.
        kind: classification or regression.
        optimizer: `sgd`, as the inner loop's, or `adam`.
        lr: its rate; None: see `fit`.
        seed: of the starts; the t-th task of a batch has the t-th start.
    """

    def __init__(self, shape: Shape, kind: Kind, optimizer: Optimizer, lr: float | None, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.kind = kind
        self.optimizer = optimizer
        self.lr = lr
        self.seed = seed

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> Outcome:
        return Outcome(torch.zeros(()), {})

    @torch.no_grad()
    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        device = tasks.support.inputs.device
        models = [
            self.shape.build(seeded_generator(self.seed, "scratch", task)).to(device) for task in range(tasks.tasks)
        ]
        names = [name for name, _ in models[0].named_parameters()]
        start = {name: torch.stack([model.get_parameter(name) for model in models]) for name in names}
        return fitted_curve(WholeModel(models[0]), self.kind, self.optimizer, self.lr, tasks, at, start)
