"""A search without its processes: what becomes of each trial, and of a search that is killed at any moment."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalstm.errors import CheckpointError, ConfigError, DataError, Interrupted
from metalstm.runtime.signals import Interruption
from metalstm.sweeps.search import summary, trials
from metalstm.sweeps.search.plan import Plan, keep_plan
from metalstm.sweeps.search.process import Validations
from metalstm.sweeps.search.space import parse
from metalstm.sweeps.search.study import COMPLETE_FIRST, Study, TrialUnderWay, Tried
from metalstm.sweeps.search.trials import Search

STEPS = 40
SPACES = ["lr=tag(log,interval(1e-4,1))", "size=range(8,65,8)"]


class Killed(BaseException):
    """Of the search, by SIGKILL: nothing is done after it."""


class Scripted:
    """In the place of a trial's process: what it writes is given by a script, number and settings to values and code.

    A value is written each time that it is asked whether it has ended; and a resumed one goes on where it was.
    """

    script: Callable[[int, list[str]], tuple[list[float], int, str]]
    started: list[str]
    stopped: list[str]

    def __init__(self, path: Path, settings: list[str]) -> None:
        Scripted.started.append(path.name)
        path.mkdir(exist_ok=True)
        self.path = path
        self.values, self.code, self.said = Scripted.script(int(path.name[-3:]), settings)
        file = path / "metrics.jsonl"
        self.written = len(file.read_text().splitlines()) if file.exists() else 0

    def ended(self) -> int | None:
        if self.written == len(self.values):
            return self.code
        record = {"step": 10 * (self.written + 1), "meta_validation/mse": self.values[self.written]}
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record | {"meta_validation/mse_ci95": 0.1}) + "\n")
        self.written += 1
        return None

    def stop(self) -> None:
        Scripted.stopped.append(self.path.name)

    def why(self) -> str:
        return self.said


def falling(number: int, settings: list[str]) -> tuple[list[float], int, str]:
    """Every trial is a little worse than the last one, but in time for no one to be pruned."""
    return [4.0 + number / 100 - step / 10 for step in range(4)], 0, ""


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    monkeypatch.setattr(trials, "TrialProcess", Scripted)
    monkeypatch.setattr(trials, "LOOK_EVERY", 0)
    Scripted.script = staticmethod(falling)
    Scripted.started, Scripted.stopped = [], []
    return Scripted


def searched(folder: Path, count: int, after: Callable[[Tried], None] = lambda one: None) -> Study:
    folder.mkdir(exist_ok=True)
    plan = Plan(*parse(["steps=40", *SPACES]))
    study = Study(folder, plan.spaces, "minimize", 0, {"lr": 0.01, "size": 16})
    with Interruption() as interruption:
        Search(folder, plan, study, lambda overrides: STEPS, interruption).run(count, after)
    return study


def test_as_many_trials_as_asked_for(tmp_path: Path, scripted: Any) -> None:
    given: list[list[str]] = []

    def script(number: int, settings: list[str]) -> tuple[list[float], int, str]:
        given.append(settings)
        return falling(number, settings)

    scripted.script = script
    study = searched(tmp_path, 12)
    assert scripted.started == [f"trial_{number:03d}" for number in range(12)]
    over = study.over()
    assert [one.number for one in over] == list(range(12))
    assert over[0].settings == {"lr": 0.01, "size": 16}
    assert given[0] == ["steps=40", "lr=0.01", "size=16", "test_tasks=0"]
    assert len({json.dumps(one.settings) for one in over}) == 12
    first = over[0]
    assert (first.state, first.value, first.step, first.reason) == ("complete", 3.7, 40, None)
    assert study.best() == first
    searched(tmp_path, 12)
    assert len(scripted.started) == 12  # nothing is left to do
    searched(tmp_path, 13)
    assert scripted.started[12:] == ["trial_012"]


def test_the_best_meta_validation_counts(tmp_path: Path, scripted: Any) -> None:
    scripted.script = lambda number, settings: ([3.0, 1.0, float("nan"), 2.0], 0, "")
    (one,) = searched(tmp_path, 1).over()
    assert (one.value, one.step) == (1.0, 20)
    scripted.script = lambda number, settings: ([float("nan")] * 4, 0, "")
    assert searched(tmp_path, 2).over()[1].reason == "meta-validation is not finite"


def test_a_planted_bad_trial_is_pruned(tmp_path: Path, scripted: Any) -> None:
    """Not before there is something to compare with; and one that is bad at its last step is over anyway."""

    def script(number: int, settings: list[str]) -> tuple[list[float], int, str]:
        bad = {1: [9.0] * 4, COMPLETE_FIRST + 1: [1.0, 9.0, 9.0, 9.0], COMPLETE_FIRST + 2: [4.0, 9.0, 9.0, 9.0]}
        bad[COMPLETE_FIRST + 3] = [9.0] * 4
        return bad.get(number, falling(number, settings)[0]), 0, ""

    scripted.script = script
    over = searched(tmp_path, COMPLETE_FIRST + 4).over()
    assert over[1].state == "complete"
    last = over[COMPLETE_FIRST + 1 :]
    # By its best so far, so that one good moment keeps a trial; at the last step there is nothing to save.
    assert [(one.state, one.step) for one in last] == [("complete", 10), ("pruned", 20), ("pruned", 10)]
    assert scripted.stopped.count(f"trial_{COMPLETE_FIRST + 3:03d}") == 2  # as soon as that, and at the end
    lines = (tmp_path / f"trial_{COMPLETE_FIRST + 3:03d}" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 1
    assert last[1].value is None


def test_one_that_diverges_does_not_stop_the_search(tmp_path: Path, scripted: Any) -> None:
    def script(number: int, settings: list[str]) -> tuple[list[float], int, str]:
        if number == 1:
            return [4.0], 5, "maml: the norm of the meta-gradient is inf at step 3"
        if number == 2:
            return [], -11, "ended by SIGSEGV"
        if number == 3:
            return [4.0], 1, "ZeroDivisionError: division by zero"
        return falling(number, settings)

    scripted.script = script
    study = searched(tmp_path, 5)
    states = [(one.state, one.reason) for one in study.over()]
    assert states == [
        ("complete", None),
        ("failed", "maml: the norm of the meta-gradient is inf at step 3"),
        ("failed", "ended by SIGSEGV"),
        ("failed", "ZeroDivisionError: division by zero"),
        ("complete", None),
    ]
    # Of those that Optuna calls pruned it learns to leave such settings alone; of those that failed, nothing.
    assert [trial.state.name for trial in study.study.trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "COMPLETE"]


def test_settings_that_do_not_go_together_fail_their_trial(tmp_path: Path, scripted: Any) -> None:
    plan = Plan(*parse(SPACES))
    study = Study(tmp_path, plan.spaces, "minimize", 0, None)

    def steps(overrides: list[str]) -> int:
        raise ConfigError.of("a and b", "not both")

    with Interruption() as interruption:
        Search(tmp_path, plan, study, steps, interruption).run(2, lambda one: None)
    assert [(one.state, one.reason) for one in study.over()] == [("failed", "a and b")] * 2
    assert scripted.started == []


@pytest.mark.parametrize(
    ("code", "kind"), [(3, DataError), (4, CheckpointError), (143, Interrupted), (130, Interrupted)]
)
def test_what_no_trial_would_be_spared(code: int, kind: type[Exception], tmp_path: Path, scripted: Any) -> None:
    scripted.script = lambda number, settings: ([4.0], code, "no data")
    with pytest.raises(kind, match="error: no data"):
        searched(tmp_path, 3)
    scripted.script = staticmethod(falling)
    assert [one.state for one in searched(tmp_path, 3).over()] == ["complete"] * 3
    assert scripted.started == ["trial_000", "trial_000", "trial_001", "trial_002"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_gone_on_with(number: int, tmp_path: Path, scripted: Any) -> None:
    def script(trial: int, settings: list[str]) -> tuple[list[float], int, str]:
        if trial == 1 and len(scripted.started) == 2:
            os.kill(os.getpid(), number)
        return falling(trial, settings)

    scripted.script = script
    with pytest.raises(Interrupted, match=r"stopped in trial 1 by SIG.*\n  fix: the same command goes on") as caught:
        searched(tmp_path, 3)
    assert caught.value.exit_code == 128 + number
    assert scripted.stopped[-1] == "trial_001"
    assert [one.number for one in searched(tmp_path, 3).over()] == [0, 1, 2]
    assert scripted.started == ["trial_000", "trial_001", "trial_001", "trial_002"]


def sized(number: int, settings: list[str]) -> tuple[list[float], int, str]:
    """Depends on the settings, so that what is drawn depends on what came before; one diverges, one is bad."""
    size = float(settings[2].partition("=")[2])
    values = [5.0 - step / 10 + size / 64 + 9 * (number == 6) for step in range(4)]
    return values[: 1 if number == 2 else 4], 5 * (number == 2), ""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Tried]:
    """A search that nothing stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "TrialProcess", Scripted)
        patch.setattr(trials, "LOOK_EVERY", 0)
        Scripted.script, Scripted.started, Scripted.stopped = staticmethod(sized), [], []
        return searched(tmp_path_factory.mktemp("whole"), 8).over()


