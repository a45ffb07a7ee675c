"""The one home of means and their 95% confidence intervals: Student's t over independent units; Wilson's of a share.

What is independent depends on the claim: tasks, where each is drawn by itself; patients, users or drives, where several
tasks are of one of them; classes, for a claim on classes that are not in the data; streams; seeds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.95


class Interval(NamedTuple):
    """A 95% interval and its units: it speaks of new units of this kind, such as tasks or patients."""

    over: str  # such as `task`, `patient`, `class`
    units: int
    ci95: float  # half the width


def mean_and_ci95(values: Sequence[float], units: Sequence[Hashable] | None = None) -> tuple[float, float]:
    """Give the mean of N values and half the width of its 95% confidence interval.

    Args:
        values: N numbers.
        units: N names of what each value is of, such as a patient; values of one unit are not independent. None: each
            value is a unit of its own.

    Returns:
        The mean, and half the width: infinite where there are fewer than two units, NaN where a value is NaN.
    """
    if units is None:
        return ratio_and_ci95(values, [1] * len(values))
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for unit, value in zip(units, values, strict=True):
        sums[unit] = sums.get(unit, 0.0) + value
        counts[unit] = counts.get(unit, 0) + 1
    return ratio_and_ci95(list(sums.values()), list(counts.values()))


def ratio_and_ci95(sums: Sequence[float], counts: Sequence[int]) -> tuple[float, float]:
    """Give the mean over G units of different sizes and half the width of its 95% confidence interval.

    The variance is the cluster-robust one, sum_g (sum_i (x_gi - mean))^2 * G / (G - 1) / N^2 (Cameron & Miller 2015,
    "A practitioner's guide to cluster-robust inference", section II), which a bootstrap over whole units comes to with
    many of them; with one value a unit it is the variance of a mean.

    Args:
        sums: of each unit's values.
        counts: how many values each unit has, at least 1.
    """
    units, total = len(sums), sum(counts)
    mean = math.fsum(sums) / total
    if math.isnan(mean):
        return math.nan, math.nan
    if units < 2:
        return mean, math.inf
    squares = math.fsum((of_unit - mean * count) ** 2 for of_unit, count in zip(sums, counts, strict=True))
    return mean, student_t(units - 1) * math.sqrt(units / (units - 1) * squares) / total


def proportion_ci95(count: int, of: int) -> tuple[float, float]:
    """Give the 95% confidence interval of a proportion: Wilson's (1927), sound for a few, and at 0 and 1."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, scale = count / of, 1 + z**2 / of
    middle = (share + z**2 / (2 * of)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def student_t(degrees: int) -> float:
    """Give the t that 95% of Student's distribution lie within, on both sides of 0."""
    from scipy.special import stdtrit  # the inverse of Student's distribution, without the rest of SciPy

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
