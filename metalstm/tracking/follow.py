"""Trackers follow a run, each in a thread of its own: the run neither waits for one nor ends with one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple

from metalstm.config.extras import install
from metalstm.errors import ConfigError, Interrupted, Problem
from metalstm.registry import settings_class
from metalstm.tracking.base import Ending, Record, TrackedRun, Tracker, result_values

log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between two deliveries
PATIENCE = 60.0  # seconds that the end of a run waits for a tracker
AT_ONCE = 1000  # records that a run had before


class Library(NamedTuple):
    """What must be installed for a tracker of the package."""

    modules: tuple[str, ...]
    look: str  # the command that shows what was tracked


# The names of the setting `logger`, which are those of the extras, too.
LIBRARIES = {
    "tensorboard": Library(("tensorboard",), "tensorboard --logdir {output_dir}"),
    "mlflow": Library(
        ("mlflow", "sqlalchemy", "alembic"),
        "mlflow ui --backend-store-uri sqlite:///{output_dir}/mlflow.db",
    ),
    "wandb": Library(("wandb",), "wandb sync {path}/wandb/offline-run-*"),
}


def check_installed(names: Iterable[str]) -> None:
    """Whether the libraries of these trackers are there; nothing is imported.

    Raises:
        ConfigError: with each that is not.
    """
    problems = []
    for name in names:
        needed = LIBRARIES[name].modules if name in LIBRARIES else ()
        missing = [module for module in needed if find_spec(module) is None]
        if missing:
            what = f"logger={name}, but {' and '.join(missing)} is not installed"
            problems.append(Problem(what, f"{install(name)}, or leave {name} out of logger"))
    if problems:
        raise ConfigError(*problems)


def look(name: str, run: TrackedRun) -> str:
    """How a person sees what a tracker keeps."""
    shown = LIBRARIES[name].look if name in LIBRARIES else f"by {name}"
    return shown.format(output_dir=run.output_dir, path=run.path)


def make_tracker(name: str) -> Tracker:
    """Return a tracker by its name; imports its library."""
    tracker: Tracker = settings_class("tracker", name)()
    return tracker


class Following(threading.Thread):
    """One tracker, delivered to every `PERIOD` until the run is over, or the tracker fails.

    Args:
        name: of the tracker.
        make: makes it; called in the thread, as libraries take seconds to import.
        run: what is tracked.
        records: what the run had before, as `metrics.jsonl` has it.
    """

    def __init__(
        self, name: str, make: Callable[[str], Tracker], run: TrackedRun, records: Iterable[Mapping[str, float]]
    ) -> None:
        super().__init__(name=f"tracking-{name}", daemon=True)
        self.tracker_name = name
        self.make = make
        self.tracked = run
        self.before = records
        self.waiting: list[Record] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.ending: Ending = "failed"
        self.failed = False

    def run(self) -> None:
        try:
            tracker = self.make(self.tracker_name)
            tracker.begin(self.tracked)
            before, now = iter(self.before), time.time()
            while some := [as_record(one, now) for one in islice(before, AT_ONCE)]:
                tracker.log(some)
            over = False
            while not over:
                over = self.over.wait(PERIOD)
                with self.lock:
                    records, self.waiting = self.waiting, []
                if records:
                    tracker.log(records)
            tracker.end(self.ending)
        except Exception as error:  # of whatever kind a library has
            self.failed = True
            self.waiting = []
            self.give_up(f"{type(error).__name__}: {error}".splitlines()[0])

    def put(self, record: Record) -> None:
        if not self.failed:
            with self.lock:
                self.waiting.append(record)

    def close(self, ending: Ending) -> None:
        """Wait until all is delivered, but not forever."""
        self.ending = ending
        self.over.set()
        self.join(PATIENCE)
        if self.is_alive():
            self.give_up(f"it has not taken all records within {PATIENCE:.0f} s")

    def give_up(self, reason: str) -> None:
        log.warning(
            "logger=%s has stopped: %s; the run goes on, metrics.jsonl has all of it", self.tracker_name, reason
        )


def as_record(read: Mapping[str, float], now: float) -> Record:
    """Return a record that was written before, as of now."""
    return Record(int(read["step"]), {name: value for name, value in read.items() if name != "step"}, now)


class Tracking:
    """All trackers of a run; a context, whose end tells them how the run ended.

    Args:
        names: of the trackers; none is fine.
        run: what is tracked.
        records: what the run had before, as `metrics.jsonl` has it; each tracker goes through them by itself.
        make: makes a tracker.
    """

    def __init__(
        self,
        names: Sequence[str],
        run: TrackedRun,
        records: Iterable[Mapping[str, float]],
        make: Callable[[str], Tracker] = make_tracker,
    ) -> None:
        self.followers = [Following(name, make, run, records) for name in names]

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Pass on one line of `metrics.jsonl`."""
        for follower in self.followers:
            follower.put(Record(step, values, time.time()))

    def result(self, result: Mapping[str, Any]) -> None:
        """Pass on the numbers of `result.json`, at the last step."""
        self.record(result["training"]["steps"], result_values(result))

    def __enter__(self) -> Tracking:
        for follower in self.followers:
            follower.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending: Ending = "failed"
        if error is None:
            ending = "finished"
        elif isinstance(error, (Interrupted, KeyboardInterrupt)):
            ending = "interrupted"
        for follower in self.followers:
            follower.close(ending)
