"""From settings to learners: each name makes the learner that it says, with what its settings give."""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from metalstm import registry
from metalstm.config.parse import train_settings
from metalstm.datasets.base import Dataset
from metalstm.datasets.series.sinusoid import SinusoidFamily
from metalstm.errors import ConfigError
from metalstm.experiment.build_learner import make_learner, model_shape
from metalstm.learners.base import Learner
from metalstm.learners.finetune import FineTune
from metalstm.learners.inner_loop.adaptation import FromPrototypes, HeadOnly, WholeModel
from metalstm.learners.lstm_optimizer import LSTMOptimizer
from metalstm.learners.maml import MAML
from metalstm.learners.mamlpp import MAMLPlusPlus
from metalstm.learners.memory import Memory
from metalstm.learners.op_lstm import OPLSTM
from metalstm.learners.protonet import ProtoNet
from metalstm.learners.reptile import Reptile
from metalstm.learners.scratch import Scratch
from metalstm.nn.lstm import ModelShape
from metalstm.nn.mlp import MLPShape
from metalstm.tasks.classes import SPLITS, ClassDataset

CLASSES = 9  # of meta-train
MADE = {
    "maml": (MAML, WholeModel),
    "fomaml": (MAML, WholeModel),
    "anil": (MAML, HeadOnly),
    "meta_sgd": (MAML, WholeModel),
    "mamlpp": (MAMLPlusPlus, WholeModel),
    "proto_maml": (MAML, FromPrototypes),
    "reptile": (Reptile, WholeModel),
    "memory": (Memory, None),
    "op_lstm": (OPLSTM, None),
    "lstm_optimizer": (LSTMOptimizer, WholeModel),
    "finetune": (FineTune, HeadOnly),
    "protonet": (ProtoNet, None),
    "scratch": (Scratch, WholeModel),
}


def glyphs() -> Dataset:
    images = torch.zeros(CLASSES, 4, 5, 6, dtype=torch.uint8)
    pools = {split: ClassDataset(images, [f"{split}{number}" for number in range(CLASSES)]) for split in SPLITS}
    return Dataset(
        **{"name": "glyphs", "fingerprint": "0", "description": "nothing"},
        **{"splits": pools, "steps": 5, "features": 6, "images": True},
    )


def waves() -> Dataset:
    family = SinusoidFamily(3)
    return Dataset(
        **{"name": "sinusoid", "fingerprint": "0", "description": "waves", "kind": "regression"},
        **{"splits": dict.fromkeys(SPLITS, family), "steps": 3, "features": 1, "outputs": 3},
    )


def settings(*overrides: str) -> Any:
    with initialize_config_module("metalstm.configs", version_base="1.3"):
        return train_settings(compose("train", list(overrides)))


def made(name: str, *overrides: str) -> Any:
    return make_learner(settings(f"learner={name}", "ways=4", "model.hidden_size=5", *overrides), glyphs())


def test_every_name_is_here() -> None:
    assert MADE.keys() == set(registry.names("learner"))


@pytest.mark.parametrize("name", MADE)
def test_the_learner_of_a_name(name: str) -> None:
    kind, adaptable = MADE[name]
    learner = made(name)
    assert type(learner) is kind
    found = learner.engine.adaptable if isinstance(learner, MAML) else getattr(learner, "adaptable", None)
    assert (None if found is None else type(found)) is adaptable
    assert all(weight.device == torch.device("cpu") for weight in learner.parameters())


@pytest.mark.parametrize(("adapts", "inner"), [("head", HeadOnly), ("all", WholeModel)])
def test_what_adapts_from_prototypes(adapts: str, inner: type) -> None:
    assert type(made("proto_maml", f"learner.adapts={adapts}").engine.adaptable.inner) is inner


@pytest.mark.parametrize("name", sorted(set(MADE) - {"scratch"}))
def test_the_seed_decides_the_start(name: str) -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed + 1)  # which it should not depend on
        state: dict[str, torch.Tensor] = made(name, f"seed={seed // 10}").state_dict()
        return state

    one, again, other = start(0), start(1), start(10)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


