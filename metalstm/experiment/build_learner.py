"""From a run's settings and its data to the learner."""

from __future__ import annotations

import torch

from metalstm.config.schema import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.text.tokens import rarity
from metalstm.learners.base import Learner, Parts
from metalstm.nn.base import Inputs, Shape
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import seeded_generator


def make_learner(settings: TrainSettings, dataset: Dataset) -> Learner:
    """Make the learner that `learner.name` says, at its start."""
    source, outputs = dataset.splits["meta_train"], task_outputs(settings, dataset)
    parts = Parts(
        kind=dataset.kind,
        shape=lambda outputs: model_shape(settings, dataset, outputs),
        outputs=outputs,
        pretraining_outputs=(
            source.classes if isinstance(source, ClassDataset) and not dataset.same_outputs else outputs
        ),
        same_outputs=dataset.same_outputs,
        seed=settings.seed,
        generator=seeded_generator(settings.seed, "start"),
        precision=None if settings.precision == "float32" else getattr(torch, settings.precision),
    )
    learner: Learner = settings.learner.build(parts)
    return learner.to(torch.device(settings.device))


def task_outputs(settings: TrainSettings, dataset: Dataset) -> int:
    """Return what a task asks for: its ways, or the numbers to predict."""
    return settings.ways if dataset.outputs is None else dataset.outputs


def inputs_of(dataset: Dataset) -> Inputs:
    """Return what a model must know of a dataset's inputs, but for how rare their tokens are."""
    return Inputs(dataset.name, dataset.steps, dataset.features, dataset.images, dataset.vocabulary, None)


def model_shape(settings: TrainSettings, dataset: Dataset, outputs: int | None = None) -> Shape:
    """Return the shape of a model with so many outputs; None: those of a task.

    Raises:
        ConfigError: the model cannot read the inputs.
    """
    inputs = inputs_of(dataset)
    source = dataset.splits["meta_train"]
    if dataset.vocabulary and isinstance(source, ClassDataset):
        inputs = inputs._replace(rarity=rarity(source.examples, source.counts, dataset.vocabulary))
    shape: Shape = settings.model.shape(inputs, task_outputs(settings, dataset) if outputs is None else outputs)
    return shape
