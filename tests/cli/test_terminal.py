"""What a run says: first what will happen, then how far it is, last what came out and what to do with it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import pytest

from support.commands import only_run, tiny

LENGTH = {"steps": 60, "validate_every": 30, "log_every": 20, "checkpoint_every": 60, "scratch_tasks": 0}


def test_without_a_terminal(
    in_process: Any,
) -> None:
    ended = in_process("train", *tiny(**LENGTH))
    assert (ended.code, ended.err) == (0, "")
    run = only_run(Path())
    at_once, *first = ended.out.splitlines()
    assert re.fullmatch(r"metalstm  [\d.]+, dataset glyphs, model lstm, learner maml", at_once)
    assert first[0] == f"run       {run}"
    assert first[1] == "task      3-way 1-shot classification, 2 queries a class (2 in meta-training)"
    assert first[2].startswith("dataset   glyphs: 36 procedural characters (24 meta_train, 3 meta_validation, 9 ")
    assert re.fullmatch(r"learner   maml, lstm as its model, [\d,]+ meta-parameters", first[3])
    assert first[5] == (
        "meta-train from step 0 to 60, 2 tasks a step, meta-validation every 30, then meta-test on 6 tasks"
    )
    whole = r"and the whole run \d+ s: meta-train \d+ s, meta-validation \d+ s, meta-test \d+ s, report 3 s"
    assert re.fullmatch(rf"meta-train takes about \d+ s more, as its first 10 steps go, {whole}", first[6])
    # One line of progress a period, and how long it takes once.
    assert re.findall(r"^meta-train (\d+)/60  loss", ended.out, re.MULTILINE) == ["20", "40", "60"]
    assert ended.out.count("meta-train ") == 6
    left = [int(seconds) for seconds in re.findall(r"^meta-train .* (\d+) s left$", ended.out, re.MULTILINE)]
    assert left == sorted(left, reverse=True)
    assert left[-1] >= 3  # of the whole run: the meta-test and the report are still to come
    assert re.search(r"^meta-test 6/6 .* 3 s left$", ended.out, re.MULTILINE)
    assert "drawing   the figures and the report" in first
    assert first[-5:] == [
        f"report    {run}/report.html",
        f"figure    {run}/figures/adaptation_curve.png",
        f"next      metalstm-test run={run} tasks=1000",
        f"          metalstm-adapt run={run} support=<folder> query=<folder>",
        f"          metalstm-report {run} <another run>",
    ]
    assert f"result    {run}/result.json" in first


def test_what_is_offered_next_can_be_done(in_process: Any) -> None:
    regression = tiny(ways=1, steps=2, scratch_tasks=0, **{"dataset.classes": None})
    ended = in_process("train", "dataset=sinusoid", *regression)
    assert ended.code == 0
    assert "task      1-shot regression, 2 queries (2 in meta-training)" in ended.out
    assert "metalstm-adapt" not in ended.out  # there are no files of a sine wave
    (offered,) = re.findall(r"^next      metalstm-test (.*) tasks=1000$", ended.out, re.MULTILINE)
    assert in_process("test", *offered.split(), "tasks=4").code == 0


def test_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    command = [Path(sys.executable).with_name("metalstm-train"), *tiny(**LENGTH)]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    parts: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(ours, parts))
    reader.start()
    assert process.wait(120) == 0
    reader.join(10)
    os.close(ours)
    screen = b"".join(parts).decode()
    bars = re.findall(r"\rmeta-train (\d+)/60 \|.*\| loss [\d.]+  accuracy [\d.]+  [\d.]+/s  \d+ s left", screen)
    assert bars[-1] == "60"
    assert len(bars) > 1  # it moves; how often, is a matter of time
    # A line has the screen's whole width to itself, and the log has no bar in it.
    assert re.search(r"(?:^|[\r\n])step 30: meta_validation/accuracy [\d.]+ ± [\d.]+\r?\n", screen)
    log = (only_run(tmp_path) / "train.log").read_text(encoding="utf-8")
    assert "step 30: meta_validation/accuracy" in log
    assert not re.search(r"\r|\x1b|\d+/60|█", log)


def read_all(descriptor: int, parts: list[bytes]) -> None:
    """Reads until nobody writes any more."""
    try:
        while part := os.read(descriptor, 10_000):
            parts.append(part)
    except OSError:  # how Linux says that the terminal has no process left
        pass


def test_a_line_before_anything_heavy_is_read(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit(9)")
    command = [sys.executable, "-c", "from metalstm.train import main; main()", "dataset=omniglot"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (9, "")
    assert re.fullmatch(r"metalstm  [\d.]+, dataset omniglot, model lstm, learner maml\n", ended.stdout)


REFUSED_EARLY = {
    "train ways=0 steps=0": ["ways=0", "steps=0"],
    "train resume=/nowhere": ["/nowhere is not a directory"],
    "test run=/nowhere": ["/nowhere is not a directory"],
    "adapt run=/nowhere support=a query=b out=/proc/x.csv": ["out=/proc/x.csv"],
    "adapt run=/nowhere support=a query=b": ["/nowhere is not a directory"],
}


@pytest.mark.parametrize("line", REFUSED_EARLY)
def test_what_is_refused_before_torch_is_imported(line: str, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit(9)")
    command, *arguments = line.split()
    ended = subprocess.run(
        [sys.executable, "-m", "metalstm", command, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in (2, 4), ended
    assert all(said in ended.stderr for said in REFUSED_EARLY[line])


def test_all_problems_are_said_at_once(in_process: Any) -> None:
    ended = in_process("train", "ways=0", "learner.inner_lr=-1")
    assert (ended.code, ended.err.count("error: ")) == (2, 2), ended
