"""Settings: names, types and bounds, all problems in one go; the YAML files and the schemas say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import metalstm
from metalstm import config
from metalstm.config import BUDGETS, GROUPS, MetaTestSettings, TrainSettings
from metalstm.errors import ConfigError
from metalstm.fields import flat, plain, shown

CONFIGS = Path(metalstm.__file__).parents[1] / "configs"


def read(name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(CONFIGS / name))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items() if key not in ("defaults", "hydra")}


def composed(changes: dict[str, Any], dataset: str = "glyphs") -> TrainSettings:
    groups = {"dataset": read(f"dataset/{dataset}.yaml"), "model": read("model/lstm.yaml")}
    values = OmegaConf.create(read("train.yaml") | groups | {"learner": read("learner/maml.yaml")})
    for name, value in changes.items():
        OmegaConf.update(values, name, value, force_add=True)
    return config.train_settings(values)


def problems(changes: dict[str, Any], dataset: str = "glyphs") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        composed(changes, dataset)
    return [problem.what for problem in caught.value.problems]


def bounds() -> list[tuple[str, Any, bool]]:
    """Every bound of every setting: a value on either side of it, and whether it is allowed."""
    cases: list[tuple[str, Any, bool]] = []
    schemas = {"": TrainSettings, "model.": GROUPS["model"]["lstm"], "learner.": GROUPS["learner"]["maml"]}
    for prefix, schema in (schemas | {"dataset.": GROUPS["dataset"]["glyphs"]}).items():
        for field in dataclasses.fields(schema):
            name, limits, whole = prefix + field.name, field.metadata, str(field.type).startswith("int")
            kind, small = (int, 1) if whole else (float, 1e-6)
            if limits.get("minimum") is not None:
                cases += [(name, kind(limits["minimum"]), True), (name, kind(limits["minimum"] - small), False)]
            if limits.get("above") is not None:
                cases += [(name, kind(limits["above"] + small), True), (name, kind(limits["above"]), False)]
            if limits.get("below") is not None:
                cases += [(name, kind(limits["below"] - small), True), (name, kind(limits["below"]), False)]
            cases += [(name, choice, True) for choice in limits.get("choices", ())]
            if "choices" in limits:
                cases.append((name, 99 if whole else "other", False))
            if str(field.type).startswith("float"):
                cases += [(name, float(value), False) for value in ("nan", "inf", "-inf")]
    return cases


@pytest.mark.parametrize(("name", "value", "allowed"), bounds())
def test_bound(name: str, value: Any, allowed: bool) -> None:
    dataset = "sinusoid" if name == "ways" else "glyphs"
    others = {"scratch_tasks": 0} if name == "test_tasks" else {}
    if allowed:
        assert flat(plain(composed({name: value} | others, dataset)))[name] == value
    else:
        found = problems({name: value} | others, dataset)
        assert any(what.startswith(f"{name}={shown(value)}, but it must be") for what in found)


def test_bounds_cover_what_the_field_expects() -> None:
    refused = {name for name, _, allowed in bounds() if not allowed}
    switches = {"model.layer_norm", "learner.recompute"}
    unbounded = {"device", "output_dir", "resume", *switches}
    ours = {name for name in flat(plain(composed({}))) if not name.endswith(".name")}
    assert ours - refused == unbounded


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ways", "five", "a whole number"),
        ("ways", 2.5, "a whole number"),
        ("ways", True, "a whole number"),
        ("ways", None, "a whole number"),
        ("ways", [5, 20], "a whole number"),
        ("outer_lr", "fast", "a number"),
        ("outer_lr", False, "a number"),
        ("outer_lr", None, "a number"),
        ("model.layer_norm", "perhaps", "true or false"),
        ("model.layer_norm", 1, "true or false"),
        ("device", None, "a text"),
        ("output_dir", None, "a text"),
        ("outer_schedule", ["cosine"], "a text"),
    ],
)
def test_type(name: str, value: Any, words: str) -> None:
    assert problems({name: value}) == [f"{name}={shown(value)} is not {words}"]


@pytest.mark.parametrize("name", ["clip_norm", "test_steps", "curve_steps", "threads", "resume", "model.directions"])
def test_null_where_it_means_something(name: str) -> None:
    assert flat(plain(composed({name: None})))[name] is None


def test_a_whole_number_will_do_for_a_rate() -> None:
    rate = composed({"outer_lr": 1}).outer_lr
    assert isinstance(rate, float)
    assert rate == 1.0


def test_seed_zero_is_a_seed() -> None:
    assert composed({"seed": 0}).seed == 0
    assert composed({"test_steps": 0}).steps_tested == 0


def test_all_problems_at_once_in_one_block() -> None:
    changes = {"ways": "five", "shots": 0, "model.dropout": 1.0, "learner.name": "mamml", "wasy": 5}
    with pytest.raises(ConfigError) as caught:
        composed(changes)
    block = str(caught.value).splitlines()
    assert [line.startswith("error: ") for line in block] == [True, False] * 5
    assert [line.startswith("  fix: ") for line in block] == [False, True] * 5
    for named in ("ways=five", "shots=0", "model.dropout=1.0", "learner.name=mamml", "wasy"):
        assert any(named in line for line in block)


@pytest.mark.parametrize(
    ("given", "meant"), [("wasy", "ways"), ("sede", "seed"), ("model.hiden_size", "model.hidden_size")]
)
def test_did_you_mean(given: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"error: {given} is no setting\n  fix: did you mean {meant}\?"):
        composed({given: 5})


def test_no_guess_where_nothing_is_near() -> None:
    with pytest.raises(ConfigError, match="leave it out"):
        composed({"zzzzzz": 5})


@pytest.mark.parametrize("group", ["dataset", "model", "learner"])
@pytest.mark.parametrize("value", ["other", None, ["maml"]])
def test_unknown_choice_of_a_group_lists_what_there_is(group: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"choose {group}=one of {', '.join(GROUPS[group])}"):
        composed({f"{group}.name": value})


@pytest.mark.parametrize(
    ("changes", "dataset", "named"),
    [
        ({"ways": 5}, "sinusoid", "ways=5"),
        ({"ways": 1}, "glyphs", "ways=1"),
        ({"ways": 1, "model.directions": 4}, "sinusoid", "model.directions=4"),
        ({"learner.engine": "higher", "model.dropout": 0.2}, "glyphs", "model.dropout=0.2"),
        ({"learner.engine": "higher", "learner.recompute": True}, "glyphs", "learner.recompute=true"),
        ({"learner.engine": "higher", "precision": "bfloat16"}, "glyphs", "precision=bfloat16"),
        ({"scratch_tasks": 1}, "glyphs", "scratch_tasks=1"),
        ({"scratch_tasks": 20, "test_tasks": 10}, "glyphs", "scratch_tasks=20"),
    ],
)
def test_settings_at_odds(changes: dict[str, Any], dataset: str, named: str) -> None:
    (what,) = problems(changes, dataset)
    assert what.startswith(f"{named}, but") or what.startswith(f"{named} reads")


def test_a_missing_value_is_named() -> None:
    values = OmegaConf.create(read("test.yaml"))
    with pytest.raises(ConfigError, match="run has no value"):
        config.meta_test_settings(values)


def test_budgets_are_settings() -> None:
    every = {f"dataset.{field.name}" for schema in GROUPS["dataset"].values() for field in dataclasses.fields(schema)}
    assert every | set(flat(plain(composed({})))) >= BUDGETS


@pytest.mark.parametrize("path", sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")))
def test_schemas_and_yaml_files_have_the_same_settings(path: str) -> None:
    group, _, _ = path.rpartition("/")
    if path == "hydra.yaml" or group == "experiment":
        return
    values = read(path)
    if group:
        for base in OmegaConf.load(CONFIGS / path).get("defaults", ["_self_"]):
            values = (read(f"{group}/{base}.yaml") if base != "_self_" else {}) | values
        wanted = {field.name for field in dataclasses.fields(GROUPS[group][values["name"]])}
    else:
        schema = {"train.yaml": TrainSettings, "test.yaml": MetaTestSettings}[path]
        wanted = {field.name for field in dataclasses.fields(schema)} - set(GROUPS)
    assert set(values) == wanted
