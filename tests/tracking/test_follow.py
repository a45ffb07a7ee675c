"""Trackers in their threads: what they are given, and that a run neither waits for one nor ends with one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from metalstm import registry
from metalstm.config.extras import install
from metalstm.errors import ConfigError, Interrupted
from metalstm.tracking import follow
from metalstm.tracking.base import Ending, Record, TrackedRun, Tracker, result_values
from metalstm.tracking.follow import LIBRARIES, Tracking, check_installed, look
from support.places import REPOSITORY

RUN = TrackedRun(Path("outputs/glyphs_5w1s_maml/2026-01-31T00-00-00-000000"), Path("outputs"), {"ways": 5})


@dataclass
class Remembering(Tracker):
    """Keeps what it is given; `fails_in` names the method that raises, `waits` holds up `log`."""

    fails_in: str = ""
    waits: threading.Event | None = None
    begun: list[TrackedRun] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    def begin(self, run: TrackedRun) -> None:
        self.fail("begin")
        self.begun.append(run)

    def log(self, records: Sequence[Record]) -> None:
        if self.waits is not None:
            self.waits.wait()
        self.fail("log")
        self.records += records

    def end(self, ending: Ending) -> None:
        self.fail("end")
        self.endings.append(ending)

    def fail(self, where: str) -> None:
        if where == self.fails_in:
            raise RuntimeError("no space left\nand more")


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Receives the warnings."""
    found: list[str] = []
    monkeypatch.setattr(follow.log, "warning", lambda text, *values: found.append(text % values))
    return found


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PERIOD", 0.01)


def steps(tracker: Remembering) -> list[int]:
    return [record.step for record in tracker.records]


def test_what_was_before_comes_first_and_the_result_last() -> None:
    tracker = Remembering()
    result = {"split": "meta_test", "metric": "mse", "value": 1, "ci95": 0.5, "baselines": {}, "training": {"steps": 9}}
    with Tracking(["mine"], RUN, [{"step": 1, "a/b": 0.5}, {"step": 2, "a/b": 0.25}], lambda name: tracker) as tracking:
        for step in range(3, 9):
            tracking.record(step, {"a/b": 1 / step})
            time.sleep(0.005)
        tracking.result(result)
    assert tracker.begun == [RUN]
    assert steps(tracker) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [record.values for record in tracker.records[:2]] == [{"a/b": 0.5}, {"a/b": 0.25}]
    assert tracker.records[-1].values == {"meta_test/mse": 1.0, "meta_test/mse_ci95": 0.5}
    assert tracker.endings == ["finished"]


@pytest.mark.parametrize(
    ("error", "ending"),
    [(Interrupted(15), "interrupted"), (KeyboardInterrupt(), "interrupted"), (ValueError("of a run"), "failed")],
)
def test_how_the_run_ended(error: BaseException, ending: Ending) -> None:
    tracker = Remembering()
    with pytest.raises(type(error)), Tracking(["mine"], RUN, [], lambda name: tracker):
        raise error
    assert tracker.endings == [ending]


@pytest.mark.parametrize("where", ["begin", "log", "end"])
def test_a_tracker_that_fails_is_one_warning_and_the_others_go_on(where: str, warnings: list[str]) -> None:
    trackers = {"broken": Remembering(fails_in=where), "sound": Remembering()}
    with Tracking(list(trackers), RUN, [], trackers.__getitem__) as tracking:
        for step in range(1, 6):
            tracking.record(step, {"a/b": 0.5})
            time.sleep(0.02)
    assert warnings == [
        "logger=broken has stopped: RuntimeError: no space left; the run goes on, metrics.jsonl has all of it"
    ]
    assert steps(trackers["sound"]) == [1, 2, 3, 4, 5]
    assert trackers["sound"].endings == ["finished"]


def test_a_tracker_that_hangs_holds_up_neither_the_run_nor_its_end(
    warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0.2)
    go_on = threading.Event()
    tracker = Remembering(waits=go_on)
    started = time.monotonic()
    with Tracking(["slow"], RUN, [], lambda name: tracker) as tracking:
        for step in range(1000):
            tracking.record(step, {"a/b": 0.5})
    assert time.monotonic() - started < 5
    assert len(warnings) == 1
    assert "logger=slow has stopped: it has not taken all records" in warnings[0]
    go_on.set()


def test_a_library_that_is_not_there_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed(LIBRARIES)
    monkeypatch.setattr(follow, "find_spec", lambda name: None if name in ("alembic", "wandb") else object())
    with pytest.raises(ConfigError) as caught:
        check_installed(["tensorboard", "mlflow", "wandb"])
    assert str(caught.value).splitlines() == [
        "error: logger=mlflow, but alembic is not installed",
        f"  fix: {install('mlflow')}, or leave mlflow out of logger",
        "error: logger=wandb, but wandb is not installed",
        f"  fix: {install('wandb')}, or leave wandb out of logger",
    ]


def test_the_same_names_in_settings_libraries_and_extras() -> None:
    assert sorted(LIBRARIES) == registry.packaged("tracker") == registry.names("tracker")
    project = REPOSITORY.joinpath("pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{name} = [" in project for name in LIBRARIES)


def test_where_to_look() -> None:
    assert look("tensorboard", RUN) == "tensorboard --logdir outputs"
    assert look("mlflow", RUN) == "mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db"
    assert look("wandb", RUN) == f"wandb sync {RUN.path}/wandb/offline-run-*"


def test_the_numbers_of_a_result() -> None:
    baseline = {"value": 0.5, "ci95": 0.02, "curve": []}
    result = {
        "split": "meta_test",
        "metric": "accuracy",
        "value": 0.9,
        "ci95": 0.01,
        "baselines": {"scratch": baseline},
    }
    assert result_values(result) == {
        "meta_test/accuracy": 0.9,
        "meta_test/accuracy_ci95": 0.01,
        "meta_test/scratch_accuracy": 0.5,
        "meta_test/scratch_accuracy_ci95": 0.02,
    }


def test_what_a_run_had_before_is_read_bit_by_bit_and_by_trackers_alone() -> None:
    class Before:
        def __iter__(self) -> Iterator[dict[str, float]]:
            yield from ({"step": step, "a/b": 0.5} for step in range(1, 2501))

    taken: list[int] = []
    tracker = Remembering()
    real = tracker.log
    tracker.log = lambda records: (taken.append(len(records)), real(records))[1]  # type: ignore[method-assign]
    with Tracking(["mine"], RUN, Before(), lambda name: tracker) as tracking:
        tracking.record(2501, {"a/b": 0.5})
    assert steps(tracker) == list(range(1, 2502))
    assert taken == [1000, 1000, 500, 1]
    with Tracking([], RUN, iter(lambda: pytest.fail("read"), None)):
        pass
