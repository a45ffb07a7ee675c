"""Settings: names, types and bounds, all problems in one go; the YAML files and the schemas say the same."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metalstm import registry
from metalstm.config import parse
from metalstm.config.parse import BUDGETS
from metalstm.config.schema import AdaptSettings, MetaTestSettings, TrainSettings
from metalstm.config.text import flat, plain, shown
from metalstm.errors import ConfigError
from support.places import CONFIGS

GROUPS = {group: registry.settings_classes(group) for group in registry.GROUPS}


def read(name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(CONFIGS / name))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items() if key not in ("defaults", "hydra")}


def choice(group: str, name: str) -> dict[str, Any]:
    """The values of one of a group's YAML files, with those that it builds on."""
    values: dict[str, Any] = {}
    for base in OmegaConf.load(CONFIGS / group / f"{name}.yaml").get("defaults", ["_self_"]):
        values |= read(f"{group}/{name}.yaml") if base == "_self_" else choice(group, base)
    return values


def composed(
    changes: dict[str, Any], dataset: str = "glyphs", learner: str = "maml", model: str = "lstm"
) -> TrainSettings:
    groups = {"dataset": choice("dataset", dataset), "model": choice("model", model)}
    values = OmegaConf.create(read("train.yaml") | groups | {"learner": choice("learner", learner)})
    for name, value in changes.items():
        OmegaConf.update(values, name, value, force_add=True)
    return parse.train_settings(values)


def problems(changes: dict[str, Any], *groups: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        composed(changes, *groups)
    return [problem.what for problem in caught.value.problems]


def limits_of(schema: type, prefix: str) -> list[tuple[str, Any, bool]]:
    """Every bound of a dataclass of settings: a value on either side of it, and whether it is allowed."""
    cases: list[tuple[str, Any, bool]] = []
    for field in dataclasses.fields(schema):
        name, limits, whole = prefix + field.name, field.metadata, str(field.type).startswith("int")
        kind: type = int if whole else float

        def next_to(limit: float, direction: int, whole: bool = whole) -> float:
            return limit + direction if whole else math.nextafter(limit, direction * math.inf)

        if limits.get("minimum") is not None:
            cases += [(name, kind(limits["minimum"]), True), (name, next_to(limits["minimum"], -1), False)]
        if limits.get("maximum") is not None:
            cases += [(name, kind(limits["maximum"]), True), (name, next_to(limits["maximum"], 1), False)]
        if limits.get("above") is not None:
            cases += [(name, next_to(limits["above"], 1), True), (name, kind(limits["above"]), False)]
        if limits.get("below") is not None:
            cases += [(name, next_to(limits["below"], -1), True), (name, kind(limits["below"]), False)]
        cases += [(name, value, True) for value in limits.get("choices", ())]
        if "choices" in limits:
            cases.append((name, 99 if whole else "other", False))
        if "joined" in limits:
            first, second, *_ = registry.names(limits["joined"])
            cases += [(name, text, True) for text in ("none", first, f"{second}+{first}")]
            cases += [(name, text, False) for text in ("other", f"{first}+{first}", f"none+{first}", f"{first}+")]
        if str(field.type).startswith("float"):
            cases += [(name, float(value), False) for value in ("nan", "inf", "-inf")]
    return cases


def bounds() -> list[tuple[str, Any, bool]]:
    """Every bound of every setting of a run of MAML."""
    schemas = {"": TrainSettings, "model.": GROUPS["model"]["lstm"], "learner.": GROUPS["learner"]["maml"]}
    schemas["dataset."] = GROUPS["dataset"]["glyphs"]
    return [case for prefix, schema in schemas.items() for case in limits_of(schema, prefix)]


def check_bound(name: str, value: Any, allowed: bool, others: dict[str, Any], *groups: str) -> None:
    if allowed:
        assert flat(plain(composed({name: value} | others, *groups)))[name] == value
    else:
        found = problems({name: value} | others, *groups)
        assert any(what.startswith(f"{name}={shown(value)}, but it must be") for what in found)


@pytest.mark.parametrize(("name", "value", "allowed"), bounds())
def test_bound(name: str, value: Any, allowed: bool) -> None:
    groups = {"ways": ("sinusoid",), "train_ways": ("glyphs", "protonet")}.get(name, ("glyphs",))
    check_bound(name, value, allowed, {"scratch_tasks": 0} if name == "test_tasks" else {}, *groups)


@pytest.mark.parametrize("group", ["learner", "model"])
def test_bounds_of_every_choice(group: str) -> None:
    seen = set()
    for chosen, schema in GROUPS[group].items():
        groups = ("glyphs", chosen) if group == "learner" else ("glyphs", "maml", chosen)
        for name, value, allowed in limits_of(schema, f"{group}."):
            if (chosen, name, value) == ("fomaml", "learner.order", "second"):
                continue  # see test_settings_at_odds
            others = {"learner.support": "sequential"} if (name, value) == ("learner.labels", "offset") else {}
            check_bound(name, value, allowed, others, *groups)
            seen.add((chosen, name))
        bounded = {name for name, value in choice(group, chosen).items() if not isinstance(value, bool)} - {
            "name",
            "make",
        }  # of any module
        assert {(chosen, f"{group}.{name}") for name in bounded} <= seen


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("multi_step_until", 1.5, "at most 1"),
        ("second_order_from", 1.0001, "at most 1"),
        ("second_order_from", -0.5, "at least 0"),
    ],
)
def test_a_part_of_the_whole(name: str, value: float, bound: str) -> None:
    assert problems({f"learner.{name}": value}, "glyphs", "mamlpp") == [
        f"learner.{name}={value}, but it must be {bound}"
    ]