KILLED_IN = [
    (Study, "next", "before", 2),
    (Study, "next", "after", 5),
    (trials.Search, "try_one", "after", 4),
    (trials.Search, "heard", "before", 9),
    (trials.Search, "heard", "after", 30),
    (TrialUnderWay, "prune", "before", 1),
    (TrialUnderWay, "diverge", "before", 1),
    (Scripted, "stop", "before", 7),
]


@pytest.mark.parametrize(("owner", "name", "when", "call"), KILLED_IN)
def test_a_search_killed_anywhere_is_the_one_never_stopped(
    owner: type,
    name: str,
    when: str,
    call: int,
    tmp_path: Path,
    whole: list[Tried],
    scripted: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {one.state for one in whole} == {"complete", "pruned", "failed"}
    scripted.script = sized
    real = getattr(owner, name)
    calls: list[None] = []

    def deadly(*given: Any) -> Any:
        calls.append(None)
        if len(calls) == call and when == "before":
            raise Killed
        result = real(*given)
        if len(calls) == call:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, deadly)
        with pytest.raises(Killed):
            searched(tmp_path, 8)
    again = searched(tmp_path, 8)
    assert again.over() == whole
    assert len(again.study.trials) == 8


def test_a_plan_is_kept(tmp_path: Path) -> None:
    plan = Plan(*parse(["steps=40", *SPACES]))
    keep_plan(tmp_path, plan)
    keep_plan(tmp_path, Plan(*parse([*reversed(SPACES), "steps=40"])))  # in another order
    assert Plan(*parse([*reversed(SPACES), "steps=40"])).digest() == plan.digest()
    with pytest.raises(ConfigError) as caught:
        keep_plan(tmp_path, Plan(*parse(["steps=50", *SPACES])))
    said = [problem.what for problem in caught.value.problems]
    assert said == [
        f"steps=50, but the search in {tmp_path} is without it",
        f"the search in {tmp_path} has steps=40",
    ]
    (tmp_path / "search.yaml").write_text("format: 1\n")
    with pytest.raises(CheckpointError, match=r"search\.yaml cannot be read: KeyError\n  fix: give search="):
        keep_plan(tmp_path, plan)


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "search.db").write_bytes(b"not a database, but a text that is longer than its header" * 50)
    with pytest.raises(CheckpointError, match=r"search\.db cannot be used: .*\n  fix: remove it, or give search="):
        searched(tmp_path, 1)


