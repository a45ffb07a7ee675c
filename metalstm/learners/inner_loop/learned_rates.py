"""The inner loop's learning rates: fixed, or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

# Which weights and steps share a learned rate: none is learned; each weight has one for all steps (Li et al. 2017,
# "Meta-SGD"), or one for each step; each tensor of weights has one for each step (Antoniou et al. 2019, "MAML++").
LearnedRates = Literal["none", "per_parameter", "per_parameter_per_step", "per_layer_per_step"]


class InnerRates(nn.Module):
    """`rates(step)` gives the rate of every weight, by name; a tensor that broadcasts over the tasks.

    Args:
        shapes: of the weights that the inner loop changes, by name.
        value: the rate, or where learned rates start.
        steps: inner steps that rates are learned for; later steps use the last one's.
        learned: which rates the outer loop trains. What is trained is each rate's multiple of `value`, so that the
            outer optimizer's steps are in proportion to it; a rate may become negative.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], value: float, steps: int, learned: LearnedRates) -> None:
        super().__init__()
        self.names = list(shapes)
        self.value = value
        self.steps = 1 if learned == "per_parameter" else steps
        self.learned = learned
        # A single number, which takes the precision of the weights that it meets.
        self.register_buffer("fixed", torch.tensor(value, dtype=torch.float64), persistent=False)
        if learned != "none":
            for name, shape in shapes.items():
                each = (1,) * len(shape) if learned == "per_layer_per_step" else tuple(shape)
                self.register_parameter(name, nn.Parameter(torch.ones(self.steps, *each)))

    def forward(self, step: int) -> dict[str, Tensor]:
        if self.learned == "none":
            return dict.fromkeys(self.names, self.get_buffer("fixed"))
        index = min(step, self.steps - 1)
        return {name: self.value * self.get_parameter(name)[index] for name in self.names}
