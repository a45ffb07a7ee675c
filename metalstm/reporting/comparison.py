"""How fast and how well several runs learn the same tasks, from their files alone: paired, with 95% intervals.

Legend: P points of an adaptation curve, N test tasks.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from metalstm.errors import ConfigError, Problem
from metalstm.run.directory import PER_TASK, RESULT

LEAST_ERROR = 1e-6  # that `per_task.json` tells from none
TRAINING = ("pretraining_seconds", "seconds")
LARGEST = 1e30  # of the numbers in a file, so that sums and squares are finite
UNITS = ("step", "shot")
OVER = "give directories of runs that are over"
SAME = "compare runs on the same tasks"
# What must be the same for task n to be the same task.
SAME_TASKS = ("dataset", "ways", "shots", "queries", "split", "metric")


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

    def final(self) -> list[float]:
        """Each task's metric at `step`."""
        return self.values[self.at.index(self.step)]

    def means(self) -> list[float]:
        return [fmean(values) for values in self.values]


def entries(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Entry]]:
    """The curves of runs, and what their tasks have in common.

    A run is called by its learner, and by its folder where two have the same; baselines are taken from the first run.

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
        raise ConfigError(*problems)
    return first, [replace(entry, name=name) for entry, name in named(runs)]


class Run(NamedTuple):
    """What a run's files say."""

    folder: Path
    tasks: dict[str, Any]  # what decides which tasks it was tested on
    learner: Entry
    baselines: list[Entry]


def read_run(folder: Path) -> Run:
    """A run from its files; `ConfigError` where they are not those of a run that is over."""
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
        learner = replace(learner, **per_task["learner"])
        baselines = [replace(entry, **per_task[entry.name]) for entry in baselines]
        for entry in (learner, *baselines):
            check(entry)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError.of(f"{path} lacks what a run's has: {error}", OVER) from error
    return Run(folder, tasks, learner, baselines)


def check(entry: Entry) -> None:
    """Whether an entry's parts are of the right kinds, and fit together.

    Raises:
        ValueError, TypeError: they are or do not.
    """
    times = [seconds for seconds in (entry.seconds_per_step, entry.training_s) if seconds is not None]
    numbers: list[Sequence[float]] = [entry.at, *entry.values, times]
    if not all(is_number(value) for row in numbers for value in row):
        raise ValueError(f"a number of {entry.name}")
    if entry.unit not in UNITS or not isinstance(entry.name, str):
        raise ValueError("a name or a unit")
    sizes = {len(values) for values in entry.values}
    if len(entry.at) != len(entry.values) or len(sizes) != 1 or 0 in sizes or sorted(set(entry.at)) != entry.at:
        raise ValueError(f"{entry.name}: tasks' values at each step")
    if not all(isinstance(step, int) for step in entry.at) or entry.step not in entry.at or entry.at[0] != 0:
        raise ValueError(f"{entry.name}: a value at step {entry.step}")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not abs(value) > LARGEST


def named(runs: Sequence[Run]) -> Iterator[tuple[Entry, str]]:
    """The curves, each with a name that no other has."""
    learners = [run.learner.name for run in runs]
    places = [run.folder.resolve() for run in runs]
    for run, place in zip(runs, places, strict=True):
        name = run.learner.name
        if learners.count(name) > 1:
            alike = sum(other.name == place.name for other in places) > 1
            name = f"{name} ({place if alike else place.name})"
        yield run.learner, name
    for entry in runs[0].baselines:
        yield entry, f"{entry.name} (baseline)" if entry.name in learners else entry.name


def read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError.of(f"{path} cannot be read: {error}", OVER) from error


def tasks_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What decides which tasks a run was tested on."""
    same = {name: result[name] for name in SAME_TASKS}
    for name in ("ways", "shots", "queries"):
        if not isinstance(same[name], int) or not 0 < same[name] < LARGEST:
            raise ValueError(f"{name}={same[name]}")
    if same["metric"] not in ("accuracy", "mse"):
        raise ValueError(f"metric={same['metric']}")
    return same | {"fingerprint": result["protocol"]["fingerprint"], "seed": result["environment"]["seed"]}


def mean_and_ci95(values: Sequence[float]) -> tuple[float, float]:
    """The mean and half the width of its 95% confidence interval (normal approximation)."""
    if len(values) < 2:
        return fmean(values), math.inf
    if any(math.isnan(value) for value in values):
        return math.nan, math.nan
    return fmean(values), 1.96 * stdev(values) / math.sqrt(len(values))


def paired(one: Entry, other: Entry) -> tuple[float, float, int]:
    """`one` less `other` over the tasks of both: the mean, half its 95% interval, and the number of tasks."""
    pairs = list(zip(one.final(), other.final(), strict=False))
    return *mean_and_ci95([left - right for left, right in pairs]), len(pairs)


def steps_to(entry: Entry, target: float, higher_is_better: bool) -> int | None:
    """The first step at which the curve's mean reaches the target; None: it never does."""
    for step, value in zip(entry.at, entry.means(), strict=True):
        if value >= target if higher_is_better else value <= target:
            return step
    return None


