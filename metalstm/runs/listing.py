"""All runs under a folder: how far each has come, and what came of it. Reads no more of a run than it needs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from metalstm.config.text import command
from metalstm.files.reading import Unreadable, check_is_file, read_json
from metalstm.runs.layout import CHECKPOINTS, CONFIG, FAILED, IDENTITY, LOG, RESULT, TRIALS, UNREADABLE, begun
from metalstm.runs.lock import is_held
from metalstm.runs.metrics import last_records

LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ (\w+) (.*)$", re.MULTILINE)
SETTING = re.compile(r"^(\w+): (.+)$", re.MULTILINE)
CHOICE = re.compile(r"^(dataset|model|learner):\n(?:  .*\n)*?  name: (.+)$", re.MULTILINE)
PRUNED = re.compile(r"^\| (\d+) \|.*\| (pruned at step \d+) \|$", re.MULTILINE)
TAIL = 2**16  # bytes at the end of a file that are looked at


class Listed(NamedTuple):
    """A run in a line."""

    path: Path
    state: str  # finished, trained, pruned, running, interrupted or failed
    step: int
    steps: int | None  # that it is to have
    begun: datetime | None  # UTC; None: nothing in it says so
    dataset: str | None
    learner: str | None
    model: str | None
    ways: int | None
    shots: int | None
    seed: int | None
    meta_validation: float | None  # the last one
    metric: str | None  # of the meta-test, as `value` and `ci95`
    value: float | None
    ci95: float | None
    result: str  # in words, or the reason why it failed

    def entry(self) -> dict[str, Any]:
        """Return the run as JSON has it."""
        when = None if self.begun is None else self.begun.isoformat()
        return self._asdict() | {"path": str(self.path), "begun": when}


def listed(folder: Path) -> list[Listed]:
    """Return the runs under a folder, the newest first."""
    runs = [described(path) for path in run_directories(folder)]
    known = sorted((run for run in runs if run.begun is not None), key=lambda run: str(run.begun), reverse=True)
    return known + [run for run in runs if run.begun is None]


def run_directories(folder: Path) -> Iterator[Path]:
    """Yield the run directories under a folder; what lies in a run is not looked at."""
    for place, folders, files in os.walk(folder):
        if IDENTITY in files or FAILED in files:
            folders.clear()
            yield Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))


def described(path: Path) -> Listed:
    """Return a run from its files and its lock."""
    settings = settings_of(tail(path / CONFIG))
    records = last_records(path)
    validated, tested = last_validation(records), Outcome()
    state, step, said = state_of(path, settings, int(records[-1]["step"]) if records else 0, validated)
    if state == "finished":
        tested = outcome_of(path)
        said = tested.words() or f"{RESULT} cannot be read"
    read: dict[str, Any] = {name: settings.get(name) for name in ("dataset", "learner", "model")}
    read |= {name: whole(settings, name) for name in ("steps", "ways", "shots", "seed")}
    read |= {"meta_validation": validated.value, **tested._asdict()}
    return Listed(path=path, state=state, step=step, result=said, begun=begun(path), **read)


def state_of(path: Path, settings: dict[str, str], step: int, validated: Outcome) -> tuple[str, int, str]:
    """Return a run's state, its step, and what there is to say of it."""
    saved = max(map(step_of, path.glob(f"{CHECKPOINTS}/step_*")), default=0)
    untested = whole(settings, "test_tasks") == 0  # it is to end without a meta-test, as a trial of a search
    if is_held(path):
        return "running", step, "-"
    if (path / RESULT).exists():
        return "finished", step, ""
    if (failure := reason(path)) is not None:
        return "failed", step, failure
    if untested and 0 < (whole(settings, "steps") or 0) <= saved:
        return "trained", saved, ", ".join(filter(None, [validated.words("meta-validation "), "no meta-test"]))
    if untested and (pruned := pruned_by_its_search(path)) is not None:
        return "pruned", saved or step, pruned
    if saved:
        return "interrupted", saved, f"go on with {command('metalstm-train', resume=path)}"
    return "failed", step, "it ended before its first checkpoint"


class Outcome(NamedTuple):
    """How far a run has come."""

    metric: str | None = None
    value: float | None = None
    ci95: float | None = None

    def words(self, before: str = "") -> str:
        """Return the same for a person; nothing where nothing is known."""
        if self.metric is None or self.value is None or self.ci95 is None:
            return ""
        scale, form, unit = (100, ".2f", "%") if self.metric == "accuracy" else (1, ".4g", "")
        return f"{before}{self.metric} {scale * self.value:{form}} ± {scale * self.ci95:{form}}{unit}"


def outcome_of(path: Path) -> Outcome:
    """Return what a finished run's meta-test has shown."""
    with suppress(*UNREADABLE):
        found = read_json(path / RESULT)
        return Outcome(str(found["metric"]), float(found["value"]), float(found["ci95"]))
    return Outcome()


def settings_of(config: str) -> dict[str, str]:
    """Return the settings of a run, and what it has chosen of each group.

    From the text, as YAML takes ten times as long.
    """
    found = SETTING.findall(config) + CHOICE.findall(config)
    return {name: value.strip("'\"") for name, value in found}


def whole(settings: dict[str, str], name: str) -> int | None:
    value = settings.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 20 else None


def reason(path: Path) -> str | None:
    """Why a run has failed: what its sweep says, or what its log ends with; None: that is no error."""
    with suppress(*UNREADABLE):
        return str(read_json(path / FAILED)["reason"])
    lines = LOGGED.findall(tail(path / LOG))
    if not lines or lines[-1][0] != "ERROR":
        return None
    return str(lines[-1][1]).removeprefix("error: ")


def pruned_by_its_search(path: Path) -> str | None:
    """Return what a search says of a trial that it has pruned; None: it has not, or the run is no trial."""
    number = re.fullmatch(r"trial_(\d+)", path.name)
    table = path.parent / TRIALS
    if number is None or not table.is_file():
        return None
    return pruned_trials(table, table.stat().st_mtime_ns).get(int(number.group(1)))


@lru_cache(maxsize=1)
def pruned_trials(table: Path, changed: int) -> dict[int, str]:
    """Return the pruned trials of a search, and at which step, from its table as it was when it was changed."""
    with suppress(*UNREADABLE):
        return {int(number): said for number, said in PRUNED.findall(table.read_text(encoding="utf-8"))}
    return {}


def last_validation(records: list[dict[str, float]]) -> Outcome:
    """Return the last meta-validation among records of `metrics.jsonl`."""
    for record in reversed(records):
        for name, value in record.items():
            metric = name.removeprefix("meta_validation/")
            if metric != name and not name.endswith("_ci95"):
                return Outcome(metric, value, record.get(f"{name}_ci95"))
    return Outcome()


def step_of(checkpoint: Path) -> int:
    """Return the step that a checkpoint is of, by its name."""
    found = re.match(r"step_(\d+)", checkpoint.name)
    return 0 if found is None else int(found.group(1))


def tail(path: Path) -> str:
    """Return the end of a text file; nothing where there is none."""
    try:
        check_is_file(path)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", errors="replace")
    except (OSError, Unreadable):
        return ""
