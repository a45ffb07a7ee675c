"""From a learner's settings to the learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from metalstm.config.schema import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.text.tokens import rarity
from metalstm.errors import ConfigError
from metalstm.learners.base import Learner
from metalstm.learners.finetune import FineTune
from metalstm.learners.inner_loop.adaptation import Adaptable, FromPrototypes, HeadOnly, WholeModel
from metalstm.learners.lstm_optimizer import LSTMOptimizer
from metalstm.learners.maml import MAML
from metalstm.learners.mamlpp import MAMLPlusPlus
from metalstm.learners.memory import Memory
from metalstm.learners.op_lstm import OPLSTM
from metalstm.learners.protonet import ProtoNet
from metalstm.learners.reptile import Reptile
from metalstm.learners.scratch import Scratch
from metalstm.nn.base import Shape
from metalstm.nn.lstm import Directions, ModelShape
from metalstm.nn.mlp import MLPShape
from metalstm.tasks.classes import ClassPool
from metalstm.tasks.sampler import seeded_generator


class Parts:
    """What learners are made of."""

    def __init__(self, settings: TrainSettings, dataset: Dataset) -> None:
        self.settings = settings
        self.dataset = dataset
        self.kind = dataset.kind
        self.outputs = task_outputs(settings, dataset)
        self.generator = seeded_generator(settings.seed, "start")
        self.given = {name: value for name, value in vars(settings.learner).items() if name != "name"}
        self.precision = None if settings.precision == "float32" else getattr(torch, settings.precision)

    def model(self, outputs: int | None = None) -> Any:
        """A model; 0 outputs: one that only reads, None: those of a task."""
        return model_shape(self.settings, self.dataset, outputs).build(self.generator)

    def pretraining_outputs(self) -> int:
        """One for every meta-train class; those of a task where they mean the same in all tasks."""
        source = self.dataset.splits["meta_train"]
        return source.classes if isinstance(source, ClassPool) and not self.dataset.same_outputs else self.outputs


def maml(p: Parts) -> Learner:
    return MAML(WholeModel(p.model()), p.kind, precision=p.precision, **p.given)


def anil(p: Parts) -> Learner:
    return MAML(HeadOnly(p.model()), p.kind, precision=p.precision, **p.given)


def mamlpp(p: Parts) -> Learner:
    return MAMLPlusPlus(adaptable=WholeModel(p.model()), kind=p.kind, precision=p.precision, **p.given)


def proto_maml(p: Parts) -> Learner:
    model = p.model(0 if p.kind == "classification" else None)
    given = dict(p.given)
    inner: Adaptable = HeadOnly(model) if given.pop("adapts") == "head" else WholeModel(model)
    adaptable = FromPrototypes(inner, p.kind, given.pop("metric_scale"))
    return MAML(adaptable, p.kind, precision=p.precision, **given)


def reptile(p: Parts) -> Learner:
    return Reptile(p.model(), p.kind, **p.given)


def memory(p: Parts) -> Learner:
    return Memory(p.model(0), p.kind, p.outputs, generator=p.generator, **p.given)


def op_lstm(p: Parts) -> Learner:
    return OPLSTM(p.model(0), p.kind, p.outputs, generator=p.generator, **p.given)


def lstm_optimizer(p: Parts) -> Learner:
    return LSTMOptimizer(p.model(), p.kind, generator=p.generator, **p.given)


def finetune(p: Parts) -> Learner:
    model = p.model(p.pretraining_outputs())
    return FineTune(model, p.kind, p.outputs, same_outputs=p.dataset.same_outputs, **p.given)


def protonet(p: Parts) -> Learner:
    return ProtoNet(p.model(0), p.kind, p.outputs, **p.given)


def scratch(p: Parts) -> Learner:
    shape = model_shape(p.settings, p.dataset)
    learner = p.settings.learner
    return Scratch(shape, p.kind, learner.optimizer, learner.inner_lr, p.settings.seed)


MAKERS: dict[str, Callable[[Parts], Learner]] = {
    "maml": maml,
    "fomaml": maml,
    "meta_sgd": maml,
    "anil": anil,
    "mamlpp": mamlpp,
    "proto_maml": proto_maml,
    "reptile": reptile,
    "memory": memory,
    "op_lstm": op_lstm,
    "lstm_optimizer": lstm_optimizer,
    "finetune": finetune,
    "protonet": protonet,
    "scratch": scratch,
}


def make_learner(settings: TrainSettings, dataset: Dataset) -> Learner:
    """The learner that `learner.name` says, at its start."""
    return MAKERS[settings.learner.name](Parts(settings, dataset)).to(torch.device(settings.device))


def task_outputs(settings: TrainSettings, dataset: Dataset) -> int:
    """What a task asks for: its ways, or the numbers to predict."""
    return settings.ways if dataset.outputs is None else dataset.outputs


def model_shape(settings: TrainSettings, dataset: Dataset, outputs: int | None = None) -> Shape:
    """The shape of a model with so many outputs; None: those of a task.

    Raises:
        ConfigError: a perceptron for inputs of no fixed length, or for tokens.
    """
    model = settings.model
    outputs = task_outputs(settings, dataset) if outputs is None else outputs
    if model.name == "mlp":
        if dataset.steps is None:
            raise ConfigError.of(
                f"model=mlp, but inputs of dataset '{dataset.name}' have no fixed length", "use model=lstm"
            )
        if dataset.vocabulary:
            raise ConfigError.of(f"model=mlp, but inputs of dataset '{dataset.name}' are tokens", "use model=lstm")
        return MLPShape(dataset.steps * dataset.features, outputs, (model.width,) * model.layers, model.dropout)
    source = dataset.splits["meta_train"]
    rare = None
    if dataset.vocabulary and isinstance(source, ClassPool):
        rare = rarity(source.examples, source.counts, dataset.vocabulary)
    directions: Directions = model.directions or (4 if dataset.images else 1)
    return ModelShape(
        model.embedding_size if dataset.vocabulary else dataset.features,
        outputs,
        model.hidden_size,
        model.layers,
        directions,
        model.pooling,
        model.layer_norm,
        model.dropout,
        dataset.vocabulary,
        model.skip,
        rare,
        model.stack,
    )
