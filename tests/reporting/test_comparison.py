"""Runs compared from their files alone: every number against one worked out by hand."""

from __future__ import annotations

import json
import math
import re
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from metalstm.cli.report import parse
from metalstm.errors import ConfigError
from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.reporting import comparison
from metalstm.reporting.comparison import number
from metalstm.reporting.entries import Entry, curves, on_the_same_tasks, runs_in

T95 = {2: 4.302653, 3: 3.182446}  # of Student's t, from tables: by degrees of freedom, two-sided
COMMON = {"dataset": "glyphs", "ways": 5, "shots": 1, "metric": "accuracy", "split": "meta_test"}


def entries(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Entry]]:
    """What the tasks of runs have in common, and their curves."""
    runs = on_the_same_tasks(folders)
    return runs[0].tasks, curves(runs)


def run(
    folder: Path,
    learner: str,
    values: list[list[float]],
    step: int = 2,
    baselines: dict[str, tuple[list[list[float]], int]] | None = None,
    **changes: Any,
) -> Path:
    """A run's folder with the files that are read; `values` [P, N] are those after step 0, 1, ..."""
    baselines = baselines or {}
    result: dict[str, Any] = {
        **{"dataset": "glyphs", "ways": 5, "shots": 1, "queries": 15, "split": "meta_test", "metric": "accuracy"},
        **{"learner": learner, "steps": step, "step_unit": "step", "seconds_per_step": 0.004},
        "training": {"steps": 100, "seconds": 90.0, "tasks_per_second": 4.4},
        "baselines": {name: {"steps": steps} for name, (_, steps) in baselines.items()},
    }
    result |= {name: value for name, value in changes.items() if name not in ("fingerprint", "seed")}
    result["protocol"] = {"fingerprint": changes.get("fingerprint", "f0")}
    result["environment"] = {"seed": changes.get("seed", 0)}
    curves = {"learner": values} | {name: rows for name, (rows, _) in baselines.items()}
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    per_task = {name: {"at": list(range(len(rows))), "values": rows} for name, rows in curves.items()}
    (folder / "per_task.json").write_text(json.dumps(per_task), encoding="utf-8")
    return folder


def entry(name: str, values: list[list[float]], at: list[int] | None = None, step: int | None = None) -> Entry:
    """A curve whose result is read after `step`; None: after its last."""
    steps = list(range(len(values))) if at is None else at
    return Entry(name, steps, values, steps[-1] if step is None else step, "step", None, None)


def flat(name: str, means: list[float], at: list[int] | None = None, step: int | None = None) -> Entry:
    """A curve with these means, of tasks that are all alike."""
    return entry(name, [[mean, mean] for mean in means], at, step)


# Three tasks, hard to easy: `good` is better than `poor` on each by about 0.1, though tasks differ far more.
GOOD = [[0.2, 0.2, 0.2, 0.2], [0.3, 0.4, 0.5, 0.6], [0.31, 0.52, 0.69, 0.90]]
POOR = [[0.2, 0.2, 0.2, 0.2], [0.2, 0.3, 0.4, 0.5], [0.20, 0.43, 0.58, 0.81]]


def test_paired_differences() -> None:
    difference, half, pairs = comparison.paired(entry("good", GOOD), entry("poor", POOR))
    apart = [0.11, 0.09, 0.11, 0.09]
    assert (difference, pairs) == (pytest.approx(0.1), 4)
    spread = math.sqrt(sum((one - 0.1) ** 2 for one in apart) / 3)
    assert half == pytest.approx(T95[3] * spread / 2)
    # Their own intervals overlap by far: what tasks have in common would hide the difference.
    (one, one_half), (other, other_half) = (mean_and_ci95(curve[-1]) for curve in (GOOD, POOR))
    assert one - one_half < other + other_half
    assert difference - half > 0
    unpaired = math.sqrt(one_half**2 + other_half**2)
    assert abs(one - other) < unpaired
    back, again, _ = comparison.paired(entry("poor", POOR), entry("good", GOOD))
    assert (back, again) == (pytest.approx(-difference), pytest.approx(half))


