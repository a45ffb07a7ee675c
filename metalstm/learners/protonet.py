"""Prototypical networks (Snell et al. 2017), with an LSTM to encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from metalstm.config.fields import bounded
from metalstm.learners.base import LearnerSettings, Parts
from metalstm.learners.gradient_free import GradientFreeLearner
from metalstm.learners.objective import Kind
from metalstm.learners.prototypes import distance_scale, prototypes
from metalstm.nn.base import Model
from metalstm.nn.lstm import LSTMModel
from metalstm.registry import register


class Stored(NamedTuple):
    """Features [T, K, W] and targets of the K support examples of T tasks."""

    features: Tensor
    targets: Tensor


class ProtoNet(GradientFreeLearner):
    """A query's logits are its squared distances to the class means, with a minus, times `distance_scale`.

    In regression every support example is its own prototype, and a prediction is the mean of their targets, weighted by
    the softmax of those logits: kernel regression in the space of the features.

    Args:
        encoder, kind, outputs: see `GradientFreeLearner`.
        metric_scale: see `distance_scale`.
    """

    def __init__(self, encoder: Model, kind: Kind, outputs: int, metric_scale: float | None = None) -> None:
        super().__init__(encoder, kind, outputs)
        self.metric_scale = metric_scale
        if isinstance(encoder, LSTMModel) and encoder.shape.layer_norm:
            # Distances do not see what all features have in common: its gradient is rounding noise, of which Adam makes
            # steps as large as any, and who starts from the encoder would find the features far from zero.
            encoder.norm_bias.requires_grad_(False)

    def read(
        self,
        support: Tensor,
        targets: Tensor,
        adapted: Stored | None = None,
        generator: torch.Generator | None = None,
    ) -> Stored:
        if adapted is not None:
            support, targets = torch.cat((adapted.features, support), 1), torch.cat((adapted.targets, targets), 1)
        return Stored(support, targets)

    def predict(self, adapted: Stored, query: Tensor) -> Tensor:
        support, targets = adapted
        if support.shape[1] == 0:
            return query.new_zeros(*query.shape[:2], self.outputs)
        if self.kind == "regression":
            return self.logits(query, support).softmax(dim=-1) @ targets
        return self.logits(query, prototypes(support, targets, int(targets.max()) + 1))

    def logits(self, query: Tensor, centres: Tensor) -> Tensor:
        """[T, Q, W] and [T, N, W] to [T, Q, N]."""
        squared = query.square().sum(-1, keepdim=True) - 2 * query @ centres.mT + centres.square().sum(-1).unsqueeze(1)
        return -distance_scale(query.shape[-1], self.metric_scale) * squared


@register("learner", "protonet")
@dataclass(kw_only=True)
class ProtoNetSettings(LearnerSettings):
    """The settings of prototypical networks."""

    any_ways: ClassVar[bool] = True  # its answers are made of the support set
    steps_are_shots: ClassVar[bool] = True

    metric_scale: float | None = bounded(above=0)

    def build(self, parts: Parts) -> ProtoNet:
        return ProtoNet(parts.model(0), parts.kind, parts.outputs, **self.values())
