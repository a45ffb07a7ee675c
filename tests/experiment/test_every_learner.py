"""Every learner from the command line: trained, killed and resumed, and tested again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm import registry
from metalstm.runs import layout
from metalstm.runs.checkpoint import Checkpoints
from metalstm.tasks.sampler import seeded_generator
from metalstm.training.outer_optimizer import OuterOptimizer
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")
CPU = torch.device("cpu")
READERS = ("memory", "protonet")  # a step of theirs is one more shot
SHOTS, STEPS, INNER_STEPS = 2, 5, 2
MEASURED = ("value", "ci95", "curve", "baselines", "protocol", "tasks", "steps", "step_unit", "metric")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str, int], Callable[[], None]]:
    """`dying(owner, name, count)`: the `count`-th call of a function kills the run; returns what undoes it."""

    def prepare(owner: Any, name: str, count: int) -> Callable[[], None]:
        real = getattr(owner, name)
        calls: list[None] = []

        def counted(*given: Any, **named: Any) -> Any:
            calls.append(None)
            if len(calls) == count:
                raise Killed
            return real(*given, **named)

        monkeypatch.setattr(owner, name, counted)
        return lambda: monkeypatch.setattr(owner, name, real)

    return prepare


def settings_of(learner: str, dataset: str, **changes: Any) -> list[str]:
    """The overrides of a tiny run of a learner on a dataset."""
    given: dict[str, Any] = {"shots": SHOTS, "steps": STEPS, "learner.inner_steps": INNER_STEPS, "scratch_tasks": 0}
    if learner in READERS:
        given["learner.inner_steps"] = None
    if learner in ("memory", "op_lstm", "lstm_optimizer"):
        given["learner.hidden_size"] = 8
    if dataset == "sinusoid":
        given |= {"ways": 1, "dataset.classes": None}
    return [f"dataset={dataset}", f"learner={learner}", *tiny(**(given | changes))]


def leaves(nested: Any, where: str = "") -> dict[str, Any]:
    """Every value of nested containers, by its path."""
    if isinstance(nested, (dict, list, tuple)):
        items = nested.items() if isinstance(nested, dict) else enumerate(nested)
        return {path: leaf for key, value in items for path, leaf in leaves(value, f"{where}.{key}").items()}
    return {where: nested}


def assert_same_state(one: Any, other: Any) -> None:
    mine, yours = leaves(one), leaves(other)
    assert mine.keys() == yours.keys()
    for path, leaf in mine.items():
        if isinstance(leaf, torch.Tensor):
            assert leaf.dtype == yours[path].dtype
            assert torch.equal(leaf, yours[path]), path
        elif path != ".seconds":
            assert leaf == yours[path], path


def check_result(path: Path, result: dict[str, Any], learner: str, dataset: str) -> None:
    """What `result.json` and `per_task.json` say of a tiny run."""
    reads = learner in READERS
    assert (result["learner"], result["dataset"]) == (learner, dataset)
    assert (result["step_unit"], result["steps"]) == (("shot", SHOTS) if reads else ("step", INNER_STEPS))
    points = [point["step"] for point in result["curve"]]
    assert points == list(range(SHOTS + 1 if reads else 2 * INNER_STEPS + 1))
    assert result["value"] == result["curve"][result["steps"]]["value"]
    assert result["metric"] == ("mse" if dataset == "sinusoid" else "accuracy")
    assert result["seconds_per_step"] >= 0
    assert (result["protocol"]["picked_lr"] is not None) is (learner in ("finetune", "scratch"))
    assert result["training"]["steps"] == STEPS
    of_learner = json.loads((path / "per_task.json").read_text(encoding="utf-8"))["learner"]
    assert of_learner["at"] == points
    assert [len(row) for row in of_learner["values"]] == [6] * len(points)
    means = [sum(row) / len(row) for row in of_learner["values"]]
    assert means == pytest.approx([point["value"] for point in result["curve"]], abs=2e-6)
    assert len({tuple(row) for row in of_learner["values"]}) > 1  # something is learned, or at least changes


def check_metrics(path: Path, learner: str) -> None:
    """A line for each step, but for a learner that has nothing to train."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    trained = [line["step"] for line in lines if any(key.startswith("meta_train/") for key in line)]
    validated = [line["step"] for line in lines if any(key.startswith("meta_validation/") for key in line)]
    assert trained == ([] if learner == "scratch" else [1, 2, 3, 4, 5])
    assert validated == ([5] if learner == "scratch" else [3, 5])


@pytest.fixture
def lived(in_process: Any, dying: Any) -> Callable[..., tuple[Path, Path]]:
    """Trains a learner once through, and once killed and resumed; checks that they are the same, and gives both."""

    def live(learner: str, dataset: str, **changes: Any) -> tuple[Path, Path]:
        given = settings_of(learner, dataset, **changes)
        torch.manual_seed(1)
        ended = in_process("train", *given, "output_dir=whole")
        assert ended.code == 0, ended.err
        # In the middle of step 4, two steps after the checkpoint; or, with nothing to train, before the result.
        place = (layout, "write_json", 1) if learner == "scratch" else (OuterOptimizer, "step", 4)
        undo = dying(*place)
        torch.manual_seed(2)  # whoever draws from the global generator gives itself away
        with pytest.raises(Killed):
            in_process("train", *given, "output_dir=killed")
        undo()
        whole, killed = only_run(Path("whole")), only_run(Path("killed"))
        assert not (killed / "result.json").exists()
        before = Checkpoints(killed / "checkpoints", 1).newest("step", CPU)
        assert before.step == (STEPS if learner == "scratch" else 2)
        torch.manual_seed(3)
        ended = in_process("train", f"resume={killed}")
        assert ended.code == 0, ended.err
        for kind in ("step", "best"):
            one, other = (Checkpoints(path / "checkpoints", 1).newest(kind, CPU) for path in (whole, killed))
            assert one.step == other.step
            assert_same_state(one.state, other.state)
        after = Checkpoints(killed / "checkpoints", 1).newest("step", CPU).state["learner"]
        moved = [name for name, weight in before.state["learner"].items() if not torch.equal(weight, after[name])]
        assert bool(moved) is (learner != "scratch")
        assert (whole / "metrics.jsonl").read_bytes() == (killed / "metrics.jsonl").read_bytes()
        assert (whole / "per_task.json").read_bytes() == (killed / "per_task.json").read_bytes()
        results = [result_of(path) for path in (whole, killed)]
        for key in MEASURED:
            assert results[0][key] == results[1][key], key
        return whole, killed

    return live