def test_pairs_are_the_tasks_of_both() -> None:
    few = entry("few", [[0.0, 0.0, 0.0], [0.1, 0.5, 0.3]])
    many = entry("many", [[0.0] * 5, [0.2, 0.4, 0.6, 99.0, -99.0]])
    for one, other, sign in ((few, many, 1), (many, few, -1)):
        difference, half, pairs = comparison.paired(one, other)
        assert pairs == 3
        assert difference == pytest.approx(sign * -0.1)
        assert half == pytest.approx(T95[2] * statistics.stdev([-0.1, 0.1, -0.3]) / math.sqrt(3))


def test_pairs_of_tasks_that_share_patients(tmp_path: Path) -> None:
    scratch = {"scratch": ([[0.0] * 4, [0.1, 0.2, 0.4, 0.6]], 1)}
    folder = run(tmp_path / "a", "maml", [[0.0] * 6, [0.2, 0.3, 0.6, 0.8, 0.5, 0.7]], 1, scratch)
    (folder / "result.json").write_text(
        json.dumps(json.loads((folder / "result.json").read_text()) | {"intervals": [{"over": "patient", "ci95": 0.1}]})
    )
    per_task = json.loads((folder / "per_task.json").read_text()) | {"units": [0, 0, 1, 1, 2, 2]}
    (folder / "per_task.json").write_text(json.dumps(per_task))
    common, found = entries([folder])
    rows = {row["name"]: row for row in comparison.rows(common, found, 0.5)}
    assert rows["maml"]["ci95"] == pytest.approx(mean_and_ci95([0.25, 0.7, 0.6])[1])  # of the three patients' means
    assert rows["maml"]["over_scratch_ci95"] == pytest.approx(mean_and_ci95([0.1, 0.2])[1])  # of the first two
    assert "95% intervals over patients" in comparison.markdown(common, list(rows.values()))


@pytest.mark.parametrize("units", [[0, 1], [0, "a", 1], 5])
def test_units_that_do_not_fit(tmp_path: Path, units: Any) -> None:
    folder = run(tmp_path / "a", "maml", [[0.0] * 3, [0.5] * 3], 1)
    per_task = json.loads((folder / "per_task.json").read_text()) | {"units": units}
    (folder / "per_task.json").write_text(json.dumps(per_task))
    with pytest.raises(ConfigError, match="lacks what a run's has"):
        entries([folder])


def test_the_result_is_read_after_its_step() -> None:
    curve = entry("curve", [[0.1, 0.1], [0.2, 0.4], [0.5, 0.7], [0.9, 0.9]], at=[0, 1, 5, 10], step=5)
    assert curve.final() == [0.5, 0.7]
    assert curve.means() == pytest.approx([0.1, 0.3, 0.6, 0.9])


@pytest.mark.parametrize(
    ("means", "higher", "target", "reached"),
    [
        ([0.2, 0.5, 0.8, 0.7], True, 0.5, 2),
        ([0.2, 0.5, 0.8, 0.7], True, 0.51, 5),
        ([0.2, 0.5, 0.8, 0.7], True, 0.1, 0),
        ([0.2, 0.5, 0.8, 0.9], True, 0.9, 20),
        ([0.2, 0.5, 0.8, 0.7], True, 0.81, None),
        ([3.0, 1.0, 0.25, 0.5], False, 1.0, 2),
        ([3.0, 1.0, 0.25, 0.5], False, 0.9, 5),
        ([3.0, 1.0, 0.25, 0.5], False, 4.0, 0),
        ([3.0, 1.0, 0.25, 0.5], False, 0.2, None),
    ],
)
def test_steps_to_a_target(means: list[float], higher: bool, target: float, reached: int | None) -> None:
    assert comparison.steps_to(flat("curve", means, at=[0, 2, 5, 20]), target, higher) == reached


def test_a_target_is_reached_by_the_mean_not_by_a_task() -> None:
    curve = entry("curve", [[0.0, 0.0], [0.9, 0.1], [0.7, 0.5]])
    assert comparison.steps_to(curve, 0.6, True) == 2
    assert comparison.steps_to(curve, 0.85, True) is None


def test_area_under_uneven_steps() -> None:
    curve = flat("curve", [0.2, 0.4, 0.8, 0.6], at=[0, 1, 5, 10])
    whole = 1 * (0.2 + 0.4) / 2 + 4 * (0.4 + 0.8) / 2 + 5 * (0.8 + 0.6) / 2
    assert comparison.area(curve) == pytest.approx(whole / 10)
    assert comparison.area(flat("level", [0.3, 0.3, 0.3], at=[0, 7, 9])) == pytest.approx(0.3)