GIVEN: dict[str, dict[str, Any]] = {
    "maml": {"inner_steps": 7, "order": "first", "task_chunk_size": 3},
    "fomaml": {"inner_steps": 7},
    "anil": {"inner_steps": 7, "order": "first", "task_chunk_size": 3},
    "mamlpp": {"inner_steps": 7, "multi_step_until": 0.25, "second_order_from": 0.75},
    "proto_maml": {"inner_steps": 7, "order": "first"},
    "reptile": {"inner_steps": 7, "optimizer": "sgd", "inner_lr": 0.25, "inner_batch": 3},
    "memory": {"support": "sequential", "labels": "offset", "read": "state", "passes": 3},
    "op_lstm": {"inner_steps": 7},
    "lstm_optimizer": {"inner_steps": 7},
    "finetune": {"inner_steps": 7, "optimizer": "sgd"},
    "scratch": {"optimizer": "sgd"},
}


# Where a learner keeps a setting that it does not keep under its name.
KEPT_AS = {
    "inner_lr": "lr",
    "task_chunk_size": "computing.task_chunk_size",
    **{name: f"reading.{name}" for name in ("support", "labels", "read", "passes")},
}


@pytest.mark.parametrize("name", GIVEN)
def test_settings_arrive(name: str) -> None:
    learner = made(name, *(f"learner.{key}={value}" for key, value in GIVEN[name].items()))
    for key, value in GIVEN[name].items():
        assert attrgetter(KEPT_AS.get(key, key))(learner) == value, key
    default = made(name)
    assert any(attrgetter(KEPT_AS.get(key, key))(default) != value for key, value in GIVEN[name].items())


def test_order_of_first_order_maml() -> None:
    assert (made("fomaml").order, made("maml").order) == ("first", "second")


@pytest.mark.parametrize("name", ["finetune", "scratch"])
def test_rates_that_are_left_open(name: str) -> None:
    assert made(name).lr is None
    assert made(name, "learner.inner_lr=0.25").lr == 0.25


@pytest.mark.parametrize("name", ["maml", "anil", "mamlpp", "proto_maml"])
def test_precision(name: str) -> None:
    assert made(name).computing.precision is None
    assert made(name, "precision=bfloat16").computing.precision is torch.bfloat16


def test_heads_have_an_output_for_what_is_asked() -> None:
    assert made("maml").state_dict()["model.head_weight"].shape == (4, 4 * 5)
    assert made("finetune").state_dict()["model.head_weight"].shape == (CLASSES, 4 * 5)
    for name in ("protonet", "memory", "op_lstm"):
        assert made(name).encoder.shape == ModelShape(6, 0, 5, 1, 4, "last", True, 0.0)
    assert made("proto_maml").state_dict()["model.head_weight"].numel() == 0
    assert made("memory").head_bias.shape == (4,)
    assert list(made("scratch").parameters()) == []
    assert made("scratch").shape == ModelShape(6, 4, 5, 1, 4, "last", True, 0.0)


@pytest.mark.parametrize(
    ("name", "head"),
    [("maml", "model."), ("finetune", "model."), ("proto_maml", "model."), ("memory", ""), ("op_lstm", "matrix")],
)
def test_regression_predicts_numbers(name: str, head: str) -> None:
    learner: Learner = make_learner(settings(f"learner={name}", "dataset=sinusoid", "ways=1"), waves())
    weight = learner.state_dict()[head if head == "matrix" else f"{head}head_weight"]
    assert len(weight) == 3


def test_shapes_of_models() -> None:
    lstm = settings("ways=4", "model.layers=2", "model.pooling=mean", "model.layer_norm=false", "model.dropout=0.25")
    assert model_shape(lstm, glyphs()) == ModelShape(6, 4, 64, 2, 4, "mean", False, 0.25)
    assert model_shape(lstm, waves()) == ModelShape(1, 3, 64, 2, 1, "mean", False, 0.25)
    assert model_shape(settings("model.directions=2"), glyphs(), 0) == ModelShape(6, 0, 64, 1, 2, "last", True, 0.0)
    mlp = settings("model=mlp", "ways=4", "model.width=7", "model.layers=3", "model.dropout=0.25")
    assert model_shape(mlp, glyphs()) == MLPShape(5 * 6, 4, (7, 7, 7), 0.25)
    assert model_shape(mlp, waves(), 11) == MLPShape(3, 11, (7, 7, 7), 0.25)


def test_a_perceptron_reads_inputs_of_one_length() -> None:
    with pytest.raises(ConfigError, match="model=mlp, but inputs of dataset 'glyphs' have no fixed length"):
        model_shape(settings("model=mlp"), dataclasses.replace(glyphs(), steps=None))
