"""Names of files, folders and classes that are not UTF-8: shown with a replacement, and never in the way."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metalstm.cli import report
from support.commands import tiny

NAME = os.fsdecode(b"caf\xe9")
TEXTS = (".json", ".jsonl", ".html", ".yaml", ".md", ".log")


@pytest.fixture
def data(in_process: Any) -> Path:
    """A folder of images whose names are not UTF-8."""
    root = Path(NAME)
    for label in range(8):
        folder = root / f"{NAME}{label}"
        folder.mkdir(parents=True)
        for number in range(4):
            image = np.random.default_rng((label, number)).integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{NAME}{number}.png")
    return root


def test_a_run_on_them(data: Path, in_process: Any, monkeypatch: Any, capsys: Any) -> None:
    given = tiny(ways=2, steps=2, scratch_tasks=0, **{"dataset.classes": None})
    ended = in_process("train", "dataset=folder", f"dataset.root='{data}'", f"output_dir='{NAME} runs'", *given)
    assert (ended.code, ended.err) == (0, "")
    assert "result    caf? runs/" in ended.out
    (run,) = Path(f"{NAME} runs").glob("*/*")
    assert in_process("test", f"run='{run}'", "tasks=4").code == 0
    assert in_process("train", f"resume='{run}'", "steps=4").code == 0
    monkeypatch.setattr(sys, "argv", ["metalstm-report", str(run), "--out", NAME])
    report.main()
    texts = [path.read_text(encoding="utf-8") for path in Path().rglob("*") if path.suffix in TEXTS]
    assert len(texts) > 15
    assert sum("caf?" in text for text in texts) >= 6
    assert json.loads((run / "result.json").read_text())["settings"]["dataset"]["root"].endswith("caf?")
    assert "caf?" in (run / "report.html").read_text(encoding="utf-8")
