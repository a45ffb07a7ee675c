"""The inner loop's learning rates: fixed, or learned for every weight and step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class InnerRates(nn.Module):
    """`rates(step)` gives the rate of every weight, by name; a tensor that broadcasts over the tasks.

    Args:
        weights: the weights that the inner loop changes, by name.
        value: the rate, or where learned rates start.
        steps: inner steps that rates are learned for; later steps use the last one's.
        learned: a rate for every single weight and step, trained by the outer loop (Li et al. 2017, "Meta-SGD", and for
            each step Antoniou et al. 2019), instead of one number. What is trained is each rate's multiple of `value`,
            so that the outer optimizer's steps are in proportion to it; a rate may become negative.
    """

    def __init__(self, weights: Mapping[str, Tensor], value: float, steps: int, learned: bool) -> None:
        super().__init__()
        self.names = list(weights)
        self.value = value
        self.steps = steps
        self.learned = learned
        # A single number, which takes the precision of the weights that it meets.
        self.register_buffer("fixed", torch.tensor(value, dtype=torch.float64), persistent=False)
        if learned:
            for name, weight in weights.items():
                self.register_parameter(name, nn.Parameter(torch.ones(steps, *weight.shape)))

    def forward(self, step: int) -> dict[str, Tensor]:
        if self.learned:
            index = min(step, self.steps - 1)
            return {name: self.value * self.get_parameter(name)[index] for name in self.names}
        return dict.fromkeys(self.names, self.get_buffer("fixed"))
