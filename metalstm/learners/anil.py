"""ANIL: MAML whose inner loop changes the head alone (Raghu et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from metalstm.config.fields import one_of
from metalstm.learners.base import Parts
from metalstm.learners.inner_loop.adaptation import HeadOnly
from metalstm.learners.maml import MAML, ByGradientSettings
from metalstm.registry import register


@register("learner", "anil")
@dataclass(kw_only=True)
class ANILSettings(ByGradientSettings):
    """The settings of ANIL."""

    order: str = one_of("first", "second")

    def build(self, parts: Parts) -> MAML:
        return MAML(HeadOnly(parts.model()), **self.inner_loop(parts))
