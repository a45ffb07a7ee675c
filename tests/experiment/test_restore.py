"""What a run directory may go through: broken checkpoints, other settings, other data, an attack."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.runs.checkpoint import MANIFEST, STATE, Checkpoints, as_manifest, read
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

CPU = torch.device("cpu")
LAST, BEFORE = "step_00000006", "step_00000004"


def content(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def refused(ended: Any, code: int, *words: str) -> None:
    assert ended.code == code, ended
    assert ended.err.startswith("error: ")
    assert "\n  fix: " in ended.err
    for word in words:
        assert word in ended.err, ended.err


@pytest.mark.parametrize(
    ("given", "differences"),
    [
        (["ways=2", "shots=2"], ["ways=2, but the run has ways=3", "shots=2, but the run has shots=1"]),
        (
            ["learner=fomaml"],
            [
                "learner.name=fomaml, but the run has learner.name=maml",
                "learner.order=first, but the run has learner.order=second",
            ],
        ),
        (["model.hidden_size=9", "seed=1"], ["model.hidden_size=9", "but the run has seed=0"]),
        (["dataset=sinusoid"], ["dataset.name=sinusoid, but the run has dataset.name=glyphs"]),
        (["dataset.classes=48"], ["dataset.classes=48, but the run has dataset.classes=36"]),
        (["outer_lr=0.1", "meta_batch_size=3"], ["outer_lr=0.1", "meta_batch_size=3"]),
        (["experiment=sinusoid_5shot"], ["experiment cannot be given"]),
        (["+wasy=5"], ["wasy cannot be given"]),
        (["~clip_norm"], ["clip_norm"]),
        (["steps=5"], ["steps=5, but the run has done 6", "use steps>=6"]),
        (["steps=five"], ["steps=five is not a whole number"]),
        ([], ["the run is over", "its 6 steps are done", "steps>6", "metalstm-test run="]),
    ],
)
def test_what_a_resumed_run_may_not_change(given: list[str], differences: list[str], run: Path, resume: Any) -> None:
    before = content(run)
    refused(resume(*given), 2, *differences)
    assert content(run) == before


def test_the_same_settings_may_be_given_again(resume: Any) -> None:
    assert resume("ways=3", "learner=maml", "learner.inner_steps=2", "seed=0", "steps=7", "test_tasks=4").code == 0


def test_a_result_of_fewer_steps_does_not_end_a_longer_run(run: Path, resume: Any, monkeypatch: Any) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("metalstm.evaluation.meta_test.meta_evaluate", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resume("steps=7")
    assert not (run / "result.json").exists()
    assert resume().code == 0
    assert json.loads((run / "result.json").read_text(encoding="utf-8"))["training"]["steps"] == 7


def test_changed_data(run: Path, resume: Any, in_process: Any) -> None:
    identity = json.loads((run / "run.json").read_text(encoding="utf-8"))
    identity["fingerprint"] = "0" * 64
    (run / "run.json").write_text(json.dumps(identity), encoding="utf-8")
    before = content(run)
    for ended in (resume("steps=7"), in_process("test", f"run={run}")):
        refused(ended, 3, "dataset 'glyphs' has changed", "000000000000")
    assert content(run) == before


def test_changed_data_that_is_allowed(run: Path, resume: Any, in_process: Any) -> None:
    identity = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(identity | {"fingerprint": "0" * 64}), encoding="utf-8")
    for ended in (
        in_process("test", f"run={run}", "tasks=2", "allow_changed_data=true"),
        resume("steps=7", "allow_changed_data=true"),
    ):
        assert ended.code == 0, ended.err
        assert (
            "warning: dataset 'glyphs' has changed since the run began: its fingerprint was 000000000000" in ended.out
        )
    # It is the run's data from now on, and to be asked for again where it changes again.
    assert json.loads((run / "run.json").read_text(encoding="utf-8")) == identity
    assert "allow_changed_data: false" in (run / "config.yaml").read_text(encoding="utf-8")
    assert result_of(run)["protocol"]["fingerprint"] == identity["fingerprint"]


def test_what_is_changed_is_written_down(run: Path, resume: Any) -> None:
    assert resume("steps=7", "checkpoint_every=3", "threads=1").code == 0
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "INFO changed: steps from 6 to 7\n" in log
    assert "INFO changed: checkpoint_every from 2 to 3\n" in log
    assert "WARNING with another number of threads the run is no longer bit for bit" in log
    assert "steps: 7\n" in (run / "config.yaml").read_text(encoding="utf-8")


def test_a_checkpoint_of_a_gpu(run: Path, resume: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors say that they lay on a GPU, and the config does."""
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace("device: cpu", "device: cuda"), encoding="utf-8")
    before = read(run / "checkpoints" / LAST, CPU)
    with monkeypatch.context() as patched:
        patched.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        written = Checkpoints(run / "checkpoints", 2).save("step", 6, before.state)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(written / STATE, weights_only=True)  # it is what it claims to be
    refused(resume("steps=7"), 2, "device=cuda cannot be used here", "device=cpu")
    ended = resume("steps=7", "device=cpu")
    assert ended.code == 0, ended.err
    assert "changed: device from cuda to cpu" in ended.out
    assert "warning: with another device the run is no longer bit for bit the one never stopped" in ended.out
    assert "meta-train from step 6 to 7" in ended.out


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def remove(file: Path) -> None:
    file.unlink()


