"""`metalstm-train ... --check`: the refusals of a run, all at once, and nothing trained or begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.commands import only_run, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

IN_ORDER = "all is in order; nothing was trained, and no run begun"


def test_a_run_that_is_in_order(in_process: Any) -> None:
    ended = in_process("train", *tiny(), "--check")
    assert (ended.code, ended.err) == (0, "")
    assert IN_ORDER in ended.out
    assert "3-way 1-shot" in ended.out
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["ways=0", "outer_lr=-1"], 2, ["ways=0, but it must be at least 1", "outer_lr=-1.0, but it must be larger"]),
        (["ways=9", "shots=30"], 2, ["ways=9, but split 'meta_validation'", "shots=30 and queries=2 take 32"]),
        (["dataset=folder", "dataset.root=nothing"], 3, ["nothing: no such folder", "name a folder that exists"]),
        (["device=cuda:9"], 2, ["device=cuda:9"]),
        (["memory_budget=1", "meta_batch_size=1", "shots=15"], 2, ["memory_budget"]),
        (["init_from=nothing"], 4, ["nothing is not a directory"]),
        (["init_from=nothing", "output_dir=a_file"], 4, ["nothing is not a directory", "a_file"]),
        (["resume=nothing"], 4, ["nothing is not a directory"]),
    ],
)
def test_what_a_run_is_refused_for(given: list[str], code: int, said: list[str], in_process: Any) -> None:
    Path("a_file").touch()
    foreign = {} if "dataset=folder" not in given else {"dataset.classes": None}
    ended = in_process("train", *(tiny(**foreign) if given != ["resume=nothing"] else []), *given, "--check")
    assert ended.code == code
    assert all(words in ended.err for words in said), ended.err
    assert not Path("outputs").exists()


def test_a_run_to_go_on_with(in_process: Any) -> None:
    assert in_process("train", *tiny(scratch_tasks=0, test_tasks=0)).code == 0
    run = only_run(Path("outputs"))
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    ended = in_process("train", f"resume={run}", "steps=9", "--check")
    assert (ended.code, IN_ORDER in ended.out) == (0, True)
    ended = in_process("train", f"resume={run}", "steps=3", "--check")
    assert ended.code == 2
    assert "steps=3, but the run has done 6" in ended.err
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before
    newest = max(run.glob("checkpoints/step_*"))
    (newest / "state.pt").write_bytes(b"")
    ended = in_process("train", f"resume={run}", "steps=9", "--check")
    assert ended.code == 0  # the checkpoint before is whole
    for state in run.glob("checkpoints/step_*/state.pt"):
        state.write_bytes(b"")
    assert in_process("train", f"resume={run}", "steps=9", "--check").code == 4


def test_a_sweep(process: Any, tmp_path: Path) -> None:
    ended = process("metalstm-train", "-m", *tiny(ways=None), "ways=2,3", "--check", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "2 jobs are in order" in ended.out
    ended = process("metalstm-train", "-m", *tiny(ways=None), "ways=2,99", "--check", cwd=tmp_path)
    assert ended.code == 2
    assert "ways=99" in ended.err
    assert not (tmp_path / "outputs").exists()


def test_as_a_command_of_its_own(process: Any, tmp_path: Path) -> None:
    ended = process("python", "-m", "metalstm", "check", *tiny(), cwd=tmp_path)
    assert (ended.code, ended.err, IN_ORDER in ended.out) == (0, "", True)
    assert list(tmp_path.iterdir()) == []