def test_bounds_cover_what_the_field_expects() -> None:
    refused = {name for name, _, allowed in bounds() if not allowed}
    switches = {"model.layer_norm", "model.skip", "learner.gradient_checkpointing", "allow_changed_data"}
    unbounded = {"device", "output_dir", "resume", "init_from", "plugins", *switches}
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
    ("given", "meant"),
    [("wasy", "ways"), ("sede", "seed"), ("some_steps", "steps"), ("model.hiden_size", "model.hidden_size")],
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
        (
            {"learner.engine": "higher", "learner.gradient_checkpointing": True},
            "glyphs",
            "learner.gradient_checkpointing=true",
        ),
        ({"learner.engine": "higher", "precision": "bfloat16"}, "glyphs", "precision=bfloat16"),
        ({"train_ways": 20}, "glyphs", "train_ways=20"),
        ({"train_ways": 20, "ways": 1}, "sinusoid", "train_ways=20"),
        ({"scratch_tasks": 1}, "glyphs", "scratch_tasks=1"),
        ({"scratch_tasks": 20, "test_tasks": 10}, "glyphs", "scratch_tasks=20"),
    ],
)
def test_settings_at_odds(changes: dict[str, Any], dataset: str, named: str) -> None:
    (what,) = problems(changes, dataset)
    assert what.startswith(f"{named}, but") or what.startswith(f"{named} reads")


