"""The meta-gradient by `torch.func`: `vmap` over tasks, `grad` inside, the LSTM cell by cell.

Legend: T tasks, B examples, S time steps, F features, H hidden, D directions, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional

from bench.problem import INNER_LR, Array, Problem
from bench.system import System

Weights = dict[str, Tensor]  # one task's, as in `Problem.weights`


class TorchFuncSystem(System):
    """The outer gradient is autograd's, which is faster here than a second `torch.func.grad`."""

    def __init__(self, problem: Problem) -> None:
        self.facts = {}
        self.case = problem.case
        self.start = {name: torch.from_numpy(weight).requires_grad_() for name, weight in problem.weights.items()}
        self.tasks = [torch.from_numpy(part) for part in problem[2:]]

    def step(self) -> None:
        for weight in self.start.values():
            weight.grad = None
        losses: Tensor = vmap(self.query_loss, in_dims=(None, 0, 0, 0, 0))(self.start, *self.tasks)
        losses.mean().backward()

    def query_loss(
        self, weights: Weights, support_inputs: Tensor, support_targets: Tensor, inputs: Tensor, targets: Tensor
    ) -> Tensor:
        """One task's loss on its query set after adapting: scalar."""
        for _ in range(self.case.inner_steps):
            gradients = grad(self.loss)(weights, support_inputs, support_targets)
            weights = {name: weight - INNER_LR * gradients[name] for name, weight in weights.items()}
        return self.loss(weights, inputs, targets)

    def loss(self, weights: Weights, inputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(self.predict(weights, inputs), targets)

    def predict(self, weights: Weights, inputs: Tensor) -> Tensor:
        """[B, S, F] to [B, O]."""
        states = readings(inputs, self.case.directions)
        for layer in range(self.case.layers):
            w_h = weights[f"weight_hh_l{layer}"].mT
            bias = weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
            projected = states.flatten(1, 2) @ weights[f"weight_ih_l{layer}"].mT + bias.unsqueeze(1)
            h = c = torch.zeros(())
            all_h: list[Tensor] = []
            for z in projected.unflatten(1, states.shape[1:3]).unbind(1):  # [D, B, 4H]
                i, f, g, o = (z + h @ w_h if all_h else z).chunk(4, dim=-1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                all_h.append(h)
            states = torch.stack(all_h, dim=1) if layer < self.case.layers - 1 else h
        features = states.transpose(0, 1).flatten(1)  # [B, D * H]
        return functional.linear(features, weights["head_weight"], weights["head_bias"])

    def gradients(self) -> dict[str, Array]:
        return {name: weight.grad.numpy().copy() for name, weight in self.start.items()}


def readings(inputs: Tensor, directions: int) -> Tensor:
    """[B, S, F] to [D, S, B, F]: rows down, and with 4 directions rows up, columns left to right and right to left."""
    rows = inputs.transpose(0, 1)
    if directions == 1:
        return rows.unsqueeze(0)
    columns = inputs.permute(2, 0, 1)
    return torch.stack((rows, rows.flip(0), columns, columns.flip(0)))
