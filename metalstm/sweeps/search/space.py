"""The spaces of a search: settings with several values, in the grammar of Hydra's sweeps.

`a,b` and `choice(a,b)`: one of these. `interval(x,y)`: any number in between; `int(interval(x,y))`: any whole one, both
ends included. `range(x,y)` and `range(x,y,step)`: as in Python, without y. `tag(log,...)` around an interval or a range
of whole numbers: on a logarithmic scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.trial import Trial

from metalstm.config.text import shown
from metalstm.errors import ConfigError, Problem


class Numbers(NamedTuple):
    """Numbers from `low` to `high`, both included; all whole where these are."""

    low: float
    high: float
    step: float | None  # None: any in between
    log: bool  # whether the scale is logarithmic


class Space(NamedTuple):
    """A setting and what it may be."""

    name: str  # as on the command line
    values: Numbers | tuple[str, ...]  # or choices, as the command line writes them
    text: str  # as it was given

    def suggest(self, trial: Trial) -> float | str:
        """Return what the trial has, or now gets, for this setting."""
        if not isinstance(self.values, Numbers):
            return str(trial.suggest_categorical(self.name, self.values))
        low, high, step, log = self.values
        if isinstance(low, int) and isinstance(high, int):
            return trial.suggest_int(self.name, low, high, step=int(step or 1), log=log)
        return trial.suggest_float(self.name, low, high, step=step, log=log)

    def override(self, value: float | str) -> str:
        return f"{self.name}={value if isinstance(value, str) else shown(value)}"

    def ends(self) -> list[str]:
        """As overrides, the values that are to be in bounds for all to be."""
        values = self.values[:2] if isinstance(self.values, Numbers) else self.values
        return [self.override(value) for value in values]

    def placed(self, value: Any) -> float | str | None:
        """Return a setting's value as one of these; None: it is none of them."""
        if not isinstance(self.values, Numbers):
            return shown(value) if shown(value) in self.values else None
        low, high, step, _ = self.values
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            return None
        steps = (value - low) / (step or 1)
        return value if step is None or math.isclose(steps, round(steps), abs_tol=1e-9) else None


def parse(overrides: Sequence[str]) -> tuple[list[str], list[Space]]:
    """Return overrides apart: those that are fixed, and the spaces.

    Raises:
        ConfigError: with every problem found in the spaces.
        HydraException: an override cannot be read.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    problems: list[Problem] = []
    fixed, spaces = [], []
    for override in parsed:
        text = str(override.input_line)
        if not override.is_sweep_override():
            fixed.append(text)
            continue
        try:
            spaces.append(Space(override.get_key_element(), values_of(override), text))
        except ValueError as error:
            problems.append(Problem(f"{text}: {error}", "see metalstm-search --help for what may be searched"))
    problems += [
        Problem(f"{name} is given twice", "give it once")
        for name in twice([space.name for space in spaces] + [text.split("=")[0] for text in fixed])
    ]
    if problems:
        raise ConfigError(*problems)
    return fixed, spaces


def twice(names: Sequence[str]) -> Iterable[str]:
    return sorted({name for name in names if names.count(name) > 1})


def values_of(override: Override) -> Numbers | tuple[str, ...]:
    """Return what a sweep goes over.

    Raises:
        ValueError: it is empty, too large, or cannot be on a logarithmic scale; or a pattern.
    """
    sweep = override.value()
    if not isinstance(sweep, (ChoiceSweep, IntervalSweep, RangeSweep)):
        raise ValueError("patterns are not searched; name the choices")
    unknown = sweep.tags - {"log"}
    if unknown:
        raise ValueError(f"the tag {sorted(unknown)[0]} is unknown; there is log")
    log = "log" in sweep.tags
    if isinstance(sweep, ChoiceSweep):
        if log:
            raise ValueError("choices have no scale to be logarithmic")
        written = zip(override.sweep_iterator(), override.sweep_string_iterator(), strict=True)
        plain = (shown(item) if isinstance(item, bool) else text for item, text in written)
        return tuple(dict.fromkeys(plain))
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None
        assert high is not None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("an interval goes from a number to a larger one")
        return checked(Numbers(low, high, None, log))
    return checked(numbers_of(sweep.start or 0, sweep.stop, sweep.step, log))


def numbers_of(start: float, stop: float | None, step: float, log: bool) -> Numbers:
    """Return the numbers of a range, without its end.

    Raises:
        ValueError: there is none.
    """
    if stop is None or step == 0 or not all(map(math.isfinite, (start, stop, step))):
        raise ValueError("a range goes from a number to another by steps other than 0")
    first, end, by = (Decimal(str(number)) for number in (start, stop, step))  # 0.1 is a tenth
    count = math.ceil((end - first) / by)
    if count < 1:
        raise ValueError("the range is empty")
    whole = all(isinstance(number, int) for number in (start, stop, step))
    low, high = (int(one) if whole else float(one) for one in sorted((first, first + (count - 1) * by)))
    return Numbers(low, high, abs(step), log)


def checked(numbers: Numbers) -> Numbers:
    if numbers.log and numbers.low <= 0:
        raise ValueError("a logarithmic scale begins above 0")
    if numbers.log and numbers.step not in (None, 1):
        raise ValueError("a range on a logarithmic scale has whole numbers, one by one")
    return numbers
