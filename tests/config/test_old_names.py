"""Settings that were renamed: old names and values are read as new ones, on the command line and in every old run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalstm.config.compose import composed
from metalstm.config.old_names import NAMES, VALUES, renamed, renamed_override
from metalstm.config.parse import train_settings
from metalstm.config.text import flat, plain
from metalstm.experiment.identity import config_values, run_identity, run_settings
from support.commands import only_run, tiny
from support.places import REFERENCE

RUNS = sorted(path.parent.relative_to(REFERENCE).as_posix() for path in REFERENCE.rglob("run.json"))


def test_no_name_is_old_and_new() -> None:
    today = set(flat(plain(train_settings(composed("train", [])))))
    assert not today & NAMES.keys()
    assert today >= set(NAMES.values()) | VALUES.keys()


def test_nested_and_dotted() -> None:
    nested = {"averaging": 0.9, "learner": {"recompute": True, "learned_rates": "weights"}, "ways": 5}
    new = {
        "ema_decay": 0.9,
        "learner.gradient_checkpointing": True,
        "learner.learned_rates": "per_parameter",
        "ways": 5,
    }
    assert flat(renamed(nested)) == renamed(flat(nested)) == new
    assert renamed(new) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("averaging=0.9", "ema_decay=0.9"),
        ("+start=averaging", "+init_from=averaging"),
        ("learner.learned_rates=none,weights", "learner.learned_rates=none,per_parameter"),
        ("--help", "--help"),
    ],
)
def test_overrides(old: str, new: str) -> None:
    assert renamed_override(old) == new


def test_on_the_command_line(
    in_process: Any,
) -> None:
    given = tiny(steps=1, test_tasks=0, scratch_tasks=0)
    assert in_process("train", *given, "averaging=0.5", "learner.tasks_at_a_time=2").code == 0
    values = config_values(only_run(Path("outputs")))
    assert (values["ema_decay"], values["learner"]["task_chunk_size"]) == (0.5, 2)


def test_in_a_config_of_one_s_own(
    in_process: Any,
    process: Any,
) -> None:
    """That of an older run, and a choice of a group; the command line may name a setting either way."""
    assert in_process("train", *tiny(steps=1, test_tasks=0, scratch_tasks=0), "output_dir=new").code == 0
    config = only_run(Path("new")) / "config.yaml"
    text = config.read_text(encoding="utf-8")
    for old, new in {"averaging": "ema_decay", "start": "init_from", "  recompute": "  gradient_checkpointing"}.items():
        assert f"\n{new}: " in text
        text = text.replace(f"\n{new}: ", f"\n{old}: ")
    Path("mine/learner").mkdir(parents=True)
    Path("mine/old.yaml").write_text(text, encoding="utf-8")
    mine = "defaults:\n  - maml\nrecompute: true\nlearned_rates: weights\n"
    Path("mine/learner/mine.yaml").write_text(mine, encoding="utf-8")
    given = ("--config-dir", "mine", "--config-name", "old", "averaging=0.5", "output_dir=again")
    assert process("metalstm-train", *given, cwd=Path()).code == 0
    assert config_values(only_run(Path("again")))["ema_decay"] == 0.5
    given = ("--config-dir", "mine", *tiny(steps=1, test_tasks=0, scratch_tasks=0), "learner=mine", "output_dir=group")
    assert in_process("train", *given).code == 0
    learner = config_values(only_run(Path("group")))["learner"]
    assert (learner["gradient_checkpointing"], learner["learned_rates"]) == (True, "per_parameter")


@pytest.mark.parametrize("run", RUNS)
def test_every_run_kept_is_read(run: str) -> None:
    settings = flat(plain(run_settings(REFERENCE / run)))
    assert not settings.keys() & NAMES.keys()
    assert settings["seed"] == run_identity(REFERENCE / run)["settings"].get("seed", settings["seed"])


def test_there_are_runs_with_old_names() -> None:
    assert len(RUNS) > 15
    assert any("averaging:" in (REFERENCE / run / "config.yaml").read_text(encoding="utf-8") for run in RUNS)
