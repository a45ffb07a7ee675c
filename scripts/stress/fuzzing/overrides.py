"""Command lines of `metalstm-train` and `metalstm-test`: right ones, nearly right ones, and nonsense."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from metalstm import registry
from metalstm.config.schema import MetaTestSettings, TrainSettings

from . import words

GROUPS = {group: registry.settings_classes(group) for group in registry.GROUPS}

# A run that would begin at once, were nothing else given.
TINY = {
    "dataset.classes": 36,
    "model.hidden_size": 8,
    "learner.inner_steps": 2,
    **{"ways": 3, "queries": 2, "train_queries": 2, "steps": 1, "meta_batch_size": 2, "validation_tasks": 2},
    **{"test_tasks": 2, "scratch_tasks": 0, "threads": 1},
}


class Line(NamedTuple):
    """A command line."""

    command: str  # train or test
    arguments: tuple[str, ...]


def setting_names(settings: type) -> list[str]:
    return [item.name for item in dataclasses.fields(settings)]


TRAIN_NAMES = setting_names(TrainSettings)
IN_GROUPS = sorted(
    {f"{group}.{name}" for group, kinds in GROUPS.items() for kind in kinds.values() for name in setting_names(kind)}
)
TEST_NAMES = setting_names(MetaTestSettings)
PATHS = ("output_dir", "resume", "run", "dataset.root", "dataset_root")

# No slash: what is made up must not lead out of the sandbox.
TEXT = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.one_of(st.integers(-3, 30), st.sampled_from(words.INTEGERS)).map(str)
LISTED = [words.FLOATS, words.NOTHING, words.NESTED, words.INTERPOLATED, words.SWEPT, words.QUOTED]
VALUES = st.one_of(INTEGERS, *map(st.sampled_from, LISTED), TEXT)


@st.composite
def misspelt(draw: DrawFn, names: SearchStrategy[str]) -> str:
    name = draw(names)
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from([*"abz_.-0 @:/=é", ""]))
    return draw(st.sampled_from([name[:at] + letter + name[at + 1 :], name[:at] + letter + name[at:], name.upper()]))


def quoted(text: str) -> str:
    """As Hydra takes any text."""
    escaped = text.replace("'", "\\'")
    return f"'{escaped}'"


@st.composite
def overrides(draw: DrawFn, names: list[str]) -> str:
    """A name and a value, each right or odd, with any of the prefixes."""
    known = st.sampled_from(names)
    odd_names = st.one_of(
        misspelt(known), known.map(lambda name: f"{name}.x"), st.sampled_from(["", ".", "x", "a.b", "_"])
    )
    name = draw(st.one_of(known, known, known, odd_names))
    prefix = draw(st.sampled_from(["", "", "", "", "", "", "+", "++", "~", "~~", "+++"]))
    odd_path = st.sampled_from(words.PATHS)
    value = draw(st.one_of(odd_path, odd_path.map(quoted)) if name in PATHS else VALUES)
    form = draw(st.sampled_from(["{}{}={}"] * 8 + ["{}{}", "{}{}={}={}", "{} {} = {}", "{}{}:{}"]))
    return form.format(prefix, name, value, value)


def tiny(given: tuple[str, ...]) -> list[str]:
    """The tiny run's settings, less those that an odd one is about, so that it is the odd one that matters."""
    about = {argument.lstrip("+~ ").split("=")[0].split("@")[0].strip() for argument in given}
    return [f"{name}={value}" for name, value in TINY.items() if not {name, name.split(".")[0]} & about]


@st.composite
def lines(draw: DrawFn) -> Line:
    """Any command line, of one to three odd parts."""
    if draw(st.integers(0, 4)) == 0:
        return Line("test", draw(test_arguments()))
    part = st.one_of(
        *[overrides(TRAIN_NAMES), overrides(IN_GROUPS), overrides([*PATHS[:2], "dataset.root"])],
        *[st.sampled_from(words.GROUP_CHOICES), st.sampled_from(words.HYDRA)],
    )
    given = tuple(draw(st.lists(part, min_size=1, max_size=3)))
    flag = draw(st.one_of(st.just(()), st.just(()), st.just(()), st.just(("-m",)), st.sampled_from(words.FLAGS)))
    return Line("train", (*flag, *tiny(given), *given))


@st.composite
def test_arguments(draw: DrawFn) -> tuple[str, ...]:
    given = draw(st.lists(st.one_of(overrides(TEST_NAMES), st.sampled_from(words.HYDRA)), min_size=1, max_size=3))
    flag = draw(st.one_of(st.just(()), st.just(()), st.sampled_from(words.FLAGS)))
    runs = draw(st.sampled_from([(), ("run=run",), ("run=run",)]))  # `run` is a run that is over
    return (*flag, *runs, *given)


NUMBERS = [1e-45, 1e-38, 1e-8, 0.5, 3.0, 1e4, 1e19, 3.4e38, 1e39, 1e300, 1.7976931348623157e308, 10**9]
SIZES = [
    "shots",
    "meta_batch_size",
    "model.hidden_size",
    "model.width",
    "learner.hidden_size",
    "learner.task_chunk_size",
]


@st.composite
def trainings(draw: DrawFn) -> Line:
    """Settings that are in bounds, each by itself, to be trained with: any learner, extreme rates, a huge size."""
    given = {
        "learner": draw(st.sampled_from(sorted(GROUPS["learner"]))),
        "model": draw(st.sampled_from(["lstm", "mlp"])),
    }
    if draw(st.booleans()):
        given |= {"dataset": "sinusoid", "ways": "1"}
    kinds = [
        ("", TrainSettings),
        ("learner.", GROUPS["learner"][given["learner"]]),
        ("model.", GROUPS["model"][given["model"]]),
    ]
    items = [
        (prefix + item.name, item) for prefix, kind in kinds for item in dataclasses.fields(kind)
        if item.metadata and (prefix + item.name in SIZES or not str(item.type).startswith("int"))
    ]  # fmt: skip
    for name, item in draw(st.lists(st.sampled_from(items), min_size=1, max_size=3)):
        given[name] = draw(in_bounds(name, item))
    rest = [f"{name}={value}" for name, value in TINY.items() if not clashes(name, given)]
    return Line("train", (*rest, *(f"{name}={value}" for name, value in given.items())))


def in_bounds(name: str, item: dataclasses.Field[Any]) -> SearchStrategy[str]:
    limits = item.metadata
    if "choices" in limits:
        return st.sampled_from(limits["choices"]).map(lambda value: "null" if value is None else str(value))
    if str(item.type).startswith("int"):
        return st.sampled_from(["1", "2", "3", str(10**9), str(2**40), str(2**62), str(10**30)])
    low, above, below, high = (limits.get(key) for key in ("minimum", "above", "below", "maximum"))
    fitting = [
        number for number in (0.0, *NUMBERS)
        if not (low is not None and number < low) and not (above is not None and number <= above)
        and not (below is not None and number >= below) and not (high is not None and number > high)
    ]  # fmt: skip
    almost = [math.nextafter(edge, 0) for edge in (below,) if edge is not None]
    return st.sampled_from([*fitting, *almost]).map(repr)


def clashes(name: str, given: dict[str, str]) -> bool:
    """Whether a setting of the tiny run is given already, or the chosen learner or model has none by that name."""
    group, _, short = name.rpartition(".")
    if name in given or (group == "dataset" and "dataset" in given):
        return True
    return group in given and short not in setting_names(GROUPS[group][given[group]])