def test_area_stops_where_the_result_is_read() -> None:
    curve = flat("curve", [0.2, 0.4, 0.8, 99.0], at=[0, 1, 5, 10], step=5)
    assert comparison.area(curve) == pytest.approx((0.3 + 4 * 0.6) / 5)
    assert comparison.area(flat("start", [0.2, 0.4], step=0)) == 0.2


def test_default_target() -> None:
    found = [flat("one", [0.2, 0.5, 0.9]), flat("other", [0.1, 0.7, 0.8]), flat("early", [0.3, 0.4, 1.0], step=1)]
    assert comparison.default_target(found, True) == pytest.approx(0.1 + 0.9 * (0.9 - 0.1))
    found = [flat("one", [2.0, 0.5, 0.1]), flat("other", [10.0, 1.0, 0.2]), flat("early", [1.0, 0.7, 0.001], step=1)]
    assert comparison.default_target(found, False) == pytest.approx(10.0 * (0.1 / 10.0) ** 0.9)


def test_a_perfect_fit_has_a_target_too() -> None:
    target = comparison.default_target([flat("one", [2.0, 0.0]), flat("other", [2.0, 0.1])], False)
    assert 0 <= target <= 0.1
    assert comparison.steps_to(flat("one", [2.0, 0.0]), target, False) == 1


@pytest.mark.parametrize(("metric", "order"), [("accuracy", ["b", "c", "a"]), ("mse", ["a", "c", "b"])])
def test_best_first(metric: str, order: list[str]) -> None:
    # After the last step `a` has the largest value; but its result is read earlier.
    found = [
        entry("a", [[0.5, 0.5], [0.1, 0.2], [1.0, 1.0]], step=1),
        entry("b", [[0.6, 0.6], [0.2, 0.2], [0.8, 0.9]]),
        entry("c", [[0.7, 0.7], [0.9, 0.9], [0.3, 0.6]]),
    ]
    rows = comparison.rows(COMMON | {"metric": metric}, found)
    assert [row["name"] for row in rows] == order
    best = {"accuracy": 0.85, "mse": 0.15}[metric]
    assert rows[0]["value"] == pytest.approx(best)
    assert (rows[0]["difference"], rows[0]["difference_ci95"]) == (0, 0)
    for row in rows:
        assert row["difference"] == pytest.approx(row["value"] - best)


