"""The meta-gradient as users of the library `higher` write it: `torch.nn.LSTM`, one task after the other."""

from __future__ import annotations

import higher
import torch
from torch.nn import functional

from bench.problem import INNER_LR, Array, Problem
from bench.system import System
from bench.with_metalstm import model_shape
from metalstm.nn.torch_lstm import PlainModel, to_plain


class HigherSystem(System):
    def __init__(self, problem: Problem) -> None:
        self.facts = {}
        self.problem = problem
        shape = model_shape(problem)
        weights = {name: torch.from_numpy(weight) for name, weight in problem.weights.items()}
        self.model = PlainModel.of(shape, weights)
        self.support = torch.from_numpy(problem.support_inputs), torch.from_numpy(problem.support_targets)
        self.query = torch.from_numpy(problem.query_inputs), torch.from_numpy(problem.query_targets)

    def step(self) -> None:
        self.model.zero_grad()
        tasks = zip(*self.support, *self.query, strict=True)
        for support_inputs, support_targets, query_inputs, query_targets in tasks:
            inner = torch.optim.SGD(self.model.parameters(), lr=INNER_LR)
            with higher.innerloop_ctx(self.model, inner, copy_initial_weights=False) as (fast, inner_sgd):
                for _ in range(self.problem.case.inner_steps):
                    inner_sgd.step(functional.cross_entropy(fast(support_inputs), support_targets))
                query_loss = functional.cross_entropy(fast(query_inputs), query_targets)
                (query_loss / self.problem.case.tasks).backward()

    def gradients(self) -> dict[str, Array]:
        """Written into metalstm's shapes through `to_plain`, whose results are views."""
        collected = {name: torch.zeros(weight.shape) for name, weight in self.problem.weights.items()}
        views = to_plain(self.model.shape, collected)
        for name, weight in self.model.named_parameters():
            views[name].copy_(weight.grad)
        return {name: gradient.numpy() for name, gradient in collected.items()}
