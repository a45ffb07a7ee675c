"""What may be searched, in Hydra's sweep grammar: what it comes to, what Optuna is asked, and what is refused."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from metalstm.errors import ConfigError
from metalstm.sweeps.search.space import Space, parse


def space(text: str) -> Space:
    fixed, spaces = parse([text])
    assert fixed == []
    return spaces[0]


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("x=interval(1e-4,1)", FloatDistribution(1e-4, 1)),
        ("x=tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("x=int(interval(1,5))", IntDistribution(1, 5)),
        ("x=tag(log,int(interval(8,256)))", IntDistribution(8, 256, log=True)),
        ("x=range(1,5)", IntDistribution(1, 4)),
        ("x=range(3)", IntDistribution(0, 2)),
        ("x=range(1,9,3)", IntDistribution(1, 7, step=3)),
        ("x=range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("x=range(5,1,-2)", IntDistribution(3, 5, step=2)),
        ("x=tag(log,range(1,65))", IntDistribution(1, 64, log=True)),
        ("x=range(0.1,0.4,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("x=a,b", CategoricalDistribution(("a", "b"))),
        ("x=choice(8,16,32)", CategoricalDistribution(("8", "16", "32"))),
        ("x=a,b,a", CategoricalDistribution(("a", "b"))),
        ("x=true,null", CategoricalDistribution(("true", "null"))),
        ("+x='a b','c,d'", CategoricalDistribution(("'a b'", "'c,d'"))),
    ],
)
def test_spaces(text: str, distribution: BaseDistribution) -> None:
    found = space(text)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    value = found.suggest(trial)
    assert trial.distributions == {found.name: distribution}
    assert found.override(value).startswith(f"{found.name}={str(value)[:3]}")
    fixed, spaces = parse([found.override(value)])
    assert (fixed, spaces) == ([found.override(value)], [])  # what a trial is given is one value again


def test_the_ends() -> None:
    assert space("a.b=tag(log,interval(1e-5,1))").ends() == ["a.b=1e-05", "a.b=1.0"]
    assert space("a=range(1,9,3)").ends() == ["a=1", "a=7"]
    assert space("g=maml,anil,reptile").ends() == ["g=maml", "g=anil", "g=reptile"]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("x=interval(0.1,1)", [0.1, 0.5, 1], [0.09, 1.1, None, "a", True, math.nan]),
        ("x=range(1,9,3)", [1, 4, 7], [2, 8, 0]),
        ("x=range(0.1,0.4,0.1)", [0.1, 0.2, 0.3], [0.15, 0.4]),
        ("x=maml,anil", ["maml"], ["reptile", 1]),
        ("x=8,null,true", [8, None, True], [9, False]),
    ],
)
def test_where_a_value_is_placed(text: str, inside: list[object], outside: list[object]) -> None:
    assert None not in [space(text).placed(value) for value in inside]
    assert {space(text).placed(value) for value in outside} == {None}


def test_fixed_settings_stay_as_they_are_written() -> None:
    fixed, spaces = parse(["ways=1", "x=1,2", "+y='a,b'", "dataset.root=/data", "z=[1,2]"])
    assert fixed == ["ways=1", "+y='a,b'", "dataset.root=/data", "z=[1,2]"]
    assert [one.text for one in spaces] == ["x=1,2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x=interval(1,1)", "an interval goes from a number to a larger one"),
        ("x=interval(2,1)", "an interval goes from a number to a larger one"),
        ("x=interval(1,inf)", "an interval goes from a number to a larger one"),
        ("x=tag(log,interval(0,1))", "a logarithmic scale begins above 0"),
        ("x=tag(log,range(1,9,2))", "a range on a logarithmic scale has whole numbers, one by one"),
        ("x=range(5,5)", "the range is empty"),
        ("x=range(5,1)", "the range is empty"),
        ("x=range(1,5,0)", "a range goes from a number to another by steps other than 0"),
        ("x=tag(log,choice(1,2))", "choices have no scale"),
        ("x=tag(lgo,interval(1,2))", "the tag lgo is unknown"),
        ("x=glob(*)", "patterns are not searched"),
    ],
)
def test_what_is_no_space(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([text])
    assert str(caught.value).startswith(f"error: {text}: {said}")


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(["x=interval(1,1)", "y=range(5,5)", "z=1,2", "z=3", "z=4,5"])
    assert len(caught.value.problems) == 3
    assert "error: z is given twice" in str(caught.value)