@pytest.mark.parametrize(
    ("changes", "groups", "what", "fix"),
    [
        (
            {"learner.labels": "offset"},
            ("glyphs", "memory"),
            "learner.labels=offset, but with learner.support=pooled",
            "use learner.labels=joined, or learner.support=sequential",
        ),
        (
            {"test_steps": 3, "shots": 2},
            ("glyphs", "memory"),
            "test_steps=3, but a step of learner=memory is one more shot, and there are shots=2",
            "use test_steps<=2, or leave it out",
        ),
        (
            {"test_steps": 2},
            ("glyphs", "protonet"),
            "test_steps=2, but a step of learner=protonet is one more shot, and there are shots=1",
            "use test_steps<=1, or leave it out",
        ),
        (
            {"precision": "bfloat16"},
            ("glyphs", "memory"),
            "precision=bfloat16, but learner=memory computes in float32",
            "use precision=float32, or learner=maml",
        ),
        (
            {"precision": "float16"},
            ("glyphs", "reptile"),
            "precision=float16, but learner=reptile computes in float32",
            "use precision=float32, or learner=maml",
        ),
        (
            {"learner.engine": "higher"},
            ("glyphs", "maml", "mlp"),
            "model=mlp, but learner.engine=higher adapts the LSTM alone",
            "use learner.engine=batched, or model=lstm",
        ),
        (
            {"learner.engine": "higher"},
            ("glyphs", "mamlpp", "mlp"),
            "model=mlp, but learner.engine=higher adapts the LSTM alone",
            "use learner.engine=batched, or model=lstm",
        ),
    ],
)
def test_groups_at_odds(changes: dict[str, Any], groups: tuple[str, ...], what: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(changes, *groups)
    (problem,) = caught.value.problems
    assert problem.what.startswith(what)
    assert problem.fix == fix


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ({"learner.labels": "offset", "learner.support": "sequential"}, ("glyphs", "memory")),
        ({"test_steps": 2, "shots": 2}, ("glyphs", "memory")),
        ({"test_steps": 0}, ("glyphs", "protonet")),
        ({"test_steps": 50}, ("glyphs", "op_lstm")),
        ({"test_steps": 50}, ("glyphs", "maml")),
        *(({"precision": "bfloat16"}, ("glyphs", name)) for name in ("maml", "anil", "mamlpp", "proto_maml")),
        ({"learner.engine": "batched"}, ("glyphs", "maml", "mlp")),
        ({"ways": 1}, ("sinusoid", "maml", "mlp")),
    ],
)
def test_groups_that_go_together(changes: dict[str, Any], groups: tuple[str, ...]) -> None:
    assert composed(changes, *groups).learner.name == groups[1]


@pytest.mark.parametrize("learner", GROUPS["learner"])
def test_steps_of_the_meta_test(learner: str) -> None:
    reads = learner in ("memory", "protonet")
    settings = composed({"shots": 3}, "glyphs", learner)
    assert settings.steps_are_shots is reads
    assert settings.steps_tested == (3 if reads else settings.learner.inner_steps)
    assert settings.steps_shown == (3 if reads else 2 * settings.learner.inner_steps)
    assert settings.scratch_inner_steps == (5 if reads else settings.learner.inner_steps)
    fewer = composed({"shots": 3, "test_steps": 1, "curve_steps": 1}, "glyphs", learner)
    assert (fewer.steps_tested, fewer.steps_shown) == (1, 3 if reads else 1)
    assert fewer.scratch_inner_steps == (5 if reads else 1)
    assert composed({"test_steps": 0}, "glyphs", learner).scratch_inner_steps == (5 if reads else 1)


def test_a_missing_value_is_named() -> None:
    values = OmegaConf.create(read("test.yaml"))
    with pytest.raises(ConfigError, match="run has no value"):
        parse.meta_test_settings(values)


def test_budgets_are_settings() -> None:
    every = {f"dataset.{field.name}" for schema in GROUPS["dataset"].values() for field in dataclasses.fields(schema)}
    assert every | set(flat(plain(composed({})))) >= BUDGETS


@pytest.mark.parametrize("path", sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")))
def test_schemas_and_yaml_files_have_the_same_settings(path: str) -> None:
    group, _, _ = path.rpartition("/")
    if path.startswith("hydra") or group == "experiment":  # Hydra's own settings, or those of several groups
        return
    values = choice(group, Path(path).stem) if group else read(path)
    if group:
        wanted = {field.name for field in dataclasses.fields(GROUPS[group][values["name"]])}
    else:
        schema = {"train.yaml": TrainSettings, "test.yaml": MetaTestSettings, "adapt.yaml": AdaptSettings}[path]
        wanted = {field.name for field in dataclasses.fields(schema)} - set(GROUPS)
    assert set(values) == wanted
