"""Meta-SGD: MAML with a learned rate for every weight, the same at every step (Li et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from metalstm.learners.maml import MAMLSettings
from metalstm.registry import register


@register("learner", "meta_sgd")
@dataclass(kw_only=True)
class MetaSGDSettings(MAMLSettings):
    """The settings of Meta-SGD."""
