"""The runs of Omniglot that README's table is made of: tested again, each gives its number again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from metalstm.evaluation.statistics import mean_and_ci95
from support.places import REFERENCE, shared_data

OMNIGLOT = REFERENCE / "omniglot"
RUNS = sorted(path.parent for path in OMNIGLOT.glob("*/checkpoints"))
# In the directory of a run, and one below for each other shape; not in tests/, where metalstm-test writes.
RESULTS = sorted(path.parent for run in RUNS for path in (run / "result.json", *run.glob("*/result.json")))
TASKS = 30

if not OMNIGLOT.is_dir():
    pytest.skip("the committed runs need the repository", allow_module_level=True)


def per_task(folder: Path, tasks: int) -> list[list[float]]:
    """The metric of the first tasks, at each point of the curve."""
    values = json.loads((folder / "per_task.json").read_text(encoding="utf-8"))["learner"]["values"]
    return [list(point[:tasks]) for point in values]


@pytest.mark.slow
@pytest.mark.parametrize("kept", RESULTS, ids=lambda kept: str(kept.relative_to(OMNIGLOT)))
def test_a_kept_run_gives_its_numbers_again(kept: Path, in_process: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    directory = next(path for path in (kept, kept.parent) if path in RUNS)
    shutil.copytree(directory, run, ignore=shutil.ignore_patterns("tests"))
    result = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    shape = (f"ways={result['ways']}", f"shots={result['shots']}", f"curve_steps={len(result['curve']) - 1}")
    ended = in_process(
        "test", f"run={run}", f"dataset_root={shared_data('omniglot')}", *shape, f"tasks={TASKS}", "threads=1"
    )
    assert ended.code == 0, ended.err
    (again,) = run.glob("tests/*/per_task.json")
    before, now = per_task(kept, TASKS), per_task(again.parent, TASKS)
    assert len(before) == len(now)
    for committed, found in zip(before, now, strict=True):
        # The same tasks and weights; another machine may round a query or two to the other side.
        assert sum(abs(one - other) for one, other in zip(committed, found, strict=True)) / TASKS < 0.002


ALL = sorted(path.parent for path in OMNIGLOT.parent.rglob("per_task.json") if "tests" not in path.parts)


@pytest.mark.parametrize("kept", ALL, ids=lambda kept: str(kept.relative_to(OMNIGLOT.parent)))
def test_a_kept_interval_is_that_of_its_tasks(kept: Path) -> None:
    result, per_task = (
        json.loads((kept / name).read_text(encoding="utf-8")) for name in ("result.json", "per_task.json")
    )
    for name, entry in (("learner", result), *result["baselines"].items()):
        curve = per_task[name]
        values = curve["values"][curve["at"].index(entry["steps"])]
        units = per_task.get("units", list(range(len(values))))[: len(values)]
        assert entry["ci95"] == pytest.approx(mean_and_ci95(values, units)[1], rel=1e-3, abs=1e-6)
        assert (entry["intervals"][0]["units"], entry["intervals"][0]["ci95"]) == (len(set(units)), entry["ci95"])


def test_there_are_kept_runs() -> None:
    assert len(RUNS) > 0
    for run in RUNS:
        assert {"config.yaml", "run.json", "result.json"} <= {path.name for path in run.iterdir()}
        assert json.loads((run / "result.json").read_text(encoding="utf-8"))["protocol"]["fingerprint"]
