"""A run that goes on elsewhere: its data moved, its steps more, its config once more from the start."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest

from metalstm import load, meta_train
from metalstm.errors import ConfigError, DataError
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

FOLDER = {"dataset.classes": None, "ways": 2, "scratch_tasks": 0}


def make_data(folder: Path) -> None:
    """Twelve classes of tables with two columns, told apart by the mean of the first."""
    rng = random.Random(0)
    for number in range(12):
        (folder / f"class{number}").mkdir(parents=True)
        for example in range(5):
            rows = "".join(f"{number + rng.random()},{rng.random()}\n" for _ in range(4))
            (folder / f"class{number}/{example}.csv").write_text(rows, encoding="utf-8")


@pytest.fixture
def moved(
    in_process: Any,
) -> Path:
    """A run whose data was in `old`, and is in `new` now."""
    make_data(Path("old"))
    given = tiny(**FOLDER, steps=4)
    ended = in_process("train", "dataset=folder", "dataset.root=old", "learner=proto_maml", *given, "output_dir=o")
    assert ended.code == 0, ended.err
    Path("old").rename("new")
    return only_run(Path("o"))


@pytest.mark.parametrize("more", [[], ["dataset=folder"], ["learner=proto_maml", "learner.inner_steps=2"]])
def test_going_on_with_moved_data(more: list[str], moved: Path, in_process: Any) -> None:
    ended = in_process("train", f"resume={moved}", *more, "dataset.root=new", "steps=6")
    assert ended.code == 0, ended.err
    assert re.search("changed: dataset.root from .*old to .*new", ended.out)
    assert (result_of(moved)["training"]["steps"], result_of(moved)["settings"]["dataset"]["least"]) == (6, 2)
    assert result_of(moved)["command"] == ["metalstm-train", f"resume={moved}", *more, "dataset.root=new", "steps=6"]


def test_going_on_in_python(moved: Path) -> None:
    assert meta_train(f"resume={moved}", "dataset.root=new", "steps=6").result["training"]["steps"] == 6


@pytest.mark.parametrize("setting", ["learner.inner_lr=3", "dataset.least=3", "model.hidden_size=9", "learner=maml"])
def test_a_change_of_the_run_is_no_unknown_setting(setting: str, moved: Path, in_process: Any) -> None:
    ended = in_process("train", f"resume={moved}", "dataset.root=new", setting)
    name = setting.replace("learner=", "learner.name=")
    assert ended.code == 2
    assert f"error: {name}, but the run has {name.split('=')[0]}=" in ended.err


def test_missing_data_names_the_run_and_the_setting(moved: Path, in_process: Any) -> None:
    for command, given, setting in (
        ("train", f"resume={moved}", "dataset.root"),
        ("test", f"run={moved}", "dataset_root"),
        ("adapt", f"run={moved}", "dataset_root"),
    ):
        more = ["export=x.safetensors"] if command == "adapt" else []
        ended = in_process(command, given, *more)
        assert (ended.code, ended.err.count("error: ")) == (3, 1), ended
        assert f"if the data of run {moved} lies elsewhere now, give {setting}=<its folder>\n" in ended.err
    with pytest.raises(DataError, match=f"the data of run {moved} lies elsewhere now, give dataset_root=<its folder>"):
        load(moved)
    assert load(moved, dataset_root="new").task(0).support.inputs.shape[1] == 2


def test_no_run_is_said_before_its_settings(in_process: Any) -> None:
    ended = in_process("train", "resume=nowhere", "dataset.root=new")
    assert (ended.code, "nowhere is not a directory" in ended.err) == (4, True)
    ended = in_process("train", "resume=", "dataset.root=new")
    assert ended.code == 2


def test_more_steps_under_a_cosine_are_a_change(
    run: Path,
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(scratch_tasks=0, outer_lr=0.01), "output_dir=o").code == 0
    run = only_run(Path("o"))
    ended = in_process("train", f"resume={run}", "steps=12")
    before, after = (0.01 * (1 + math.cos(math.pi * done / steps)) / 2 for done, steps in ((5, 6), (6, 12)))
    said = f"changed: the learning rate from {before:.3g} at step 6 to {after:.3g} at the next"
    assert f"{said}: outer_schedule=cosine goes on to step 12" in ended.out
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    rates = [line["meta_train/outer_lr"] for line in lines if "meta_train/loss" in line]
    assert rates[5:7] == pytest.approx([before, after])
    assert len(rates) == 12


@pytest.mark.parametrize("given", [["steps=7"], ["steps=6", "test_tasks=4"]])
def test_a_rate_that_does_not_jump_is_not_said(given: list[str], run: Path, resume: Any) -> None:
    (run / "result.json").unlink()
    ended = resume(*given)  # of a constant rate
    assert ended.code == 0, ended.err
    assert "the learning rate" not in ended.out


@pytest.mark.parametrize("flag", ["--config-dir", "--config-path"])
def test_training_again_from_a_run_s_config(flag: str, run: Path, in_process: Any) -> None:
    before = sorted(run.rglob("*"))
    ended = in_process("train", flag, str(run), "--config-name", "config", "output_dir=again", "seed=1")
    assert ended.code == 0, ended.err
    assert only_run(Path("again")).parent == Path("again/glyphs_3w1s_maml")
    assert "seed: 1\n" in (only_run(Path("again")) / "config.yaml").read_text(encoding="utf-8")
    assert sorted(path.name for path in Path().iterdir()) == ["again"]
    assert sorted(run.rglob("*")) == before


def test_a_sweep_from_a_run_s_config(run: Path, in_process: Any) -> None:
    ended = in_process(
        *("train", "-m", "--config-dir", str(run), "--config-name", "config", "output_dir=again", "seed=1,2")
    )
    assert ended.code == 0, ended.err
    assert [path.name for path in Path().iterdir()] == ["again"]
    assert sorted(path.name for path in Path("again/sweeps").glob("*/seed-*")) == ["seed-1", "seed-2"]


@pytest.mark.parametrize(
    ("line", "now", "said"),
    [
        ("seed: 0\n", "", "seed has no value\n  fix: in config.yaml, give seed=..."),
        ("test_tasks: ", "test_tasks: -", "it must be at least 0\n  fix: in config.yaml, use test_tasks>=0"),
        ("ways: ", "wasy: 1\nways: ", "wasy is no setting\n  fix: in config.yaml, did you mean ways?"),
    ],
)
def test_a_config_that_was_damaged_is_named(line: str, now: str, said: str, run: Path, resume: Any) -> None:
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(text.replace(f"\n{line}", f"\n{now}"), encoding="utf-8")
    ended = resume("steps=7")
    assert ended.code == 2
    assert f"error: {run / 'config.yaml'}: " in ended.err
    assert said in ended.err


def test_training_again_where_hydra_says(run: Path, in_process: Any) -> None:
    ended = in_process("train", "--config-dir", str(run), "--config-name", "config", "hydra.run.dir=here/x", "steps=1")
    assert ended.code == 0, ended.err
    assert only_run(Path("here")) == Path("here/x")


def test_an_edited_run_is_not_gone_on_with_in_python(run: Path) -> None:
    text = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(text.replace("\nseed: 0", "\nseed: 5"), encoding="utf-8")
    with pytest.raises(ConfigError, match="seed=5, but the run began with seed=0"):
        meta_train(f"resume={run}", "steps=7")
