"""Ctrl-C while a checkpoint is being saved."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.runs import checkpoint
from metalstm.runs.checkpoint import read
from support.commands import only_run, tiny

CPU = torch.device("cpu")


@pytest.mark.parametrize("call", [3, 4])
def test_twice_during_a_save(call: int, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save is done to its end, and so is the stop: all checkpoints are whole, and the run goes on."""
    real, calls = checkpoint.write_synced, []

    def interrupted(path: Path, data: bytes) -> None:
        calls.append(path)
        if len(calls) == call:
            path.write_bytes(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_synced", interrupted)
        ended = in_process("train", *tiny(scratch_tasks=0, validate_every=6))
    assert ended.code == 130
    assert ended.err.startswith("error: stopped after step ")
    assert "Traceback" not in ended.err
    assert len(calls) > call
    run = only_run(Path())
    assert not list((run / "checkpoints").glob(".*"))
    saved = sorted((run / "checkpoints").glob("step_*"))
    assert [read(path, CPU).step for path in saved] == [4, 5]
    assert in_process("train", f"resume={run}").code == 0
