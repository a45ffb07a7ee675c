"""Proto-MAML: MAML from a head made of class means (Triantafillou et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metalstm.config.fields import bounded, one_of
from metalstm.learners.base import Parts
from metalstm.learners.inner_loop.adaptation import Adaptable, FromPrototypes, HeadOnly, WholeModel
from metalstm.learners.maml import MAML, ByGradientSettings
from metalstm.registry import register


@register("learner", "proto_maml")
@dataclass(kw_only=True)
class ProtoMAMLSettings(ByGradientSettings):
    """The settings of Proto-MAML."""

    any_ways: ClassVar[bool] = True  # its answers are made of the support set

    adapts: str = one_of("head", "all")
    metric_scale: float | None = bounded(above=0)
    order: str = one_of("first", "second")
    gradient_checkpointing: bool

    def build(self, parts: Parts) -> MAML:
        model = parts.model(0 if parts.kind == "classification" else None)
        given = self.inner_loop(parts)
        inner: Adaptable = HeadOnly(model) if given.pop("adapts") == "head" else WholeModel(model)
        adaptable = FromPrototypes(inner, parts.kind, given.pop("metric_scale"))
        return MAML(adaptable, **given)
