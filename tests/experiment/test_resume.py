"""A run that was killed and resumed is, bit for bit, the run that was never killed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.runs.checkpoint import Checkpoints, read
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

CPU = torch.device("cpu")
LEARNING = "metalstm.training.meta_trainer:OuterOptimizer.step"  # in the middle of a step
RECORDED = "metalstm.training.meta_trainer:Progress.advance"  # after a step, before its validation
VALIDATING = "metalstm.training.meta_trainer:meta_evaluate"
VALIDATED = "metalstm.runs.checkpoint:Checkpoints.save"  # validations and checkpoints in turn
META_TEST = "metalstm.evaluation.meta_test:meta_evaluate"
BASELINES = "metalstm.evaluation.baselines:meta_evaluate"
RESULT = "metalstm.runs.layout:write_json"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def die() -> None:
    raise Killed


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with at(place, count)`: dies (or does something else) as a function is called for the `count`-th time."""

    def patched(place: str, count: int, happens: Callable[[], None] = die) -> Any:
        module, _, name = place.partition(":")
        *owners, attribute = name.split(".")
        owner: Any = importlib.import_module(module)
        for part in owners:
            owner = getattr(owner, part)
        real = getattr(owner, attribute)
        calls: list[None] = []

        def counted(*given: Any, **named: Any) -> Any:
            calls.append(None)
            if len(calls) == count:
                happens()
            return real(*given, **named)

        monkeypatch.setattr(owner, attribute, counted)
        return lambda: monkeypatch.setattr(owner, attribute, real)

    return patched


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two nested states differ, tensors compared bit for bit."""
    if isinstance(one, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [where]
    if isinstance(one, dict):
        found = [f"{where}.{key}" for key in one.keys() ^ other.keys()]
        shared = [key for key in one if key in other]
        return found + [path for key in shared for path in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, (list, tuple)) and len(one) == len(other):
        return [d for i, (a, b) in enumerate(zip(one, other, strict=True)) for d in differences(a, b, f"{where}.{i}")]
    return [] if one == other else [where]


def assert_same_run(one: Path, other: Path) -> None:
    states = [Checkpoints(path / "checkpoints", 1).newest("step", CPU) for path in (one, other)]
    assert states[0].step == states[1].step
    assert states[0].state["outer"]["state"]
    assert set(differences(states[0].state, states[1].state)) <= {".seconds"}
    best = [Checkpoints(path / "checkpoints", 1).newest("best", CPU) for path in (one, other)]
    assert best[0].step == best[1].step
    assert differences(best[0].state, best[1].state) == []
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    results = [result_of(path) for path in (one, other)]
    for key in ("value", "ci95", "curve", "baselines", "protocol", "tasks", "steps"):
        assert results[0][key] == results[1][key], key


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """The runs that were never killed, by their settings."""
    return {(): tmp_path_factory.mktemp("whole")}


@pytest.fixture
def compared(in_process: Any, at: Any, kept: Any) -> Callable[..., None]:
    """Trains once through; then again, dying at each of some places; and compares."""

    def run(arguments: list[str], *deaths: tuple[str, int]) -> None:
        key = tuple(arguments)
        if key not in kept:
            torch.manual_seed(1)
            folder = kept[()] / str(len(kept))
            ended = in_process("train", *arguments, f"output_dir={folder}")
            assert ended.code == 0, ended.err
            kept[key] = only_run(folder)
        resume: list[str] = []
        for place, count in deaths:
            torch.manual_seed(2)  # whoever draws from the global generator gives itself away
            restore = at(place, count)
            with pytest.raises(Killed):
                in_process("train", *(resume or [*arguments, "output_dir=broken"]))
            restore()
            resume = [f"resume={only_run(Path('broken'))}"]
        torch.manual_seed(3)
        ended = in_process("train", *resume)
        assert ended.code == 0, ended.err
        assert_same_run(kept[key], only_run(Path("broken")))

    return run


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"learner.order": "first"},
        {"learner.learned_rates": "none", "outer_schedule": "constant", "clip_norm": "null"},
        {"model.dropout": 0.4, "model.layers": 2, "model.directions": 2, "ema_decay": 0.7},
        {"learner.engine": "higher", "meta_batch_size": 1},
        {"dataset": "sinusoid", "dataset.classes": None, "ways": 1, "shots": 5},
        {"seed": 7, "keep_checkpoints": 1, "checkpoint_every": 3},
    ],
    ids=str,
)
def test_killed_in_a_step(given: dict[str, Any], compared: Any) -> None:
    compared(tiny(scratch_tasks=0, **given), (LEARNING, 5))


@pytest.mark.parametrize(
    ("place", "count"),
    [
        (LEARNING, 1),  # before anything was learned
        (RECORDED, 1),  # before the first checkpoint
        (RECORDED, 4),
        (RECORDED, 6),
        (VALIDATING, 1),
        (VALIDATING, 2),  # of the last step
        *((VALIDATED, number) for number in range(1, 5)),
        (META_TEST, 1),
        (BASELINES, 3),
        (RESULT, 1),
    ],
)
def test_killed_anywhere(place: str, count: int, compared: Any) -> None:
    compared(tiny(test_steps=3, curve_steps=3, scratch_tasks=2 if place == BASELINES else 0), (place, count))


def test_killed_again_and_again(compared: Any) -> None:
    # Counted anew in each process: at step 3, then in steps 3, 4, 5 (first of the process after resuming at 2), ...
    compared(tiny(scratch_tasks=0), (LEARNING, 3), (RECORDED, 2), (VALIDATING, 1), (VALIDATING, 2), (META_TEST, 1))


def test_more_steps(
    in_process: Any,
) -> None:
    given = tiny(scratch_tasks=0, outer_schedule="constant")
    assert in_process("train", *given, "output_dir=short").code == 0
    short = only_run(Path("short"))
    ended = in_process("train", f"resume={short}", "steps=9", "checkpoint_every=5", "test_tasks=5")
    assert ended.code == 0, ended.err
    assert "changed: steps from 6 to 9" in ended.out
    config = (short / "config.yaml").read_text(encoding="utf-8")
    assert "\nsteps: 9\n" in config
    assert "\ncheckpoint_every: 5\n" in config
    assert "\nresume: null\n" in config
    assert in_process("train", *tiny(scratch_tasks=0, outer_schedule="constant", steps=9), "output_dir=long").code == 0
    long = only_run(Path("long"))
    states = [read(path / "checkpoints" / "step_00000009", CPU).state for path in (short, long)]
    assert set(differences(*states)) <= {".seconds"}
    assert (short / "metrics.jsonl").read_bytes() == (long / "metrics.jsonl").read_bytes()
    assert (result_of(short)["training"]["steps"], result_of(short)["tasks"]) == (9, 5)


@pytest.mark.parametrize("kind", ["step", "best"])
def test_what_cannot_be_gone_on_with_stays_as_it_is(
    kind: str,
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(scratch_tasks=0)).code == 0
    path = only_run(Path("outputs"))
    last = read(path / "checkpoints" / "step_00000006", CPU)
    checkpoints = Checkpoints(path / "checkpoints", 2)
    checkpoints.save(kind, 6, last.state | {"learner": {}})  # whole, but of no learner
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.suffix in (".json", ".yaml")}
    assert "result.json" in before
    ended = in_process("train", f"resume={path}", "steps=9")
    assert ended.code == 4, ended.err
    assert "does not fit the run's config" in ended.err
    assert {name: (path / name).read_bytes() for name in before if (path / name).exists()} == before


def test_a_run_older_than_a_setting_goes_on_as_it_was(
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(scratch_tasks=0), "output_dir=old").code == 0
    run = only_run(Path("old"))
    config = (run / "config.yaml").read_text(encoding="utf-8")
    for line in ("  stack: 1\n", "ema_decay: null\n", "logger: none\n"):
        assert line in config
        config = config.replace(line, "")
    (run / "config.yaml").write_text(config, encoding="utf-8")
    ended = in_process("train", f"resume={run}", "steps=7")
    assert ended.code == 0, ended.err
    assert "  stack: 1\n" in (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("  hidden_size: ", "  size: "), encoding="utf-8")
    ended = in_process("train", f"resume={run}", "steps=8")
    assert ended.code == 2
    assert "model.hidden_size has no value" in ended.err
