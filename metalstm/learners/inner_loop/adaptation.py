"""Which weights of a model adapt in the inner loop, and where they start: all, the head, a head of prototypes.

Legend: T tasks, B examples, W features read, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from metalstm.learners.objective import Kind
from metalstm.learners.prototypes import distance_scale, prototypes
from metalstm.nn.base import HEAD, Model, Weights
from metalstm.tasks.examples import Examples


class Adaptable(ABC):
    """A model as the inner loop sees it.

    Args:
        model: its parameters are what the outer loop trains.
        new_outputs: of a head that starts at zero, for other classes than the model was trained on; None: its own head.
    """

    reads_again = True  # at every inner step, with the weights of that step

    def __init__(self, model: Model, new_outputs: int | None = None) -> None:
        self.model = model
        self.new_outputs = new_outputs

    def weight_shapes(self) -> dict[str, torch.Size]:
        """Shapes of the weights that adapt, without the tasks axis; 1 stands for a size known at test time only."""
        return {name: weight.shape for name, weight in self.model.named_parameters()}

    @abstractmethod
    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Any:
        """All that can be computed of examples before the first inner step, once for however many."""

    def start(self, encoded: Any, support: Examples) -> Weights:
        """Return the weights before adapting, [T, ...] each; `encoded` is of the support set."""
        tasks = len(support.inputs)
        start = self.model.start(tasks)
        if self.new_outputs is None:
            return start
        like, width = start["head_weight"], self.model.shape.feature_size
        head = {
            "head_weight": like.new_zeros(tasks, self.new_outputs, width),
            "head_bias": like.new_zeros(tasks, self.new_outputs),
        }
        return {**start, **head}

    @abstractmethod
    def read(self, encoded: Any, weights: Weights) -> Tensor:
        """Return the features that the head answers from, [T, B, W]."""

    @abstractmethod
    def outputs(self, encoded: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        """Return the outputs with these weights, [T, B, O]."""


class WholeModel(Adaptable):
    """Every weight adapts, from the model's own (Finn et al. 2017)."""

    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Any:
        return self.model.prepare(examples.inputs, examples.lengths)

    def read(self, encoded: Any, weights: Weights) -> Tensor:
        return self.model.read(encoded, weights)

    def outputs(self, encoded: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        return self.model.predict(encoded, weights, generator)


class HeadOnly(Adaptable):
    """The head adapts; everything is read once, with the model's own weights (Raghu et al. 2020, "ANIL")."""

    reads_again = False

    def weight_shapes(self) -> dict[str, torch.Size]:
        return {name: shape for name, shape in super().weight_shapes().items() if name in HEAD}

    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Tensor:
        return read_by_all(self.model, examples, generator)

    def start(self, encoded: Tensor, support: Examples) -> Weights:
        start = super().start(encoded, support)
        return {name: start[name] for name in HEAD}

    def read(self, encoded: Tensor, weights: Weights) -> Tensor:
        return encoded

    def outputs(self, encoded: Tensor, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        return self.model.head(encoded, weights)


class FromPrototypes(Adaptable):
    """Adapt as `inner` does, from a head made of the support set (Triantafillou et al. 2020, "Proto-MAML").

    Classification: w_k = 2 s p_k and b_k = -s |p_k|^2, which is a prototypical network, p_k the mean of class k's
    features, s `distance_scale`; so the number of ways is that of the task at hand. Regression has no classes: the mean
    target is added to the learned bias.

    Args:
        inner: what adapts; its model is without a head (`outputs=0`) in classification.
        kind: classification or regression.
        metric_scale: see `distance_scale`.
    """

    def __init__(self, inner: Adaptable, kind: Kind, metric_scale: float | None = None) -> None:
        super().__init__(inner.model)
        self.inner = inner
        self.reads_again = inner.reads_again
        self.kind = kind
        self.metric_scale = metric_scale

    def weight_shapes(self) -> dict[str, torch.Size]:
        shapes = self.inner.weight_shapes()
        if self.kind == "regression":
            return shapes
        width = self.model.shape.feature_size
        return shapes | {"head_weight": torch.Size((1, width)), "head_bias": torch.Size((1,))}

    def start(self, encoded: Any, support: Examples) -> Weights:
        start = self.inner.start(encoded, support)
        if self.kind == "regression":
            return {**start, "head_bias": start["head_bias"] + support.targets.mean(dim=1)}
        # With weights of its own: the inner gradient is partial, not through what the head was made of.
        features = self.inner.read(encoded, self.inner.start(encoded, support))
        centres = prototypes(features, support.targets, int(support.targets.max()) + 1)
        scale = distance_scale(features.shape[-1], self.metric_scale)
        return {**start, "head_weight": 2 * scale * centres, "head_bias": -scale * centres.square().sum(dim=-1)}

    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Any:
        return self.inner.encode(examples, generator)

    def read(self, encoded: Any, weights: Weights) -> Tensor:
        return self.inner.read(encoded, weights)

    def outputs(self, encoded: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        return self.inner.outputs(encoded, weights, generator)


def read_by_all(model: Model, examples: Examples, generator: torch.Generator | None = None) -> Tensor:
    """Return the features [T, B, W] of examples that all tasks read with the same weights: one large pass."""
    tasks, count = examples.inputs.shape[:2]
    if count == 0:
        like = next(model.parameters())
        return like.new_empty(tasks, 0, model.shape.feature_size)
    folded = examples.folded()
    features = model.read(model.prepare(folded.inputs, folded.lengths), model.start(1), generator)
    return features.view(tasks, count, -1)
