"""The outer optimizer: Adam on the meta-loss, with a schedule, clipping, and a check that all is finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from metalstm.errors import DivergedError
from metalstm.runtime.processes import SINGLE, Processes


class OuterOptimizer:
    """One step of the outer loop, Finn et al. 2017, Algorithm 2, line 10, by Adam (Kingma & Ba 2015).

    Args:
        parameters: the meta-parameters.
        lr: the rate at the first step.
        schedule: `constant`, or `cosine` down to zero after `steps`.
        steps: of the whole run.
        clip_norm: largest norm of the meta-gradient, a longer one is shortened; None: as it is.
        learner: its name, for the message when it diverges.
        processes: that take the step together, each with the loss of its own tasks.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        schedule: str,
        steps: int,
        clip_norm: float | None,
        learner: str = "learner",
        processes: Processes = SINGLE,
    ) -> None:
        self.parameters = list(parameters)
        self.lr = lr
        self.schedule = schedule
        self.steps = steps
        self.clip_norm = clip_norm
        self.learner = learner
        self.processes = processes
        self.adam = torch.optim.Adam(self.parameters or [torch.zeros(0)], lr=lr)

    def rate(self, step: int) -> float:
        """Return the rate at step 1, 2, ..., a function of the step alone."""
        if self.schedule == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - 1) / self.steps))

    def jump(self, step: int) -> tuple[float, float] | None:
        """Return the rates of a step and of the next one, where another schedule goes on from there."""
        last = float(self.adam.param_groups[0]["lr"])
        if not self.parameters or math.isclose(last, self.rate(step), rel_tol=1e-9, abs_tol=1e-30):
            return None
        return last, self.rate(step + 1)

    def step(self, loss: Tensor, step: int, tasks: int = 1) -> None:
        """Back-propagates the meta-loss and updates the meta-parameters.

        Args:
            loss: the mean over this process's tasks.
            step: its number.
            tasks: how many these are.

        Raises:
            DivergedError: the loss or its gradient is not finite; the meta-parameters are as they were.
        """
        self.adam.zero_grad()
        loss.backward()
        loss = self.processes.average(loss, self.parameters, tasks)
        norm = nn.utils.clip_grad_norm_(self.parameters, math.inf if self.clip_norm is None else self.clip_norm)
        for name, value in (("meta-loss", loss), ("norm of the meta-gradient", norm)):
            if not torch.isfinite(value):
                raise DivergedError.of(
                    f"{self.learner}: the {name} is {value.item()} at step {step}",
                    "lower outer_lr or learner.inner_lr, or set clip_norm; the last checkpoint is finite",
                )
        for group in self.adam.param_groups:
            group["lr"] = self.rate(step)
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        return self.adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave; `ValueError` where Adam lacks a mean, or has one of another shape."""
        self.adam.load_state_dict(state)
        for parameter, entry in self.adam.state.items():
            for name, shape in (("step", ()), ("exp_avg", parameter.shape), ("exp_avg_sq", parameter.shape)):
                if getattr(entry.get(name), "shape", None) != shape:
                    raise ValueError(f"Adam's {name} is not of the shape {tuple(shape)}")
