"""Read from the files of runs how they learned: curves, checked, and whether they are of the same tasks.

Legend: P points of an adaptation curve, N test tasks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from metalstm.config.text import command, flat, shown
from metalstm.errors import ConfigError, Problem, first_few
from metalstm.files.reading import Unreadable, read_json
from metalstm.reporting.optional import LARGEST as LARGEST_FILE
from metalstm.runs.layout import IDENTITY, PER_TASK, RESULT

TRAINING = ("pretraining_seconds", "seconds")
LARGEST = 1e30  # of the numbers in a file, so that sums and squares are finite
UNITS = ("step", "shot")
OVER = "give directories of runs that are over"
SAME = "compare runs on the same tasks"
MEANS = "means over the seeds of a sweep are in its summary.csv"
# These must be the same for task n to be the same task.
SAME_TASKS = ("dataset", "ways", "shots", "queries", "split", "metric")
NOT_TOLD = ("output_dir", "resume", "device", "threads")  # settings that no run is called by
MOST_TOLD = 3  # settings that a run is called by


@dataclass(frozen=True)
class Entry:
    """A curve to compare: a learner's, or one of a run's baselines'."""

    name: str
    at: list[int]
    values: list[list[float]]  # [P, N]
    step: int  # that its result is read after
    unit: str
    seconds_per_step: float | None
    training_s: float | None  # None: nothing was meta-trained
    from_scratch: bool = False
    units: list[int] | None = None  # [N], which unit each task is of, see `over`; None: each is one of its own
    over: str = "task"  # what intervals are over
    over_classes: float | None = None  # half the width of the result's interval over classes

    def final(self) -> list[float]:
        """Each task's metric at `step`."""
        return self.values[self.at.index(self.step)]

    def means(self) -> list[float]:
        return [fmean(values) for values in self.values]


def runs_in(folders: Sequence[Path]) -> list[Path]:
    """Return the run directories that folders stand for: themselves, or those below them that have a result."""
    return [
        run for folder in folders for run in ([] if is_run(folder) else directories_with(RESULT, folder)) or [folder]
    ]


def without_result(folders: Sequence[Path]) -> list[Path]:
    """Return the run directories below folders that have no result, such as those of jobs that failed."""
    below = [run for folder in folders if not is_run(folder) for run in directories_with(IDENTITY, folder)]
    return [run for run in below if not (run / RESULT).exists()]


def directories_with(name: str, folder: Path) -> list[Path]:
    """Return the directories below a folder that have such a file and do not lie in a run, as its later tests do."""
    try:
        below = sorted(path.parent for path in folder.rglob(name))
    except (OSError, ValueError):  # a name that no system takes; to read it says so
        return []
    return [path for path in below if not any(is_run(folder / outer) for outer in path.relative_to(folder).parents)]


def is_run(folder: Path) -> bool:
    return any(os.path.exists(folder / name) for name in (RESULT, IDENTITY))


def curves(runs: Sequence[Run]) -> list[Entry]:
    """Return the learners' curves, then the baselines'."""
    return [*(run.learner for run in runs), *(entry for run in runs for entry in run.baselines)]


def on_the_same_tasks(folders: Sequence[Path]) -> list[Run]:
    """Read runs on the same test tasks, and give every curve a name that no other has.

    A run is called by its learner; where two have the same, by the settings that tell them apart as well, or else by
    its folder. Baselines are taken from the first run that has any.

    Raises:
        ConfigError: a folder without a result, or runs whose tasks differ.
    """
    if not folders:
        raise ConfigError.of("there is no run to compare", "give run directories: metalstm-report DIR...")
    runs = [read_run(folder) for folder in folders]
    first = runs[0].tasks
    problems = [
        Problem(f"{run.folder} has {name}={value}, but {folders[0]} has {name}={first[name]}", SAME)
        for run in runs[1:]
        for name, value in run.tasks.items()
        if value != first[name]
    ]
    if problems:
        problems = first_few(problems, "such differences")
        same = [run.folder for run in runs if run.tasks == first]
        raise ConfigError(*problems[:-1], problems[-1]._replace(fix=remedy(same)))
    return named(runs)


def remedy(same: Sequence[Path]) -> str:
    """Return what to do where there are runs on other tasks than these, the first one's."""
    if len(same) == 1:
        return f"{SAME}; {MEANS}"
    return f"{SAME}, e.g. {command('metalstm-report', *same)}; {MEANS}"


class Run(NamedTuple):
    """A run as its files have it."""

    folder: Path
    tasks: dict[str, Any]  # what decides which tasks it was tested on
    learner: Entry
    baselines: list[Entry]
    result: dict[str, Any]  # as `result.json` has it; only what the others are made of is sure to be there


def read_run(folder: Path) -> Run:
    """Return a run from its files; `ConfigError` where they are not those of a run that is over."""
    result, per_task = (read(folder / name) for name in (RESULT, PER_TASK))
    path = folder / RESULT
    try:
        tasks = tasks_of(result)
        scratch = result["learner"] == "scratch"
        learner = Entry(
            result["learner"],
            [0],
            [],
            result["steps"],
            result["step_unit"],
            result["seconds_per_step"],
            None if scratch else sum(result["training"].get(name, 0) for name in TRAINING),
            scratch,
        )
        baselines = [
            Entry(name, [0], [], entry["steps"], "step", None, None, True)
            for name, entry in result["baselines"].items()
        ]
        path = folder / PER_TASK
        intervals = {str(one["over"]): one["ci95"] for one in result.get("intervals", [])}
        shared = {"over": next(iter(intervals), "task"), "units": per_task.get("units")}
        learner = replace(learner, **finite(per_task["learner"]), **shared, over_classes=intervals.get("class"))
        baselines = [replace(entry, **finite(per_task[entry.name])) for entry in baselines]
        baselines = [replace(entry, **of_first(shared, len(entry.final()))) for entry in baselines]
        for entry in (learner, *baselines):
            check(entry)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError.of(f"{path} lacks what a run's has: {error}", OVER) from error
    return Run(folder, tasks, learner, baselines, result)