def test_what_is_written(tmp_path: Path, scripted: Any) -> None:
    def script(number: int, settings: list[str]) -> tuple[list[float], int, str]:
        return (falling(-number, settings)[0], 0, "") if number != 1 else ([], 5, "diverged")

    scripted.script = script
    study = searched(tmp_path, 12)
    plan = Plan(*parse(["steps=40", *SPACES]))
    summary.write(tmp_path, plan, study, "mse")
    best = study.best()
    assert best is not None
    assert best.number == 11
    lines = (tmp_path / "trials.md").read_text().splitlines()
    assert lines[:2] == ["| trial | lr | size | meta_validation/mse |", "|---: | ---: | ---: | --- |"]
    assert lines[2].startswith("| 11 | ")
    assert lines[2].endswith(" | 3.59 at step 40 |")
    assert lines[13].endswith("| failed: diverged |")
    assert lines[15].startswith("What decides (PED-ANOVA over the complete trials): ")
    import yaml

    found = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert found["settings"] == best.settings
    lr, size = best.settings["lr"], best.settings["size"]
    assert found["command"] == f"metalstm-train steps=40 lr={lr} size={size}"
    assert (found["trial"], found["of"], found["metric"], found["value"]) == (11, 12, "meta_validation/mse", best.value)
    assert found["run"] == f"{tmp_path}/trial_011"


def test_what_a_run_writes_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def loads(line: str) -> Any:
        parsed.append(line)
        return json.loads(line)

    monkeypatch.setattr("metalstm.runs.metrics.json", SimpleNamespace(loads=loads))
    listening = Validations(tmp_path)
    assert listening.so_far() == []
    file = tmp_path / "metrics.jsonl"
    first = b'{"step": 1, "meta_train/mse": 3.0}\n'
    first += b'{"step": 1, "meta_validation/mse": 2.0, "meta_validation/mse_ci95": 0.1}\n'
    second = b'{"step": 2, "meta_validation/mse": 1.0}\n'
    file.write_bytes(first + second[:20])
    assert listening.so_far() == listening.so_far() == [(1, 2.0)]
    file.write_bytes(first + second)
    assert listening.so_far() == [(1, 2.0), (2, 1.0)]
    assert parsed == (first + second).decode().splitlines()
    file.write_bytes(first)  # a resumed run cuts back what came after its checkpoint
    assert listening.so_far() == [(1, 2.0)]