BREAKS = [truncate, empty, flip_a_bit, remove]


@pytest.mark.parametrize("break_", BREAKS)
@pytest.mark.parametrize("file", [STATE, MANIFEST])
def test_a_broken_checkpoint_is_named_and_the_one_before_used(
    break_: Callable[[Path], None], file: str, run: Path, resume: Any
) -> None:
    break_(run / "checkpoints" / LAST / file)
    state = read(run / "checkpoints" / BEFORE, CPU).state
    metrics = (run / "metrics.jsonl").read_bytes()
    ended = resume("steps=7")
    assert ended.code == 0, ended.err
    assert f"warning: checkpoint {run / 'checkpoints' / LAST} is broken" in ended.out
    assert "meta-train from step 4" in ended.out
    kept = b"".join(metrics.splitlines(keepends=True)[: state["metrics_lines"]])
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    assert (run / "metrics.jsonl").read_bytes().startswith(kept)
    assert steps == [1, 2, 3, 3, 4, 5, 6, 6, 7, 7]


def test_no_whole_checkpoint(run: Path, resume: Any) -> None:
    for name in (LAST, BEFORE):
        truncate(run / "checkpoints" / name / STATE)
    before = content(run)
    ended = resume("steps=7")
    refused(ended, 4, LAST, BEFORE)
    assert ended.err.count("error: ") == 2
    after = content(run)
    log = str(run / "train.log")
    assert after.pop(log).startswith(before.pop(log))  # the warnings are written down, and nothing else is
    assert after == before


class Attack:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_a_pickle_that_would_run_something_is_refused(run: Path, resume: Any, tmp_path: Path) -> None:
    trace = tmp_path / "was_here"
    buffer = io.BytesIO()
    torch.save({"step": 6, "learner": Attack(trace)}, buffer)
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert trace.is_dir()  # the attack works where nothing stands against it
    trace.rmdir()
    folder = run / "checkpoints" / LAST
    (folder / STATE).write_bytes(buffer.getvalue())
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    manifest["files"][STATE] = {"size": len(buffer.getvalue()), "sha256": digest}
    (folder / MANIFEST).write_bytes(as_manifest(manifest))
    ended = resume("steps=7")
    assert ended.code == 0, ended.err
    assert f"warning: checkpoint {folder} is refused" in ended.out
    assert "meta-train from step 4" in ended.out
    assert not trace.exists()


def test_the_best_checkpoint_is_gone(run: Path, resume: Any, in_process: Any) -> None:
    for best in (run / "checkpoints").glob("best_*"):
        shutil.rmtree(best)
    ended = in_process("test", f"run={run}", "tasks=4")
    assert ended.code == 0, ended.err
    assert "warning: the best checkpoint is gone" in ended.out
    assert resume("steps=7").code == 0


def test_metrics_removed_by_hand(run: Path, resume: Any) -> None:
    (run / "metrics.jsonl").unlink()
    assert resume("steps=7").code == 0


def test_damaged_metrics_stop_no_run(
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(test_tasks=0)).code == 0
    run = only_run(Path())
    file = run / "metrics.jsonl"
    first, *others = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"\x00\xff" + first + b"".join(others))
    ended = in_process("train", f"resume={run}", "steps=8")
    assert (ended.code, ended.err) == (0, "")
    assert f"warning: {file} has changed since its checkpoint: 7 of 8 lines are whole and kept" in ended.out
    steps = [json.loads(line)["step"] for line in file.read_bytes().splitlines()]
    assert steps == [2, 3, 3, 4, 5, 6, 6, 7, 8, 8]
