"""A learner, a model and a dataset of one's own: copy this package, rename it, and replace what is in it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from metalstm.datasets.files.reader import Example, Reader
from metalstm.learners.objective import task_loss, task_metrics
from metalstm.nn.module import ModuleSettings
from torch import Tensor, nn

from metalstm import (
    Dataset,
    DatasetSettings,
    Examples,
    Learner,
    LearnerSettings,
    MetaLoss,
    Parts,
    TaskBatch,
    bounded,
    class_pools,
    dataset_of,
    one_of,
    register,
)


class Nearest(Learner):
    """Predict the class whose mean of features is nearest, by a distance whose scale is meta-learned."""

    def __init__(self, encoder: Any, ways: int, scale: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.ways = ways
        self.scale = nn.Parameter(torch.tensor(scale))

    def features(self, examples: Examples) -> Tensor:  # [T, B, W]
        prepared = self.encoder.prepare(examples.inputs, examples.lengths)
        features: Tensor = self.encoder.read(prepared, self.encoder.start(len(examples.inputs)))
        return features

    def adapt(self, support: Examples, steps: int, adapted: Tensor | None = None) -> Iterator[Tensor]:
        features = self.features(support)
        of_class = nn.functional.one_hot(support.targets, self.ways).to(features)  # [T, K, ways]
        means = of_class.mT @ features / of_class.sum(dim=1).unsqueeze(2)
        yield torch.zeros_like(means)  # before the first shot no class is nearer than another
        for _ in range(steps):
            yield means

    def encode(self, query: Examples) -> Tensor:
        return self.features(query)

    def predict(self, adapted: Tensor, query: Tensor) -> Tensor:
        return -self.scale * torch.cdist(query, adapted).square()

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        *_, means = self.adapt(tasks.support, 1)
        outputs = self.predict(means, self.encode(tasks.query))
        losses = task_loss("classification", outputs, tasks.query.targets)
        return MetaLoss(losses.mean(), task_metrics("classification", losses, outputs, tasks.query.targets))


@register("learner", "example_nearest")
@dataclass(kw_only=True)
class NearestSettings(LearnerSettings):
    """The nearest class mean, with a scale that is learned."""

    any_ways = True  # its answers are made of the support set
    trains_inner_loop = False

    inner_steps: int = bounded(minimum=1, default=1, help="the first one learns all")
    scale: float = bounded(above=0, default=20.0, help="of squared distances, at the start")

    def build(self, parts: Parts) -> Nearest:
        return Nearest(parts.model(0), parts.outputs, self.scale)


class Pooled(nn.Module):
    """A GRU whose states are pooled over time."""

    def __init__(self, features: int, width: int, pooling: str) -> None:
        super().__init__()
        self.gru = nn.GRU(features, width, batch_first=True)
        self.pooling = pooling

    def forward(self, inputs: Tensor) -> Tensor:
        states: Tensor = self.gru(inputs)[0]
        return states.mean(dim=1) if self.pooling == "mean" else states[:, -1]


@register("model", "example_gru")
@dataclass(kw_only=True)
class GRUSettings(ModuleSettings):
    """A GRU, pooled over time."""

    make: str | None = None  # `module` below stands for it
    dropout: float = bounded(minimum=0, below=1, default=0.0, help="before the head")
    width: int = bounded(minimum=1, default=16, help="hidden units")
    pooling: str = one_of("mean", "last", default="mean", help="mean | last: of the states")

    def module(self, **task: int) -> nn.Module:
        return Pooled(task["features"], self.width, self.pooling)


@register("dataset", "example_tones")
@dataclass(kw_only=True)
class TonesSettings(DatasetSettings):
    """Sine tones with noise: a class is a frequency. Reads .npy files of 40 samples."""

    classes: int = bounded(minimum=30, default=60, help="frequencies, over all splits")
    noise: float = bounded(minimum=0, default=0.1, help="its standard deviation")

    def load(self) -> Dataset:
        generator = torch.Generator().manual_seed(0)
        tones = torch.sin(torch.linspace(0.1, 2.0, self.classes).unsqueeze(1) * torch.arange(40.0))
        pairs = [
            (tone + self.noise * torch.randn(40, generator=generator), f"tone{number:03}")
            for number, tone in enumerate(tones)
            for _ in range(20)
        ]
        dataset = dataset_of("example_tones", class_pools(pairs, name="example_tones"))
        return Dataset(**(vars(dataset) | {"reader": Reader("tables", read_samples)}))


def read_samples(data: bytes) -> list[Example]:
    """Return the one example of a .npy file, for `metalstm-adapt`."""
    values = torch.from_numpy(np.load(io.BytesIO(data), allow_pickle=False)).float().reshape(-1, 1)
    if values.shape != (40, 1):
        raise ValueError(f"it has {len(values)} samples, not 40")
    return [Example(None, values)]
