"""The average of the weights: what it is, and that it is judged and kept while the weights themselves train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.runs.checkpoint import read
from support.commands import only_run, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

CPU = torch.device("cpu")


def weights(path: Path) -> dict[str, torch.Tensor]:
    learner: dict[str, torch.Tensor] = read(path, CPU).state["learner"]
    return learner


def test_the_average_is_kept_as_the_best_and_does_not_touch_training(
    in_process: Any,
) -> None:
    given = tiny(scratch_tasks=0, steps=4, checkpoint_every=1, keep_checkpoints=4, validate_every=4)
    for folder, more in (("plain", []), ("averaged", ["ema_decay=0.8"])):
        ended = in_process("train", *given, *more, f"output_dir={folder}")
        assert ended.code == 0, ended.err
    plain, averaged = (only_run(Path(folder)) / "checkpoints" for folder in ("plain", "averaged"))
    trained = [weights(averaged / f"step_{step:08d}") for step in range(1, 5)]
    assert all(torch.equal(value, trained[-1][name]) for name, value in weights(plain / "step_00000004").items())
    kept = weights(averaged / "best_00000004")
    for name, value in kept.items():
        expected = trained[0][name].double()
        for step in trained[1:]:
            expected = 0.8 * expected + 0.2 * step[name].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-7)
    assert any((value - trained[-1][name]).abs().max() > 1e-4 for name, value in kept.items())
