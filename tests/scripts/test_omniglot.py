"""The runs that `scripts/omniglot.sh` keeps: their settings are ones, each starts from what was trained like it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_module

from metalstm.config.parse import train_settings
from metalstm.config.schema import TrainSettings
from support.places import SCRIPTS

# In place of what trains: leaves a run with no more than a name, and says what it would train.
STUBS = """
finished() { echo "$1/$2"; }
train() {
    mkdir -p "$1/$2"/{checkpoints/best_1,figures}
    echo "$*" > "$1/$2/result.json"
    touch "$1/$2"/{run.json,figures/adaptation_curve.png}
    echo "$*"
}
keep() { mkdir -p "$2"; cp "$1/result.json" "$2"; }
"""
# In place of metalstm-test, metalstm-adapt and metalstm-report: leaves what they would, and says what was asked.
TESTER = """#!/bin/bash
folder=$(sed 's/.*run=\\([^ ]*\\).*/\\1/' <<< "$*")
mkdir -p "$folder/tests/1"
touch "$folder"/tests/1/{result,per_task}.json
echo "test $*"
"""
EXPORTER = """#!/bin/bash
echo new > "$(sed 's/.*export=\\([^ ]*\\).*/\\1/' <<< "$*")"
"""
REPORTER = """#!/bin/bash
echo "$*" > "${*: -1}/comparison.json"
"""


class Trained(NamedTuple):
    name: str
    task: str
    settings: TrainSettings


def recipes(tmp_path: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """What the script would do, with nothing installed and nothing trained."""
    scripts = tmp_path / "scripts"
    scripts.mkdir(exist_ok=True)
    shutil.copy(SCRIPTS / "omniglot.sh", scripts)
    (scripts / "environment.sh").write_text(f'repository="{tmp_path}"\nvenv="{tmp_path}/venv"\n')
    (scripts / "side_by_side.sh").write_text(STUBS)
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True, exist_ok=True)
    for name, text in (("test", TESTER), ("adapt", EXPORTER), ("report", REPORTER)):
        command = commands / f"metalstm-{name}"
        command.write_text(text)
        command.chmod(0o755)
    return subprocess.run(["bash", str(scripts / "omniglot.sh"), *names], capture_output=True, text=True, check=False)


def trained(printed: str) -> list[Trained]:
    found = []
    for line in printed.splitlines():
        runs, task, *words = line.split()
        if runs == "test":
            continue
        with initialize_config_module("metalstm.configs", version_base="1.3"):
            found.append(Trained(runs.removeprefix("outputs/omniglot/"), task, train_settings(compose("train", words))))
    return found


def test_every_recipe_is_of_its_shape_and_starts_from_the_encoder_of_its_seed_and_split(tmp_path: Path) -> None:
    ended = recipes(tmp_path)
    assert ended.returncode == 0, ended.stderr
    runs = {run.name: run for run in trained(ended.stdout)}
    assert len(runs) == len(trained(ended.stdout)) == 19
    for name, task, settings in runs.values():
        assert settings.dataset.name == "omniglot"
        assert settings.test_tasks == (100 if settings.learner.name == "scratch" else 1000)
        assert task == f"omniglot_{settings.ways}w{settings.shots}s_{settings.learner.name}"
        seed = re.search(r"_seed(\d)", name)
        assert settings.seed == (int(seed.group(1)) if seed else 0)
        assert settings.dataset.split == ("lake" if name.endswith("_lake") else "random")
        if settings.learner.name == "scratch":
            assert settings.model == runs[name.replace("scratch", "maml")].settings.model
        if name in ("encoder", "encoder_seed1", "encoder_seed2", "encoder_lake") or name.endswith(
            ("article", "scratch")
        ):
            assert settings.init_from is None
            continue
        assert name == "encoder_more" or name.startswith(f"{settings.ways}w{settings.shots}s_{settings.learner.name}")
        encoder = Path(settings.init_from or "").name
        assert settings.init_from == f"outputs/reference/omniglot/{encoder}"
        assert list(runs).index(encoder) < list(runs).index(name)
        start = runs[encoder].settings
        assert (start.seed, start.dataset.split, start.model) == (settings.seed, settings.dataset.split, settings.model)
    for shape in ("5w1s", "5w5s", "20w1s", "20w5s"):
        assert {f"{shape}_maml", f"{shape}_memory"} <= runs.keys()


def test_what_is_kept_is_a_run_and_the_encoder_is_tested_in_the_other_shapes(tmp_path: Path) -> None:
    ended = recipes(tmp_path, "5w1s_maml_lake")  # and what it starts from
    assert [run.name for run in trained(ended.stdout)] == ["encoder_lake", "5w1s_maml_lake"]
    kept = tmp_path / "outputs" / "reference" / "omniglot"
    assert {path.name for path in (kept / "5w1s_maml_lake").iterdir()} == {
        *("checkpoints", "result.json", "run.json", "adaptation_curve.png", "start.safetensors")
    }
    assert (kept / "5w1s_maml_lake" / "checkpoints" / "best_1").is_dir()
    tested = [line for line in ended.stdout.splitlines() if line.startswith("test ")]
    for shape, line in zip(["ways=5 shots=1", "ways=5 shots=5", "ways=20 shots=5"], tested, strict=True):
        assert f"run=outputs/reference/omniglot/encoder_lake {shape} " in line
    assert (kept / "encoder_lake" / "20w5s" / "per_task.json").exists()
    assert not (kept / "encoder_lake" / "tests").exists()
    start = kept / "5w1s_maml_lake" / "start.safetensors"
    start.write_text("kept before")
    again = recipes(tmp_path, "encoder_lake", "5w1s_maml_lake")
    assert "test " not in again.stdout  # as far as that is not done
    assert start.read_text() == "kept before"


def test_what_is_compared_with_its_model_from_scratch(tmp_path: Path) -> None:
    ended = recipes(tmp_path, "20w5s_article", "5w1s_scratch")
    assert ended.returncode == 0, ended.stderr
    article, *_, scratch = trained(ended.stdout)
    assert article.settings.scratch_tasks == 600
    assert scratch.name == "5w1s_scratch"
    kept = Path("outputs") / "reference" / "omniglot"
    for name, compared in (("20w5s_article", ["20w5s_article"]), ("5w1s_scratch", ["5w1s_maml", "5w1s_scratch"])):
        comparison = (tmp_path / kept / name / "comparison.json").read_text()
        assert comparison.split() == [*(str(kept / each) for each in compared), "--out", str(kept / name)]
    assert (tmp_path / kept / "20w5s_article" / "start.safetensors").exists()


def test_a_recipe_that_is_none(tmp_path: Path) -> None:
    ended = recipes(tmp_path, "5w1s")
    assert ended.returncode == 2
    assert "5w1s is none of encoder encoder_seed1" in ended.stderr
