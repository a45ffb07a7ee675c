"""Training into a small file system that fills up just before a save: the part `disk`."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stress.torture.run import CHECKPOINT_EVERY, LOOK_EVERY, Run
from stress.torture.states import EndState
from stress.torture.workshop import Workshop

LEARNER = "maml"
SIZE = 6 * 2**20  # bytes, of the file system: room for all that a run keeps
LEFT = 24 * 2**10  # bytes, left by the filler: for lines in metrics.jsonl and train.log, not for a checkpoint
FULL_AT = 20  # step


class NoMountError(Exception):
    """This machine lets us mount nothing."""


@contextmanager
def small_file_system(folder: Path) -> Iterator[Path]:
    """A tmpfs of `SIZE` bytes on a folder.

    Raises:
        NoMountError: it is refused.
    """
    folder.mkdir(parents=True)
    if shutil.which("mount") is None:
        raise NoMountError("there is no mount")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoMountError(f"mounting a tmpfs is refused: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(filler: Path) -> None:
    """Leaves little room in a file system."""
    block = b"\0" * 4096
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(filler.parent).free > LEFT:
            try:
                file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break


def filled_at_a_save(run: Run, filler: Path, reference: EndState) -> list[str]:
    """Trains a run until its disk is full, makes room, goes on; what was not as it should be."""
    import torch

    from metalstm.runs.checkpoint import read

    problems = []
    process = run.start()
    try:
        # Not while it saves: it would then have the room of the checkpoint that it drops afterwards.
        while run.last_step < FULL_AT or run.last_step % CHECKPOINT_EVERY == 0:
            if not process.alive:
                return [f"ended with {process.popen.returncode} before the disk was full:\n{process.err}"]
            process.signal(signal.SIGCONT)
            time.sleep(LOOK_EVERY)
            process.signal(signal.SIGSTOP)  # or it might train to its end while it is looked at, or the disk is filled
        fill(filler)
        process.signal(signal.SIGCONT)
        code = process.wait()
        if code in (0, 1) or code < 0:
            problems.append(f"a full disk gave exit code {code}")
        if not process.err.startswith("error: ") or "\n  fix: " not in process.err or "Traceback" in process.err:
            problems.append(f"a full disk was told as:\n{process.err}")
        assert run.path is not None
        left = [str(path.relative_to(run.path)) for path in run.path.rglob("*") if is_temporary(path)]
        if left:
            problems.append(f"left behind: {', '.join(left)}")
        for checkpoint in run.checkpoints:
            read(checkpoint, torch.device("cpu"))
        if len(run.checkpoints) < 2:
            problems.append(f"{len(run.checkpoints)} checkpoints left of 2")
        if run.over:
            return [*problems, "it was over with its disk full"]
        filler.unlink()
        problems += [f"{name} differs" for name in run.finish().differences(reference)]
    finally:
        run.end()
    return problems


def is_temporary(path: Path) -> bool:
    return path.name.endswith(".tmp") or (path.parent.name == "checkpoints" and path.name.startswith("."))


def disk(workshop: Workshop) -> dict[str, Any]:
    """The part; where nothing can be mounted, only that is reported."""
    reference = workshop.reference(LEARNER)
    try:
        with small_file_system(workshop.folder / "small") as small:
            run = workshop.new_run(LEARNER, output_dir=small)
            problems = filled_at_a_save(run, small / "filler", reference)
    except NoMountError as error:
        print(f"disk  skipped: {error}", flush=True)
        return {"disks_filled": 0, "skipped": str(error), "problems": []}
    print(f"disk  filled at step {FULL_AT}: {problems or 'said so, and went on with room made'}", flush=True)
    return {"disks_filled": 1, "problems": problems}
