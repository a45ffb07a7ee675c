"""A run whose config.yaml was edited by hand: refused with each difference, or, of budgets, said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalstm import load
from metalstm.errors import ConfigError
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")


def edit(run: Path, **values: Any) -> None:
    lines = (run / "config.yaml").read_text(encoding="utf-8").splitlines()
    names = [line.split(":")[0] for line in lines]
    for name, value in values.items():
        at = max(number for number, there in enumerate(names) if there.strip() == name)  # those of groups come first
        lines[at] = f"{names[at]}: {value}"
    (run / "config.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def content(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "train.log"}


EDITED = {"seed": 7, "outer_lr": 0.5, "hidden_size": 9, "inner_lr": "1e-2", "classes": 48}
DIFFERENCES = [
    *("seed=7, but the run began with seed=0", "outer_lr=0.5, but the run began with outer_lr=0.002"),
    *("model.hidden_size=9, but", "learner.inner_lr=0.01, but", "dataset.classes=48, but"),
]


@pytest.mark.parametrize("command", ["resume", "test", "adapt", "start"])
def test_what_a_run_is_cannot_be_edited(command: str, run: Path, in_process: Any) -> None:
    edit(run, **EDITED)
    before = content(run)
    ended = {
        "resume": lambda: in_process("train", f"resume={run}", "steps=9"),
        "test": lambda: in_process("test", f"run={run}"),
        "adapt": lambda: in_process("adapt", f"run={run}", "export=x.safetensors"),
        "start": lambda: in_process("train", *tiny(), f"init_from={run}"),
    }[command]()
    assert (ended.code, ended.err.count("error: ")) == (2, len(EDITED)), ended
    assert [one for one in DIFFERENCES if one not in ended.err] == []
    assert "fix: bring seed=0 back into config.yaml, or start a new run with seed=7\n" in ended.err
    assert content(run) == before


def test_an_edited_config_is_not_loaded(run: Path) -> None:
    edit(run, seed=7)
    with pytest.raises(ConfigError, match="seed=7, but the run began with seed=0"):
        load(run)


def test_a_checkpoint_says_what_it_was_made_with(run: Path, resume: Any, in_process: Any) -> None:
    """Also where all else was edited."""
    edit(run, seed=7)
    identity = json.loads((run / "run.json").read_text(encoding="utf-8"))
    identity["settings"]["seed"] = 7
    (run / "run.json").write_text(json.dumps(identity), encoding="utf-8")
    for ended, kind in ((resume("steps=9"), "step_00000006"), (in_process("test", f"run={run}"), "best_0000000")):
        assert ended.code == 2, ended
        assert f"seed=7, but checkpoint {kind}" in ended.err
        assert "was made with seed=0" in ended.err


def test_before_there_is_a_checkpoint(run: Path, resume: Any) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        checkpoint.rename(run / checkpoint.name)
    edit(run, seed=7)
    ended = resume()
    assert ended.code == 2
    assert "seed=7, but the run began with seed=0" in ended.err


def test_a_line_that_was_removed(
    in_process: Any,
) -> None:
    """An older run would have no such line, and no averaging."""
    given = tiny(steps=1, test_tasks=0, scratch_tasks=0, ema_decay=0.5)
    assert in_process("train", *given).code == 0
    config = only_run(Path("outputs")) / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("ema_decay: 0.5\n", ""), encoding="utf-8")
    ended = in_process("train", f"resume={config.parent}", "steps=2")
    assert ended.code == 2
    assert "ema_decay=null, but the run began with ema_decay=0.5" in ended.err


def test_an_edited_budget_is_a_change(run: Path, resume: Any) -> None:
    edit(run, steps=8, test_tasks=4)
    ended = resume("checkpoint_every=3")
    assert ended.code == 0, ended.err
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "INFO changed: steps from 6 to 8, in config.yaml\n" in log
    assert "INFO changed: test_tasks from 6 to 4, in config.yaml\n" in log
    assert "INFO changed: checkpoint_every from 2 to 3\n" in log
    assert (result_of(run)["training"]["steps"], result_of(run)["tasks"]) == (8, 4)


def test_a_run_of_an_older_version_goes_on(run: Path, resume: Any) -> None:
    """Neither its run.json nor its checkpoints have settings: its config is all that says what it is."""
    from metalstm.runs.checkpoint import as_manifest

    for file in (run / "run.json", *run.rglob("manifest.json")):
        known = json.loads(file.read_text(encoding="utf-8"))
        assert known.pop("settings")["seed"] == 0
        file.write_bytes(as_manifest(known) if file.name == "manifest.json" else json.dumps(known).encode())
    ended = resume("steps=7")
    assert ended.code == 0, ended.err
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["settings"]["seed"] == 0