@pytest.mark.parametrize("metric", ["accuracy", "mse"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_diverged_comes_last(metric: str, place: int) -> None:
    found = [flat("one", [0.5, 0.4]), flat("other", [0.5, 0.6])]
    found.insert(place, flat("diverged", [0.5, math.nan]))
    rows = comparison.rows(COMMON | {"metric": metric}, found)
    best, second = ("other", "one") if metric == "accuracy" else ("one", "other")
    assert [row["name"] for row in rows] == [best, second, "diverged"]
    assert math.isfinite(rows[0]["target"])
    assert rows[0]["steps_to_target"] == 1
    assert rows[1]["difference"] == pytest.approx(-0.2 if metric == "accuracy" else 0.2)


def test_numbers_of_a_row() -> None:
    good = Entry("good", [0, 1, 2], GOOD, 2, "shot", 0.25, 60.0)
    row = comparison.rows(COMMON, [entry("poor", POOR), good], target=0.45)[0]
    assert row == {
        **{"name": "good", "value": pytest.approx(0.605), "tasks": 4, "steps": 2, "unit": "shot"},
        **{"ci95": pytest.approx(T95[3] * statistics.stdev(GOOD[2]) / 2), "seconds_per_step": 0.25, "training_s": 60.0},
        **{"difference": 0, "difference_ci95": 0, "pairs": 4, "target": 0.45, "steps_to_target": 1},
        **{"over_scratch": None, "over_scratch_ci95": None, "over": "task", "over_classes": None},
        **{"area": pytest.approx((0.325 + 0.5275) / 2), "before": pytest.approx(0.2)},
    }


def test_entries_of_two_runs(tmp_path: Path) -> None:
    scratch = {"scratch": (POOR, 1), "scratch_many_steps": (POOR, 2)}
    first = run(tmp_path / "a", "maml", GOOD, step=1, baselines=scratch)
    second = run(
        tmp_path / "b", "memory", POOR, baselines={"scratch": (GOOD, 2)}, step_unit="shot", seconds_per_step=0.5
    )
    common, found = entries([first, second])
    assert common == {
        **{"dataset": "glyphs", "ways": 5, "shots": 1, "queries": 15, "split": "meta_test", "metric": "accuracy"},
        **{"fingerprint": "f0", "seed": 0},
    }
    assert found == [
        Entry("maml", [0, 1, 2], GOOD, 1, "step", 0.004, 90.0),
        Entry("memory", [0, 1, 2], POOR, 2, "shot", 0.5, 90.0),
        Entry("scratch", [0, 1, 2], POOR, 1, "step", None, None, True),  # the first run's
        Entry("scratch_many_steps", [0, 1, 2], POOR, 2, "step", None, None, True),
    ]
    assert [one.name for one in entries([second, first])[1]] == ["memory", "maml", "scratch"]


def test_the_same_learner_twice_is_told_apart_by_folder(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / "few", "maml", POOR),
        run(tmp_path / "anil", "anil", POOR),
        run(tmp_path / "m", "maml", GOOD),
    ]
    _, found = entries(runs)
    assert [one.name for one in found] == ["maml (few)", "anil", "maml (m)"]
    assert [one.values for one in found] == [POOR, POOR, GOOD]


@pytest.mark.parametrize("case", ["folders of one name", "here", "a run of scratch"])
def test_no_two_curves_have_one_name(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(tmp_path / "a" / "run", "maml", GOOD, baselines={"scratch": (POOR, 2)})
    second = run(tmp_path / "b" / "run", "scratch" if case == "a run of scratch" else "maml", GOOD)
    if case == "here":
        monkeypatch.chdir(first)
        first = Path()
    _, found = entries([first, second])
    names = [one.name for one in found]
    assert len(set(names)) == len(names) == 3
    assert not any("()" in name for name in names)


def test_nothing_is_trained_from_scratch(tmp_path: Path) -> None:
    _, (only,) = entries([run(tmp_path / "run", "scratch", GOOD)])
    assert only.training_s is None
    assert only.seconds_per_step == 0.004


def test_no_run() -> None:
    with pytest.raises(ConfigError, match=r"error: there is no run to compare\n  fix: give run directories"):
        entries([])


def broken(folder: Path, name: str, content: bytes | None) -> None:
    """A run whose file has another content, or none; it is refused wherever it stands."""
    good, bad = run(folder / "good", "maml", GOOD), run(folder / "bad", "maml", GOOD)
    (bad / name).unlink()
    if content is not None:
        (bad / name).write_bytes(content)
    for folders in ([bad], [good, bad], [bad, good]):
        with pytest.raises(ConfigError) as caught:
            entries(folders)
        (problem,) = caught.value.problems
        assert str(bad / name) in problem.what
        assert "runs" in problem.fix
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["result.json", "per_task.json"])
@pytest.mark.parametrize("content", [None, b"{", b"", b"\xff\xfe"], ids=["none", "half", "empty", "bytes"])
def test_a_file_that_cannot_be_read(name: str, content: bytes | None, tmp_path: Path) -> None:
    broken(tmp_path, name, content)


@pytest.mark.parametrize("name", ["result.json", "per_task.json"])
@pytest.mark.parametrize("content", [b"{}", b"[]", b"null"])
def test_a_file_that_says_too_little(name: str, content: bytes, tmp_path: Path) -> None:
    broken(tmp_path, name, content)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        entries([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dataset", "omniglot"),
        ("ways", 20),
        ("shots", 5),
        ("queries", 10),
        ("split", "meta_validation"),
        ("metric", "mse"),
        ("seed", 7),
        ("fingerprint", "f1"),
    ],
)
def test_runs_on_other_tasks(name: str, value: Any, tmp_path: Path) -> None:
    first, same = run(tmp_path / "first", "maml", GOOD), run(tmp_path / "same", "anil", GOOD)
    other = run(tmp_path / "other", "reptile", GOOD, **{name: value})
    with pytest.raises(ConfigError) as caught:
        entries([first, same, other])
    (problem,) = caught.value.problems
    assert problem.what.startswith(f"{other} has {name}={value}, but {first} has {name}=")
    assert str(same) not in problem.what
    assert problem.fix.startswith(f"compare runs on the same tasks, e.g. metalstm-report {first} {same}; ")


def test_every_difference_is_told_at_once(tmp_path: Path) -> None:
    folders = [run(tmp_path / "a", "maml", GOOD), run(tmp_path / "b", "maml", GOOD, ways=20, seed=1)]
    folders.append(run(tmp_path / "c", "maml", GOOD, shots=5))
    with pytest.raises(ConfigError) as caught:
        entries(folders)
    told = [problem.what.split(", but ")[0] for problem in caught.value.problems]
    assert told == [f"{folders[1]} has ways=20", f"{folders[1]} has seed=1", f"{folders[2]} has shots=5"]
    assert [problem.fix.startswith("compare runs on the same tasks") for problem in caught.value.problems] == [True] * 3


def test_of_many_differences_the_first_are_told(tmp_path: Path) -> None:
    folders = [run(tmp_path / f"r{seed}", "maml", GOOD, seed=seed) for seed in range(9)]
    with pytest.raises(ConfigError) as caught:
        entries(folders)
    assert len(caught.value.problems) == 6
    assert caught.value.problems[-1].what == "3 more such differences"


def test_the_remedy_for_a_sweep_over_seeds_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = tmp_path / "a sweep"
    for learner in ("anil", "maml"):
        for seed in (0, 1):
            run(sweep / f"learner-{learner}_seed-{seed}", learner, GOOD, seed=seed)
    with pytest.raises(ConfigError) as caught:
        entries(runs_in([sweep]))
    first, last = caught.value.problems
    assert "metalstm-report" not in first.fix  # once is enough
    command = re.search(r"e\.g\. (metalstm-report .*); means over the seeds of a sweep are in its summary", last.fix)
    assert command is not None
    monkeypatch.setattr("sys.argv", shlex.split(command[1]))
    assert parse().runs == sorted(sweep.glob("*_seed-0"))  # as README has it
    assert [entry.name for entry in entries(parse().runs)[1]] == ["anil", "maml"]


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e35])
def test_what_is_infinite_has_diverged(value: float, tmp_path: Path) -> None:
    diverged = [*GOOD[:-1], [value, *GOOD[-1][1:]]]
    good, bad = run(tmp_path / "a", "maml", GOOD), run(tmp_path / "b", "anil", diverged)
    _, found = entries([bad, good])
    assert math.isnan(found[0].final()[0])
    assert found[0].final()[1:] == GOOD[-1][1:]
    rows = comparison.rows(COMMON, found)
    assert [row["name"] for row in rows] == ["maml", "anil"]
    assert math.isnan(rows[1]["value"])


