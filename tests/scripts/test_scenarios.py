"""The uses that README lists: their settings are ones, and the files of CIFAR-100's form are read as such."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import torch
from hydra import compose, initialize_config_module

from metalstm.config.parse import train_settings
from metalstm.config.schema import TrainSettings
from metalstm.datasets.images.cifar100_files import Counts
from metalstm.datasets.images.cifar_fs import load_cifar_fs
from metalstm.tasks.classes import ClassDataset
from support.places import SCRIPTS

# In place of what trains and compares: says what it would train.
STUBS = """
finished() { echo run; }
train() { shift 2; printf '%s\\n' "$*"; }
compare() { echo "# $3 ${*:4}"; }
"""
# In place of metalstm-test: leaves what it would.
TESTER = """#!/bin/bash
mkdir -p run/tests/1/figures
touch run/tests/1/{lifelong.json,result.json,figures/lifelong.png}
[[ $* == *lifelong* ]] && echo "# lifelong $*" || true
"""


def settings(line: str) -> TrainSettings:
    with initialize_config_module("metalstm.configs", version_base="1.3"):
        return train_settings(compose("train", line.split()))


def uses(tmp_path: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """What the script would train, with nothing installed and nothing trained."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    shutil.copy(SCRIPTS / "scenarios.sh", scripts)
    (scripts / "environment.sh").write_text(f'repository="{tmp_path}"\nvenv="{tmp_path}/venv"\n')
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    for name, text in (("metalstm-test", TESTER), ("metalstm-report", "#!/bin/bash\n")):
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    (scripts / "side_by_side.sh").write_text(STUBS)
    root = tmp_path / "outputs" / "scenarios" / "cifar_fs" / "data"
    root.mkdir(parents=True)
    (root / "meta").touch()
    command = ["bash", str(scripts / "scenarios.sh"), *names]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_use_is_a_meta_learner_beside_the_baselines_after_as_many_steps(tmp_path: Path) -> None:
    ended = uses(tmp_path)
    assert ended.returncode == 0, ended.stderr
    parts = re.split(r"^# (.*)\n", ended.stdout, flags=re.MULTILINE)
    trained = list(zip(parts[1::2], parts[::2], strict=False))
    assert len(trained) == 11
    for compared, lines in trained:
        folder, *learners = compared.split()
        runs = [settings(line) for line in lines.splitlines()]
        if folder == "lifelong":
            assert [run.learner.name for run in runs] in (["anil"], ["maml"])
            assert learners[:2] == ["run=run", "protocol=lifelong"]
            continue
        assert [run.learner.name for run in runs] == learners
        assert folder.startswith("outputs/reference/scenarios/")
        assert learners[-1] == "scratch"
        assert {"finetune", "scratch"} < set(learners)
        assert len({run.steps_tested for run in runs if not run.steps_are_shots}) == 1
        assert all(run.steps_tested == run.shots for run in runs if run.steps_are_shots)  # whoever reads has read all
        assert len({(run.dataset.name, run.ways, run.shots, run.queries) for run in runs}) == 1
        assert len({str(run.model) for run in runs}) == 1  # the same LSTM
        assert {run.init_from for run in runs} <= {None, "run"}


def test_a_use_that_is_none(tmp_path: Path) -> None:
    ended = uses(tmp_path, "clinc150")
    assert ended.returncode == 2
    assert "clinc150 is none of speech_commands_5w1s" in ended.stderr


def test_the_form_of_cifar100(tmp_path: Path) -> None:
    from cifar_form import write

    write(tmp_path, Counts(3, 2))
    dataset = load_cifar_fs(tmp_path, False, counts=Counts(3, 2))
    pools = [pool for pool in dataset.splits.values() if isinstance(pool, ClassDataset)]
    assert [tuple(pool.examples.shape) for pool in pools] == [(classes, 5, 32, 96) for classes in (64, 16, 20)]
    images = pools[0].examples.float().unflatten(-1, (32, 3))
    assert images.std(dim=(2, 3)).amax(dim=-1).amin() > 0  # something is drawn in every image
    # The colours of an image say nothing of its class.
    assert images[:, :, 0, 0].std(dim=1).mean() > 0.8 * images[:, :, 0, 0].std(dim=(0, 1)).mean() > 10
    assert torch.equal(
        load_cifar_fs(tmp_path, False, counts=Counts(3, 2)).splits["meta_test"].examples, pools[2].examples
    )