def of_first(shared: Mapping[str, Any], tasks: int) -> dict[str, Any]:
    """Return what intervals are over, for the first tasks; of a single unit nothing can be said of others."""
    units = None if shared["units"] is None else shared["units"][:tasks]
    return {"over": shared["over"], "units": units} if units and len(set(units)) > 1 else {}


def finite(curve: Mapping[str, Any]) -> dict[str, Any]:
    """Return a curve with NaN for what is infinite, or as good as that: a task on which the learner diverged."""
    values = [[math.nan if is_too_large(value) else value for value in row] for row in curve["values"]]
    return {**curve, "values": values}


def check(entry: Entry) -> None:
    """Whether an entry's parts are of the right kinds, and fit together.

    Raises:
        ValueError, TypeError: they are or do not.
    """
    times = [seconds for seconds in (entry.seconds_per_step, entry.training_s) if seconds is not None]
    halves = [] if entry.over_classes is None else [entry.over_classes]
    numbers: list[Sequence[float]] = [entry.at, *entry.values, times, halves]
    if not all(is_number(value) for row in numbers for value in row):
        raise ValueError(f"a number of {entry.name}")
    if entry.unit not in UNITS or not isinstance(entry.name, str):
        raise ValueError("a name or a unit")
    sizes = {len(values) for values in entry.values}
    if len(entry.at) != len(entry.values) or len(sizes) != 1 or 0 in sizes or sorted(set(entry.at)) != entry.at:
        raise ValueError(f"{entry.name}: tasks' values at each step")
    if entry.units is not None and (not is_list_of(int, entry.units) or {len(entry.units)} != sizes):
        raise ValueError(f"{entry.name}: a unit for each task")
    if not all(isinstance(step, int) for step in entry.at) or entry.step not in entry.at or entry.at[0] != 0:
        raise ValueError(f"{entry.name}: a value at step {entry.step}")


def is_list_of(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not is_too_large(value)


def is_too_large(value: Any) -> bool:
    return isinstance(value, (int, float)) and abs(value) > LARGEST


def named(runs: Sequence[Run]) -> list[Run]:
    """Return the same runs, their curves under names that no other has."""
    learners = [run.learner.name for run in runs]
    names = [run.learner.name if learners.count(run.learner.name) == 1 else None for run in runs]
    for learner in set(learners):
        alike = [number for number, run in enumerate(runs) if run.learner.name == learner]
        for number, words in zip(alike, told_apart([runs[number] for number in alike]), strict=True):
            names[number] = names[number] or f"{learner} ({words})"
    with_baselines = next((number for number, run in enumerate(runs) if run.baselines), 0)
    made = []
    for number, run in enumerate(runs):
        baselines = [
            replace(entry, name=f"{entry.name} (baseline)" if entry.name in learners else entry.name)
            for entry in run.baselines
        ]
        curve = replace(run.learner, name=str(names[number]))
        made.append(run._replace(learner=curve, baselines=baselines if number == with_baselines else []))
    return made


def told_apart(alike: Sequence[Run]) -> list[str]:
    """Return what tells runs of one learner from each other.

    `steps=10, inner_lr=0.1`, or the folder where settings do not.
    """
    settings = [flat(settings_of(run)) for run in alike]
    every = dict.fromkeys(name for own in settings for name in own if name not in NOT_TOLD)
    differ = [name for name in every if any(own.get(name) != settings[0].get(name) for own in settings)]
    last = [name.rpartition(".")[2] for name in differ]
    short = {name: word if last.count(word) == 1 else name for name, word in zip(differ, last, strict=True)}
    told = [[f"{short[name]}={shown(own.get(name))}" for name in differ] for own in settings]
    if len(differ) > MOST_TOLD:
        told = [[] for _ in alike]
    places = [run.folder.resolve() for run in alike]
    names = [place.name for place in places]
    folders = [place.name if names.count(place.name) == 1 else str(place) for place in places]
    return [
        ", ".join(words if words and told.count(words) == 1 else [*words, folder])
        for words, folder in zip(told, folders, strict=True)
    ]


def settings_of(run: Run) -> Mapping[str, Any]:
    found = run.result.get("settings")
    return found if isinstance(found, Mapping) else {}


def read(path: Path) -> Any:
    try:
        return read_json(path, LARGEST_FILE)
    except Unreadable as error:
        raise ConfigError.of(f"{path} cannot be read: {error}", OVER) from error


def tasks_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides which tasks a run was tested on."""
    same = {name: result[name] for name in SAME_TASKS}
    for name in ("ways", "shots", "queries"):
        if not isinstance(same[name], int) or not 0 < same[name] < LARGEST:
            raise ValueError(f"{name}={same[name]}")
    if same["metric"] not in ("accuracy", "mse"):
        raise ValueError(f"metric={same['metric']}")
    return same | {"fingerprint": result["protocol"]["fingerprint"], "seed": result["environment"]["seed"]}
