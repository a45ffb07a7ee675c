"""Any `nn.Module` as a model: every task with weights of its own, and MAML's meta-gradient as `higher` has it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metalstm.errors import ConfigError
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML, Computing
from metalstm.nn.base import Inputs
from metalstm.nn.module import ModuleModel, ModuleSettings, ModuleShape
from support.commands import only_run, result_of, tiny
from support.learners import FEATURES, OUTPUTS, STEPS, gradient, make_tasks
from support.tensors import difference, randomise


class LastOfGRU(nn.Module):
    """A GRU of two layers, read at its last step."""

    def __init__(self, features: int, hidden: int = 5) -> None:
        super().__init__()
        self.gru = nn.GRU(features, hidden, 2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.gru(inputs)[0][:, -1]


class Convolutions(nn.Module):
    """Two convolutions over an image's rows and columns, with a norm and a buffer."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.GroupNorm(1, 3), nn.Tanh(), nn.Conv2d(3, 2, 3))
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("shift", torch.tensor(0.25))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.dropout(self.layers(inputs.unsqueeze(1) - self.shift).flatten(1))


MODULES = {"gru": partial(LastOfGRU, FEATURES), "convolutions": Convolutions}
WIDTHS = {"gru": 5, "convolutions": 2 * (STEPS - 2) * (FEATURES - 2)}
each_module = pytest.mark.parametrize("name", MODULES)


def made(name: str, outputs: int = OUTPUTS["classification"], make: Any = None) -> ModuleModel:
    """A model in which no weight is equal to another of its tensor."""
    generator = torch.Generator().manual_seed(3)
    shape = ModuleShape(make or MODULES[name], STEPS, FEATURES, outputs, WIDTHS[name])
    model = ModuleModel(shape, generator)
    randomise(model, 0.4, generator)
    return model.double()


@each_module
@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("learned_rates", ["none", "per_parameter_per_step"])
def test_meta_gradient_is_that_of_higher(name: str, order: str, learned_rates: str) -> None:
    tasks, found = make_tasks(), []
    for engine in ("batched", "higher"):
        learner = MAML(
            WholeModel(made(name)), "classification", 3, 0.3, learned_rates, order, Computing(engine=engine)
        ).double()
        found.append(gradient(learner, learner.meta_loss(tasks).loss))
    assert found[0].keys() == found[1].keys()
    assert len(found[0]) >= 6
    assert difference(found[0].values(), found[1].values()) < 1e-10


@each_module
def test_every_task_has_weights_of_its_own(name: str) -> None:
    model = made(name)
    inputs = torch.randn(3, 4, STEPS, FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    weights = {
        key: weight + torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        for key, weight in model.start(3).items()
    }
    outputs = model(inputs, weights=weights)
    for task in range(3):
        own = model.of_module({key: value[task] for key, value in weights.items()})
        module = MODULES[name]().double()
        module.load_state_dict(own, strict=False)
        head = weights["head_weight"][task], weights["head_bias"][task]
        want = nn.functional.linear(module(inputs[task]), *head)
        torch.testing.assert_close(outputs[task], want, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(outputs[0], outputs[1])


def test_the_start_comes_from_the_generator_alone() -> None:
    shape = ModuleShape(MODULES["gru"], STEPS, FEATURES, 3, 5)
    before = torch.random.get_rng_state()
    models = [shape.build(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [model.get_parameter("gru__weight_ih_l0") for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_dropout_within_the_module_goes_by_the_generator() -> None:
    model = made("convolutions", make=partial(Convolutions, 0.5))
    inputs = torch.ones(2, 6, STEPS, FEATURES, dtype=torch.float64)
    prepared, weights = model.prepare(inputs), model.start(2)
    drawn = [model.read(prepared, weights, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0][0], drawn[0][1])  # tasks draw masks of their own
    without = model.read(prepared, weights, None)
    assert torch.equal(without, model.read(prepared, weights, None))
    assert not (without == 0).any()
    assert 0.3 < float((drawn[0] == 0).double().mean()) < 0.7


def test_its_memory_is_measured() -> None:
    model = made("gru")
    small, large = (
        model.bytes_of_pass(model.size_of(torch.zeros(1, count, STEPS, FEATURES)), "once") for count in (1, 9)
    )
    assert large == 9 * small > 0
    longer = model.bytes_of_pass(model.size_of(torch.zeros(1, 1, 4 * STEPS, FEATURES)), "once")
    assert 3 * small < longer < 5 * small


class Settings(ModuleSettings):
    """Of a module that a test gives."""

    def __init__(self, make: Any) -> None:
        super().__init__(name="mine", make=None, dropout=0.0)
        self.given = make

    def module(self, **task: int) -> nn.Module:
        return self.given()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Linear(9, 3), "model=mine does not read inputs [2, 5, 4]: RuntimeError"),
        (lambda: nn.Linear(4, 3), "model=mine reads inputs [2, 5, 4] into (2, 5, 3), not [2, features]"),
        (lambda: nn.GRU(4, 3), "into tuple, not [2, features]"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(20, 3), nn.BatchNorm1d(3)),
            "model=mine changes its buffers as it reads, such as running statistics of batch norm",
        ),
    ],
)
def test_modules_that_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings(make).shape(Inputs("glyphs", STEPS, FEATURES, True, 0, None), 3)
    assert said in str(error.value)
    assert error.value.problems[0].fix


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (Inputs("folder", None, 4, False, 0, None), "have no fixed length"),
        (Inputs("clinc150", 5, 4, False, 99, None), "are tokens"),
    ],
)
def test_inputs_that_are_refused(inputs: Inputs, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings(MODULES["gru"]).shape(inputs, 3)


@pytest.mark.parametrize("make", [None, "no_such_module:f", "torch.nn:NoSuchLayer", "torch.nn", ":"])
def test_what_is_no_function(make: str | None) -> None:
    settings = ModuleSettings(name="module", make=make, dropout=0.0)
    with pytest.raises(ConfigError, match=r"give model\.make="):
        settings.shape(Inputs("glyphs", STEPS, FEATURES, True, 0, None), 3)


@pytest.mark.parametrize("learner", ["maml", "anil", "proto_maml", "reptile", "protonet", "memory", "finetune"])
def test_learners_of_a_module(learner: str, in_process: Any, no_figures: None) -> None:
    """By its dotted path, and with a plugin that has the file."""
    Path(f"net_of_{learner}.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, features, steps):\n"
        "        super().__init__()\n"
        "        self.gru = nn.GRU(features, 6, batch_first=True)\n"
        "    def forward(self, inputs):\n"
        "        return self.gru(inputs)[0].mean(dim=1)\n"
    )
    changes: dict[str, Any] = {"model.hidden_size": None}
    if learner in ("memory", "protonet"):
        changes["learner.inner_steps"] = None
    given = [
        *tiny(**changes),
        f"learner={learner}",
        "model=module",
        f"model.make=net_of_{learner}:Net",
        f"plugins=[net_of_{learner}]",
    ]
    ended = in_process("train", *given)
    assert ended.code == 0, ended.err
    run = only_run(Path("outputs"))
    assert 0 <= result_of(run)["value"] <= 1
    ended = in_process("test", f"run={run.absolute()}", "tasks=4")
    assert ended.code == 0, ended.err
