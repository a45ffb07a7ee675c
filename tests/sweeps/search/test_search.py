"""`metalstm-search` as a person runs it: killed and gone on with, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from metalstm import registry
from metalstm.cli.search import main
from metalstm.config.extras import install
from metalstm.errors import ConfigError
from metalstm.sweeps.job import wait_until_free
from metalstm.sweeps.search import search
from metalstm.sweeps.search.plan import check_searchable, why_not
from metalstm.sweeps.search.process import TrialProcess, validations
from metalstm.sweeps.search.space import parse
from metalstm.sweeps.search.study import Study
from metalstm.sweeps.search.trials import trial_directory
from support.commands import only_run, result_of, tiny

SINUSOID = {"ways": 1, "shots": 4, "dataset.classes": None, "scratch_tasks": 0}
RATES = "learner.inner_lr=tag(log,interval(0.001,0.1))"


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`refused(*arguments)`: what the command says, after which it ends with code 2 and has written nothing."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["metalstm-search", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert (out, list(tmp_path.iterdir())) == ("", [])
        return err

    return run


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["steps=10"], ["there is nothing to search", "tag(log,interval"]),
        (["outer_lr=1e-3,1e-2", "trials=0"], ["trials=0 is no number of trials"]),
        (["outer_lr=1e-3,1e-2", "trials=x"], ["trials=x is no number of trials"]),
        (["outer_lr=1e-3,1e-2", "wasy=2"], ["wasy is no setting", "did you mean ways?"]),
        (["outer_lr=interval(0,1)"], ["outer_lr=0.0, but it must be larger than 0"]),
        (["outer_lr=interval(1e-3,nan)"], ["an interval goes from a number to a larger one"]),
        (["learner.inner_steps=interval(1,3)"], ["learner.inner_steps=1.0 is not a whole number"]),
        (["learner=maml,mamal"], ["learner=mamal is unknown"]),
        (["learner=maml,protonet", "learner.inner_steps=1"], ["learner.inner_steps is no setting"]),
        (
            ["dataset=glyphs,sinusoid", "ways=5,20"],
            ["other dataset cannot be compared", "other ways cannot be compared"],
        ),
        (
            ["dataset.seed=0,1,2"],
            ["other dataset.seed cannot be compared: they have other tasks", "give dataset.seed"],
        ),
        (["dataset.classes=60,600"], ["other dataset.classes cannot be compared"]),
        (["dataset=sinusoid", "ways=1", "dataset.window=interval(2,9)"], ["other dataset.window cannot be compared"]),
        (["outer_lr=1e-3,1e-2", "outer_lr=1"], ["outer_lr is given twice"]),
        (["-m", "outer_lr=1e-3,1e-2"], ["unrecognized arguments: -m"]),
        ([], ["the following arguments are required"]),
    ],
)
def test_bad_input(given: list[str], said: list[str], refused: Any) -> None:
    err = refused(*given)
    assert all(words in err for words in said), err
    assert "Traceback" not in err


def test_settings_of_datasets_that_are_searched() -> None:
    """Those that touch meta-train or the reading alone; whatever is new is refused."""
    classes = registry.settings_classes("dataset")
    for kind in classes.values():
        assert kind.searched <= {field.name for field in fields(kind)}
    assert {name for name, kind in classes.items() if kind.searched} == {
        *("omniglot", "speech_commands", "clinc150", "movietweetings", "folder")
    }
    for name in ("rotations", "form", "window", "speakers", "min_ratings", "split_seed", "split", "examples", "root"):
        assert all(why_not(f"dataset.{name}", kind.searched) is not None for kind in classes.values())
    speech = search.searched_of(["dataset=speech_commands"])
    check_searchable(parse(["dataset.augment=true,false", "+dataset.mels=20,40"])[1], speech)
    with pytest.raises(ConfigError, match=r"other dataset\.seed cannot"):
        check_searchable(parse(["+dataset.seed=0,1"])[1], speech)


def test_without_optuna(refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused("outer_lr=1e-3,1e-2") == (
        f"error: a search takes Optuna, which is not installed\n  fix: {install('search')}\n"
    )


def test_the_folder_is_a_function_of_the_command() -> None:
    trials, folder, plan, settings = search.understood(["dataset=sinusoid", "ways=1", RATES, "trials=7"])
    assert (trials, folder.parent, settings.learner.name) == (7, Path("outputs/searches"), "maml")
    assert folder.name == f"sinusoid_1w1s_maml_{plan.digest()}"
    assert search.understood([RATES, "ways=1", "dataset=sinusoid"])[1] == folder
    assert search.understood(["dataset=sinusoid", "ways=1", "steps=9", RATES])[1] != folder
    assert search.understood([RATES, "output_dir=x"])[1].parent == Path("x/searches")
    assert search.understood([RATES, "search=y/z"])[1] == Path("y/z")


def test_the_defaults_are_tried_first() -> None:
    def defaults(*given: str) -> Any:
        return search.defaults(search.understood(given)[2])

    assert defaults(RATES, "learner=maml,anil") == {"learner.inner_lr": 0.1, "learner": "maml"}
    assert defaults("outer_lr=0.002,0.02", "experiment=sinusoid_5shot") is None  # which has 0.001
    assert defaults("outer_lr=0.001,0.02", "experiment=sinusoid_5shot") == {"outer_lr": "0.001"}


def test_help_teaches_and_torch_waits() -> None:
    script = "import sys; sys.argv = ['metalstm-search', '--help']\nfrom metalstm.cli.search import main\ntry: main()\n"
    script += "finally: print(sorted({'torch', 'optuna', 'hydra'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "tag(log,interval(1e-4,1e-1))" in out
    assert out.endswith("\n[]\n")


def test_a_trial_s_process(tmp_path: Path) -> None:
    """It is followed by what it writes, and stopped with a checkpoint; diverging has a code of its own."""
    given = [*tiny(steps=400, validate_every=5, **SINUSOID), "dataset=sinusoid"]
    path = trial_directory(tmp_path, 7)
    process = TrialProcess(path, given)
    while not validations(path):
        assert process.ended() is None, process.why()
        time.sleep(0.01)
    process.stop()
    assert process.ended() == 143
    assert not (path / "errors.txt").exists()
    assert only_run(tmp_path) == path
    assert 5 <= validations(path)[-1].step < 400
    assert list((path / "checkpoints").glob("step_*"))
    wait_until_free(path)  # which it is
    diverging = TrialProcess(trial_directory(tmp_path, 8), [*given, "outer_lr=1e30"])
    while diverging.ended() is None:
        time.sleep(0.01)
    assert (diverging.ended(), diverging.why().startswith("maml: ")) == (5, True)


@pytest.mark.slow
def test_killed_and_gone_on_with(start: Any, process: Any, in_process: Any, tmp_path: Path) -> None:
    """A killed search takes its trial with it; gone on with, it ends with as many trials, none of them begun twice."""
    given = [*tiny(steps=60, validate_every=20, **SINUSOID), "dataset=sinusoid", RATES, "trials=2", "search=search"]
    folder = tmp_path / "search"
    running = start("metalstm-search", *given, cwd=tmp_path)
    second = trial_directory(folder, 1)
    while not (second / "metrics.jsonl").exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    ended = process("metalstm-search", *given, cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert "trials    1 of 2 over, to minimize meta_validation/mse" in ended.out
    over = Study(folder, search.understood(given)[2].spaces, "minimize", 0, None).over()
    assert [(one.number, one.state) for one in over] == [(number, "complete") for number in range(2)]
    for number in range(2):
        path = trial_directory(folder, number)
        assert validations(path)[-1].step == 60
        lines = (path / "train.log").read_text(encoding="utf-8").splitlines()
        begun = [line for line in lines if "meta-train from step" in line]
        assert len(begun) == (2 if number == 1 else 1)
        assert not (path / "result.json").exists()
        assert len(list(path.glob("**/config.yaml"))) == 1
        steps = [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]
        assert len(steps) == 63
    best = yaml.safe_load((folder / "best.yaml").read_text(encoding="utf-8"))
    assert best["value"] == min(one.value for one in over if one.value is not None)
    assert not [path for path in folder.rglob("*") if "=" in path.name]
    assert "or test   metalstm-train resume=" + best["run"] in ended.out
    run = tmp_path / best["run"]
    assert in_process("train", f"resume={run}", "test_tasks=6").code == 0  # its meta-test can still be had
    assert result_of(run)["tasks"] == 6
    assert validations(run)[-1].step == 60
    with pytest.raises(ConfigError, match=r"the search in .* has steps=60"):
        search.search([*[text for text in given[:-1] if text != "steps=60"], "steps=61", f"search={folder}"])
