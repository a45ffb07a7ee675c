"""Command lines of every kind: a listed exit code, one block that says what is wrong, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest


def test_command_lines(fuzzed: Any) -> None:
    fuzzed("overrides", 20)


def test_settings_that_are_in_bounds(fuzzed: Any) -> None:
    fuzzed("trainings", 4)


# What fuzzing has found, kept.
@pytest.mark.parametrize(
    "arguments",
    [
        ("outer_lr=1e38",),
        ("outer_lr=1e36", "outer_schedule=constant", "clip_norm=null", "steps=3"),
        ("learner=finetune", "model=mlp", "dataset=sinusoid", "ways=1", "outer_lr=1e19"),
        ("threads=100000",),
        (f"threads={10**30}",),
        ("model.layers=2147483647",),
        ("model.hidden_size=2147483647",),
        ("model=mlp", "model.layers=2147483647"),
        ("learner.inner_steps=2147483647",),
        (f"learner.inner_steps={10**30}",),
        (f"dataset.classes={2**63}",),
        ("dataset.examples=2147483647",),
        ("dataset=sinusoid", "ways=1", "meta_batch_size=1000000000", "shots=1000000000"),
        ("device='line\nbreak'",),
        ("device='cpu:5'",),
        ("output_dir=" + "a" * 300,),
        ("output_dir='nul\0byte'",),
        ("output_dir='\udcff'",),
        ("resume=" + "a" * 300,),
        ("resume='nul\0byte'",),
        ("dataset=omniglot", "dataset.root='~nobody_by_that_name/x'"),
        ("dataset=omniglot", "dataset.root='nul\0byte'"),
        ("hydra.verbose=5",),
        ("hydra.searchpath=[nothing://x]",),
        ("hydra.job.env_copy=[NOT_THERE]",),
        ("-m", "hydra.sweeper.max_batch_size=-1"),
        ("--shell-completion",),
        ("shots=" + "[" * 300 + "]" * 300,),
    ],
    ids=lambda arguments: ascii(" ".join(arguments))[1:60],
)
def test_found_before(arguments: tuple[str, ...]) -> None:
    from stress.fuzzing.overrides import Line, tiny
    from stress.fuzzing.parts import PARTS, play

    parts = {part.name: part for part in PARTS}
    assert play(parts["trainings"], Line("train", (*tiny(arguments), *arguments))) == []


def test_what_is_wrong_is_seen() -> None:
    from stress.fuzzing.harness import Ended, faults

    block = "error: ways=0\n  fix: use ways>=2\n"
    before: dict[str, bytes | None] = {"work": None}
    assert faults(Ended(2, "", block, "", before, before), []) == []
    assert faults(Ended(0, "", "", "", before, before | {"work/outputs": None}), []) == []
    usage = "usage: metalstm-report RUN\nmetalstm-report: error: unrecognized arguments: -x\n"
    assert faults(Ended(2, "", usage, "", before, before), []) == []
    for ended in (
        Ended(1, "", block, "", before, before),
        Ended(None, "", "", "Traceback ...\nValueError: x\n", before, before),
        Ended(2, "", "", "", before, before),
        Ended(2, "", "error: ways=0\n", "", before, before),
        Ended(2, "", f"Error executing job\n{block}", "", before, before),
        Ended(2, "", f"{block}Traceback (most recent call last):\n", "", before, before),
        Ended(2, "", block, "", before, before | {"work/outputs": None}),
        Ended(2, "", block, "", before | {"mine": b"1"}, before | {"mine": b"2"}),
        Ended(2, "", block, "", before | {"mine": b"1"}, before),
    ):
        assert faults(ended, []), ended
