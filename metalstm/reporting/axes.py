"""From numbers to places on an axis, 0 to 1, and the ticks beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

LINEAR_STEPS = 10  # up to here an axis of steps is even; from here on each decade takes as much room as these


class Axis(NamedTuple):
    """An axis."""

    place: Callable[[float], float]  # 0 at the axis's low end, 1 at its high one
    ticks: list[tuple[float, str]]
    label: str


def linear(low: float, high: float, label: str, form: Callable[[float], str], most: int = 7) -> Axis:
    """Return an even axis from `low` to `high`, of no more than so many ticks and one."""
    width = (high - low) or 1.0
    ticks = [(tick, form(tick)) for tick in round_numbers(low, high, most)]
    return Axis(lambda value: (value - low) / width, ticks, label)


def logarithmic(values: Iterable[float], label: str) -> Axis:
    """Return an axis of logarithms that holds the positive ones of `values`.

    Numbers that are not positive lie at its low end.
    """
    known = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    low, high = math.log10(min(known)), math.log10(max(known))
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)
    factors = (1,) if high - low > 3 else (1, 3) if high - low > 1.2 else (1, 2, 3, 5, 7)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    inside = [(tick, f"{tick:g}") for tick in ticks if low <= math.log10(tick) <= high]

    def place(value: float) -> float:
        return (math.log10(value) - low) / (high - low) if value > 0 else 0.0

    return Axis(place, inside, label)


def of_steps(last: int, label: str) -> Axis:
    """Return an axis of steps 0 to `last`: even at first, then by decades."""

    def along(step: float) -> float:
        return step / LINEAR_STEPS if step <= LINEAR_STEPS else 1 + math.log10(step / LINEAR_STEPS)

    if last <= LINEAR_STEPS:
        ticks = list(range(last + 1))
    else:
        ticks = [0, 1, 2, 5, *(d * 10**p for p in range(1, len(str(last)) + 1) for d in (1, 2, 5))]
    shown = [(float(tick), str(tick)) for tick in ticks if tick <= last]
    return Axis(lambda step: along(step) / along(max(1, last)), shown, label)


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    width = high - low
    if not width > 0 or not math.isfinite(width):
        return [low]
    power = 10.0 ** math.floor(math.log10(width / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if width / (factor * power) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]
