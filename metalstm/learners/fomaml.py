"""First-order MAML: the inner gradients are constants to the outer one (Finn et al. 2017, section 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metalstm.errors import Problem
from metalstm.learners.maml import MAMLSettings
from metalstm.registry import register


@register("learner", "fomaml")
@dataclass(kw_only=True)
class FOMAMLSettings(MAMLSettings):
    """The settings of first-order MAML."""

    def problems(self, run: Any) -> Iterator[Problem]:
        if self.order != "first":
            yield Problem(
                f"learner.order={self.order}, but learner=fomaml is first order",
                "use learner=maml, or leave learner.order out",
            )
        yield from super().problems(run)