@pytest.fixture
def tested_again(in_process: Any) -> Callable[[Path], None]:
    """Tests a run again, and checks that it gives what it gave."""

    def check(path: Path) -> None:
        torch.manual_seed(4)
        ended = in_process("test", f"run={path}", "tasks=6")
        assert ended.code == 0, ended.err
        (again,) = (path / "tests").iterdir()
        one, other = result_of(path), result_of(again)
        for key in MEASURED:
            if key != "baselines":
                assert one[key] == other[key], key
        curves = [json.loads((folder / "per_task.json").read_text(encoding="utf-8")) for folder in (path, again)]
        assert curves[0]["learner"] == curves[1]["learner"]

    return check


@pytest.mark.parametrize("dataset", ["glyphs", "sinusoid"])
@pytest.mark.parametrize("learner", registry.names("learner"))
def test_from_the_command_line(learner: str, dataset: str, lived: Any, tested_again: Any) -> None:
    whole, killed = lived(learner, dataset)
    assert whole.parent.name == f"{dataset}_{1 if dataset == 'sinusoid' else 3}w{SHOTS}s_{learner}"
    check_result(whole, result_of(whole), learner, dataset)
    check_metrics(whole, learner)
    tested_again(killed)


@pytest.mark.parametrize("learner", ["maml", "protonet"])
def test_with_a_perceptron(learner: str, lived: Any, tested_again: Any) -> None:
    changes = {"model": "mlp", "model.hidden_size": None, "model.width": 6, "scratch_tasks": 2}
    whole, killed = lived(learner, "glyphs", **changes)
    result = result_of(whole)
    assert result["model"] == "mlp"
    assert result["baselines"].keys() == {"scratch", "scratch_many_steps"}
    check_result(whole, result, learner, "glyphs")
    tested_again(killed)


VARIANTS: list[dict[str, Any]] = [
    {"learner": "memory", "learner.support": "sequential", "learner.labels": "offset", "learner.passes": 2},
    {"learner": "memory", "learner.read": "state", "learner.layers": 2, "model.dropout": 0.3},
    {"learner": "finetune", "learner.adapts": "all", "learner.optimizer": "sgd", "model.dropout": 0.3},
    {"learner": "reptile", "learner.optimizer": "sgd", "learner.inner_lr": 0.3, "learner.inner_batch": 3},
    {"learner": "mamlpp", "learner.engine": "higher", "learner.multi_step_until": 0.7},
]


@pytest.mark.parametrize("given", VARIANTS, ids=lambda given: " ".join(f"{value}" for value in given.values()))
def test_what_is_drawn_at_random_is_drawn_again(given: dict[str, Any], lived: Any) -> None:
    learner = given["learner"]
    whole, _ = lived(learner, "glyphs", **{name: value for name, value in given.items() if name != "learner"})
    check_result(whole, result_of(whole), learner, "glyphs")


@pytest.mark.parametrize(
    "given",
    [
        {"learner": "protonet", "model.dropout": 0.4},
        {"learner": "finetune", "model.dropout": 0.4},
        {"learner": "reptile", "learner.inner_batch": 3},
        {"learner": "memory", "learner.support": "sequential"},
    ],
    ids=str,
)
def test_something_is_drawn_in_training(given: dict[str, Any], in_process: Any) -> None:
    losses = []
    for seed in (0, 1):
        # The same tasks and the same start; what is drawn differs with the sampler's generator for the learner.
        with pytest.MonkeyPatch.context() as patch:
            if seed:
                patch.setattr("metalstm.tasks.sampler.TaskSampler.generator", generator_but_for_tasks)
            others = {name: value for name, value in given.items() if name != "learner"}
            ended = in_process("train", *settings_of(given["learner"], "glyphs", **others), f"output_dir=run{seed}")
        assert ended.code == 0, ended.err
        losses.append((only_run(Path(f"run{seed}")) / "metrics.jsonl").read_bytes())
    assert losses[0] != losses[1]


def generator_but_for_tasks(sampler: Any, step: int, purpose: str) -> torch.Generator:
    return seeded_generator(sampler.seed + (purpose != "tasks"), purpose, sampler.split, step)


@pytest.mark.parametrize("learner", sorted(set(registry.names("learner")) - {"scratch"}))
def test_more_steps_than_were_planned(learner: str, in_process: Any) -> None:
    ended = in_process("train", *settings_of(learner, "sinusoid", steps=2, outer_schedule="constant"))
    assert ended.code == 0, ended.err
    path = only_run(Path())
    ended = in_process("train", f"resume={path}", f"steps={STEPS}")
    assert ended.code == 0, ended.err
    check_result(path, result_of(path), learner, "sinusoid")
    assert [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()] == [
        *(1, 2, 2, 3, 3, 4, 5, 5),
    ]