def test_other_numbers_of_test_tasks_may_be_compared(tmp_path: Path) -> None:
    folders = [run(tmp_path / "a", "maml", GOOD), run(tmp_path / "b", "anil", [row[:2] for row in POOR])]
    rows = comparison.rows(*entries(folders))
    assert [(row["tasks"], row["pairs"]) for row in rows] == [(4, 4), (2, 2)]
    assert rows[1]["difference"] == pytest.approx(-0.1)


def cells(table: str) -> list[list[str]]:
    """A Markdown table's rows below its heading."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert lines[1] == "|---" * 9 + "|"
    assert len({line.count("|") for line in lines}) == 1
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", cell)]


@pytest.mark.parametrize("metric", ["accuracy", "mse"])
def test_the_table_says_what_the_rows_say(metric: str) -> None:
    common = COMMON | {"metric": metric}
    uneven = [[0.2, 0.2, 0.2, 0.2], [0.2137, 0.3, 0.4, 0.5], [0.2, 0.4319, 0.58, 0.81]]
    found = [
        Entry("good", [0, 1, 2], GOOD, 2, "step", 0.25, 90.0),
        Entry("poor", [0, 1, 2], uneven, 1, "shot", 0.002, 660.0),
        Entry("scratch", [0, 5, 10], [row[:2] for row in uneven], 10, "step", None, None, True),
        Entry("start", [0], [[0.1, 0.2]], 0, "step", 0.5, None),
    ]
    rows = comparison.rows(common, found, target=0.45 if metric == "accuracy" else 0.35)
    percent, places = (100, 0.005 + 1e-9) if metric == "accuracy" else (1, 1e-4)
    table = comparison.markdown(common, rows)
    assert table.endswith("|\n")
    read = cells(table)
    assert [row[0] for row in read] == [row["name"] for row in rows]
    for got, row in zip(read, rows, strict=True):
        _, value, tasks, difference, over, reached, mean, before, trained = got
        wanted = [percent * row["value"], percent * row["ci95"], row["steps"]]
        timed = row["seconds_per_step"] is not None
        if timed and row["steps"] > 0:
            wanted.append(1000 * row["steps"] * row["seconds_per_step"])
        assert numbers(value) == pytest.approx(wanted, abs=places if max(wanted) < 1 or percent == 100 else 5e-4)
        assert f"after {row['steps']} {row['unit']}{'' if row['steps'] == 1 else 's'}" in value
        assert numbers(tasks) == [row["tasks"]]
        if row is rows[0]:
            assert difference == "-"
        else:
            halves = [percent * row["difference"], percent * row["difference_ci95"]]
            assert numbers(difference) == pytest.approx(halves, abs=places)
            assert difference[0] in "+-"
        if row["name"] == "scratch":
            assert over == "-"
        else:
            halves = [percent * row["over_scratch"], percent * row["over_scratch_ci95"]]
            assert numbers(over) == pytest.approx(halves, abs=places)
        if row["steps_to_target"] is None:
            assert reached == "not reached"
        else:
            steps = row["steps_to_target"]
            taken = [1000 * steps * row["seconds_per_step"]] if timed and steps > 0 else []
            assert numbers(reached) == pytest.approx([steps, *taken])
        assert numbers(mean) == pytest.approx([percent * row["area"]], abs=places)
        assert numbers(before) == pytest.approx([percent * row["before"]], abs=places)
        assert trained == "none" if row["training_s"] is None else numbers(trained) == [row["training_s"] / 60]
        assert (metric == "accuracy") == ("%" in value + mean + before)
    heading = table.splitlines()[2]
    assert f"paired difference from {rows[0]['name']}" in heading
    assert numbers(heading) == [45.0 if metric == "accuracy" else 0.35]


def test_the_table_says_what_the_tasks_were() -> None:
    rows = comparison.rows(COMMON, [flat("one", [0.2, 0.8])])
    assert comparison.markdown(COMMON, rows).startswith("glyphs, 5-way 1-shot: accuracy on meta_test tasks")
    regression = COMMON | {"dataset": "sinusoid", "metric": "mse", "ways": 1, "shots": 10}
    rows = comparison.rows(regression, [flat("one", [2.0, 0.8])])
    assert comparison.markdown(regression, rows).startswith("sinusoid, 10-shot: mse on meta_test tasks")


def test_a_name_adds_no_column_to_a_table() -> None:
    rows = comparison.rows(COMMON, [flat("a|b", [0.2, 0.8])])
    assert "| a\\|b | " in comparison.markdown(COMMON, rows)
    assert comparison.cells(COMMON, rows)[1][0][0] == "a|b"


def test_differences_from_the_better_of_two_that_were_not_meta_trained() -> None:
    weak, strong = (
        Entry(name, [0, 1], [[0.2] * 3, values], 1, "step", None, None, True)
        for name, values in (("weak", [0.1, 0.2, 0.3]), ("strong", [0.4, 0.5, 0.9]))
    )
    learner = Entry("learner", [0, 1], [[0.2] * 4, [0.5, 0.7, 0.9, 0.0]], 1, "step", None, 60.0)
    rows = {row["name"]: row for row in comparison.rows(COMMON, [weak, learner, strong])}
    half = T95[2] * statistics.stdev([0.1, 0.2, 0.0]) / math.sqrt(3)
    assert rows["learner"]["over_scratch"] == pytest.approx(0.1)  # over the three tasks of both
    assert rows["learner"]["over_scratch_ci95"] == pytest.approx(half)
    assert rows["strong"]["over_scratch"] == 0
    assert rows["weak"]["over_scratch"] == pytest.approx(-0.4)


def test_there_is_no_minus_zero() -> None:
    assert (number(-0.00001, True), number(-0.0001, True), number(-0.00001, False)) == ("0.00%", "-0.01%", "-1e-05")