def area(entry: Entry) -> float:
    """The curve's mean over steps 0 to the one that the result is read after, by the trapezoid rule."""
    points = [(step, value) for step, value in zip(entry.at, entry.means(), strict=True) if step <= entry.step]
    if len(points) == 1:
        return points[0][1]
    total = sum((b - a) * (u + v) / 2 for (a, u), (b, v) in itertools.pairwise(points))
    return total / (points[-1][0] - points[0][0])


def default_target(found: Sequence[Entry], higher_is_better: bool) -> float:
    """Nine tenths of the way from the worst start to the best result; of errors, on a scale of logarithms.

    What diverged is left out.
    """
    starts = [value for value in (entry.means()[0] for entry in found) if not math.isnan(value)]
    ends = [value for value in (fmean(entry.final()) for entry in found) if not math.isnan(value)]
    if not starts or not ends:
        return math.nan
    if higher_is_better:
        return min(starts) + 0.9 * (max(ends) - min(starts))
    start, end = max(max(starts), LEAST_ERROR), max(min(ends), LEAST_ERROR)
    return math.exp(math.log(start) + 0.9 * (math.log(end) - math.log(start)))


def ranked(found: Sequence[Entry], higher_is_better: bool) -> list[Entry]:
    """Best first; what diverged comes last."""

    def key(entry: Entry) -> tuple[bool, float]:
        value = fmean(entry.final())
        return math.isnan(value), -value if higher_is_better else value

    return sorted(found, key=key)


def rows(common: Mapping[str, Any], found: Sequence[Entry], target: float | None = None) -> list[dict[str, Any]]:
    """The comparison in numbers, best first.

    Differences are paired, over the tasks that both were tested on: `difference` is from the best, `over_scratch` from
    the best of those that were not meta-trained, null where there is none.
    """
    higher = common["metric"] == "accuracy"
    target = default_target(found, higher) if target is None else target
    order = ranked(found, higher)
    scratch = next((entry for entry in order if entry.from_scratch), None)
    made = []
    for entry in order:
        value, half = mean_and_ci95(entry.final())
        difference, width, pairs = paired(entry, order[0])
        over, over_width, _ = (None, None, 0) if scratch is None else paired(entry, scratch)
        made.append(
            {
                **{"name": entry.name, "value": value, "ci95": half, "tasks": len(entry.final())},
                **{"steps": entry.step, "unit": entry.unit, "seconds_per_step": entry.seconds_per_step},
                **{"difference": difference, "difference_ci95": width, "pairs": pairs},
                **{"over_scratch": over, "over_scratch_ci95": over_width},
                **{"target": target, "steps_to_target": steps_to(entry, target, higher)},
                **{"area": area(entry), "before": entry.means()[0], "training_s": entry.training_s},
            }
        )
    return made


def markdown(common: Mapping[str, Any], compared: Sequence[Mapping[str, Any]]) -> str:
    """The comparison's rows as a table."""
    higher = common["metric"] == "accuracy"
    best = compared[0]
    lines = [
        f"{common['dataset']}, {task_in_words(common)}: {common['metric']} on {common['split']} tasks, the same for "
        "all rows, with 95% intervals over tasks.",
        "",
        f"| learner | {common['metric']} | tasks | paired difference from {best['name']} "
        "| paired difference from scratch "
        f"| to reach {number(best['target'], higher)} | mean of the curve | before adapting | meta-training |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in compared:
        reached = row["steps_to_target"]
        difference = f"{signed(row['difference'], higher)} ± {number(row['difference_ci95'], higher)}"
        over = row["over_scratch"]
        itself = over is None or (over == 0 and row["over_scratch_ci95"] == 0)
        cells = [
            row["name"],
            f"{number(row['value'], higher)} ± {number(row['ci95'], higher)} after {in_units(row['steps'], row)}",
            str(row["tasks"]),
            "-" if row is best else difference,
            "-" if itself else f"{signed(over, higher)} ± {number(row['over_scratch_ci95'], higher)}",
            "not reached" if reached is None else in_units(reached, row),
            number(row["area"], higher),
            number(row["before"], higher),
            "none" if row["training_s"] is None else f"{row['training_s'] / 60:.1f} min",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def task_in_words(common: Mapping[str, Any]) -> str:
    if common["metric"] == "mse":
        return f"{common['shots']}-shot"
    return f"{common['ways']}-way {common['shots']}-shot"


def counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def in_units(steps: int, row: Mapping[str, Any]) -> str:
    """A number of steps in words, with the time that they take where it was measured."""
    words = counted(steps, row["unit"])
    if row["seconds_per_step"] is None or steps == 0:
        return words
    return f"{words}, {1000 * steps * row['seconds_per_step']:.0f} ms"


def number(value: float, accuracy: bool) -> str:
    return f"{100 * value:.2f}%" if accuracy else f"{value:.4g}"


def signed(value: float, accuracy: bool) -> str:
    return f"{100 * value:+.2f}%" if accuracy else f"{value:+.4g}"
