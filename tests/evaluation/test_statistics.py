"""Intervals: Student's t at any size, over whole units where values share them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metalstm.evaluation.statistics import mean_and_ci95, ratio_and_ci95, student_t


@pytest.mark.parametrize("values", [[0.2, 0.4, 0.4, 0.9, 0.6], [3.0, 2.0], [-1.5, 20.0, 0.125], [0.5, 0.25] * 300])
def test_values_that_are_each_a_unit(values: list[float]) -> None:
    mean, half = mean_and_ci95(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == (pytest.approx(low), pytest.approx(high))
    assert mean_and_ci95(values, range(len(values))) == pytest.approx((mean, half))


@pytest.mark.parametrize("degrees", [1, 2, 5, 29, 999])
def test_student_t(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(stats.t.ppf(0.975, degrees))


def test_two_tasks_are_far_from_normal() -> None:
    assert mean_and_ci95([0.4, 0.6])[1] == pytest.approx(12.7062 * 0.1, rel=1e-5)  # 1.96 * 0.1 says 6.5 times less


def test_one_unit_says_nothing_about_others() -> None:
    assert mean_and_ci95([0.3]) == (0.3, math.inf)
    assert mean_and_ci95([0.25, 0.75], ["a", "a"]) == (0.5, math.inf)


def test_what_diverged_has_no_interval() -> None:
    assert all(map(math.isnan, mean_and_ci95([0.5, math.nan])))


def patients(shared: float, alone: float) -> tuple[np.ndarray, np.ndarray]:
    """Values of 40 patients with 1 to 30 tasks each: what a patient's tasks share, and what they do not."""
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(40), random.integers(1, 31, 40))
    return shared * random.normal(size=40)[units] + alone * random.normal(size=len(units)), units


def test_whole_units_as_a_bootstrap_of_them_has_it() -> None:
    values, units = patients(1, 0.5)
    random = np.random.default_rng(1)
    sums, counts = np.bincount(units, values), np.bincount(units)
    drawn = random.integers(0, 40, (20_000, 40))
    spread = (sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)).std()
    mean, half = mean_and_ci95(values.tolist(), units.tolist())
    assert mean == pytest.approx(values.mean())
    assert half == pytest.approx(stats.t.ppf(0.975, 39) * spread, rel=0.05)
    assert half > 3 * mean_and_ci95(values.tolist())[1]  # what the tasks alone would claim


def test_equal_units_are_their_means() -> None:
    values = [0.1, 0.3, 0.5, 0.9, 0.2, 0.6]
    assert mean_and_ci95(values, [7, 7, 8, 8, 9, 9]) == pytest.approx(mean_and_ci95([0.2, 0.7, 0.4]))
    assert ratio_and_ci95([0.4, 1.4, 0.8], [2, 2, 2]) == pytest.approx(mean_and_ci95([0.2, 0.7, 0.4]))
