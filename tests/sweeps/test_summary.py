"""A sweep's summary: means and intervals over seeds, the best on the same tasks, and what failed."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import pytest
from scipy import stats

from metalstm.sweeps.summary import Outcome, as_csv, rows, table


def result(value: float, shots: int = 1, **changes: Any) -> dict[str, Any]:
    same = {"dataset": "glyphs", "ways": 5, "shots": shots, "queries": 15, "split": "meta_test", "tasks": 600}
    drawn = {"environment": {"seed": 0}, "protocol": {"fingerprint": "as ever"}}
    return {**same, **drawn, "metric": "accuracy", "value": value, "ci95": 0.01} | changes


def outcome(found: Any, **swept: str) -> Outcome:
    name = "_".join(f"{key}-{value}" for key, value in swept.items())
    if isinstance(found, str):
        return Outcome(name, swept, None, found)
    return Outcome(name, swept, found | {"environment": {"seed": int(swept.get("seed", 0))}}, None)


def test_mean_and_interval_over_seeds() -> None:
    values = [0.9, 0.8, 0.86]
    (row,) = rows([outcome(result(value), learner="maml", seed=str(n)) for n, value in enumerate(values)])
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert (row.value, row.ci95) == pytest.approx(((low + high) / 2, (high - low) / 2))
    assert (row.swept, row.over, row.seeds) == ({"learner": "maml"}, "3 seeds", 3)


def test_of_one_seed_the_interval_is_over_tasks() -> None:
    (row,) = rows([outcome(result(0.9), learner="maml")])
    assert (row.value, row.ci95, row.over, row.seeds) == (0.9, 0.01, "600 tasks", 1)
    assert "600 tasks" in table([row])


def test_the_best_is_marked_on_each_task() -> None:
    values = {("maml", 1): 0.8, ("scratch", 1): 0.5, ("maml", 5): 0.9, ("scratch", 5): 0.95}
    found = rows(
        [outcome(result(value, shots), learner=name, shots=str(shots)) for (name, shots), value in values.items()]
    )
    assert [row.best for row in found] == [True, False, False, True]
    lines = table(found).splitlines()
    assert [line[0] for line in lines] == [" ", "*", " ", " ", "*", "*"]
    assert lines[1].split() == ["*", "maml", "1", "80.00%", "±", "1.00%", "600", "tasks"]


def test_less_error_is_better_and_one_alone_is_not_the_best() -> None:
    errors = rows([outcome(result(value, metric="mse"), learner=name) for name, value in (("a", 0.5), ("b", 0.1))])
    assert [row.best for row in errors] == [False, True]
    assert not any(row.best for row in rows([outcome(result(0.5, shots), shots=str(shots)) for shots in (1, 5)]))


def test_failed_jobs() -> None:
    found = rows(
        [
            outcome(result(0.8), learner="a", seed="0"),
            outcome("ended by SIGKILL", learner="a", seed="1"),
            outcome(result(0.6), learner="b", seed="0"),
            outcome(result(0.9), learner="b", seed="1"),
            outcome("diverged, at step 5", learner="c", seed="0"),
        ]
    )
    assert [row.seeds for row in found] == [1, 2, 0]
    assert math.isnan(found[2].value)
    text = table(found)
    assert "failed    learner-a_seed-1: ended by SIGKILL" in text
    assert "failed    learner-c_seed-0: diverged, at step 5" in text
    read = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [line["failed"] for line in read] == [
        *("learner-a_seed-1: ended by SIGKILL", "", "learner-c_seed-0: diverged, at step 5"),
    ]
    assert [line["value"] for line in read] == ["0.8", "0.75", ""]
    assert [line["best"] for line in read] == ["", "", ""]  # with other seeds the tasks are others
    both = [
        outcome(result(value), learner=name, seed=seed) for name, value in (("a", 0.8), ("b", 0.7)) for seed in "01"
    ]
    assert [row.best for row in rows(both)] == [True, False]


def test_no_formula_in_the_summary() -> None:
    found = rows([outcome(result(-0.5), start="=cmd()"), outcome("@died; +1", start="runs/-x")])
    first, second = csv.DictReader(io.StringIO(as_csv(found)))
    assert (first["start"], first["value"]) == ("'=cmd()", "-0.5")
    assert (second["start"], second["failed"]) == ("runs/-x", "start-runs/-x: @died;' +1")


def test_other_data_is_not_compared() -> None:
    prints = [{"protocol": {"fingerprint": name}} for name in ("easy", "hard")]
    found = rows([outcome(result(0.9 - n / 10, **prints[n]), **{"dataset.seed": str(n)}) for n in range(2)])
    assert not any(row.best for row in found)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_diverged_has_no_mean_and_is_never_the_best(value: float) -> None:
    values = {("a", "0"): value, ("a", "1"): 1.0, ("b", "0"): 0.5, ("b", "1"): 0.7, ("c", "0"): 0.8, ("c", "1"): 0.9}
    outcomes = [outcome(result(mse, metric="mse"), learner=name, seed=seed) for (name, seed), mse in values.items()]
    found = rows(outcomes)
    assert math.isnan(found[0].value)
    assert [row.best for row in found] == [False, True, False]
    assert table(found).splitlines()[1].split() == ["a", "-", "-", "2", "seeds"]
