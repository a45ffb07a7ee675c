"""A real training run: the processes that it takes, one after another, and the state that it ends in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stress.torture.states import EndState, digest

STEPS = 60
CHECKPOINT_EVERY = 5
# Steps of about 20 ms, so that what a moment hits is drawn from all that a run does.
SETTINGS = {
    "dataset.classes": 36,
    "model.hidden_size": 8,
    "ways": 3,
    "queries": 2,
    "train_queries": 2,
    "steps": STEPS,
    "meta_batch_size": 2,
    "validate_every": 15,
    "validation_tasks": 4,
    "checkpoint_every": CHECKPOINT_EVERY,
    "test_tasks": 4,
    "scratch_tasks": 0,
}
GRADIENT_LEARNERS = ("maml", "fomaml")
LEARNERS = (*GRADIENT_LEARNERS, "memory")
PATIENCE = 300.0  # seconds for a process to get anywhere
LOOK_EVERY = 0.004  # seconds
RESULTS = ("value", "ci95", "curve", "baselines", "protocol")  # of result.json, what two equal runs agree on


class TortureError(Exception):
    """The harness itself cannot go on."""


class Screen(NamedTuple):
    """Where a process writes, by descriptors."""

    out: int
    err: int
    before: Callable[[], None] | None = None  # called in the process before it begins


class Process:
    """One `metalstm-train` of a run, its output in files.

    Args:
        arguments: of the command.
        folder: to work in.
        environment: of the process.
        name: of the two files.
        screen: what it writes to in place of files, and a call before it begins.
    """

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        environment: Mapping[str, str],
        name: str,
        screen: Screen | None = None,
    ) -> None:
        self.out_file, self.err_file = folder / f"{name}.out", folder / f"{name}.err"
        command = [str(Path(sys.executable).with_name("metalstm-train")), *arguments]
        with self.out_file.open("wb") as out, self.err_file.open("wb") as err:
            screen = screen or Screen(out.fileno(), err.fileno())
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=screen.out,
                stderr=screen.err,
                preexec_fn=screen.before,
            )
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def out(self) -> str:
        return self.out_file.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self.err_file.read_text(encoding="utf-8")

    @property
    def began_at(self) -> int | None:
        """The step that it went on from; None: it did not come so far as to say so."""
        said = re.search(r"^meta-train from step (\d+) to", self.out, re.MULTILINE)
        return int(said.group(1)) if said else None

    @property
    def alive(self) -> bool:
        if time.monotonic() - self.started > PATIENCE:
            self.end()
            raise TortureError(f"a process got nowhere in {PATIENCE:.0f} s:\n{self.out}\n{self.err}")
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self) -> int:
        """The exit code; -n: died of signal n."""
        while self.alive:
            time.sleep(LOOK_EVERY)
        return self.popen.returncode

    def end(self) -> None:
        """Makes sure that nothing of it is left."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait()


class Run:
    """A run in a folder of its own, begun by its first process and gone on with by the others.

    Args:
        folder: for its directory and its processes' output; made.
        learner: its name.
        cache: an `$XDG_CACHE_HOME` that runs share.
        changes: other settings than `SETTINGS`.
    """

    def __init__(self, folder: Path, learner: str, cache: Path, **changes: Any) -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True)
        self.learner = learner
        self.settings = SETTINGS | {"output_dir": self.folder / "outputs"} | changes
        if learner in GRADIENT_LEARNERS:
            self.settings["learner.inner_steps"] = 2
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("METALSTM", "HYDRA", "FAULT"))
        }
        self.environment = kept | {
            "XDG_CACHE_HOME": str(cache.absolute()),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.processes: list[Process] = []

    @property
    def path(self) -> Path | None:
        """Its directory; None: not made yet, or not so far that it can be gone on with."""
        found = list(Path(self.settings["output_dir"]).glob("*/*/run.json"))  # not below: there folders come and go
        return found[0].parent if found else None

    @property
    def over(self) -> bool:
        return self.path is not None and (self.path / "result.json").exists()

    @property
    def last_step(self) -> int:
        """The last one in metrics.jsonl; 0: none."""
        return 0 if self.path is None else last_step(self.path)

    @property
    def checkpoints(self) -> list[Path]:
        """Those for going on, the newest first."""
        return [] if self.path is None else checkpoints(self.path)

    def start(self, environment: Mapping[str, str] | None = None, screen: Screen | None = None) -> Process:
        """The next process."""
        given = [f"{name}={value}" for name, value in self.settings.items()]
        arguments = [f"learner={self.learner}", *given] if self.path is None else [f"resume={self.path}"]
        name = f"process_{len(self.processes):03d}"
        self.processes.append(Process(arguments, self.folder, self.environment | dict(environment or {}), name, screen))
        return self.processes[-1]

    def finish(self, environment: Mapping[str, str] | None = None) -> EndState:
        """Goes on to the end.

        Raises:
            TortureError: it did not get there.
        """
        process = self.start(environment)
        if process.wait() != 0:
            raise TortureError(f"a run that nothing stopped ended with {process.popen.returncode}:\n{process.err}")
        return self.end_state()

    def end_state(self) -> EndState:
        assert self.path is not None
        return end_state(self.path)

    def end(self) -> None:
        for process in self.processes:
            process.end()


def checkpoints(path: Path) -> list[Path]:
    """A run's checkpoints for going on, the newest first."""
    return sorted((path / "checkpoints").glob("step_*"), reverse=True)


def last_step(path: Path) -> int:
    """The last step in a run's metrics.jsonl; 0: none."""
    try:
        lines = (path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return 0
    whole = [line for line in lines[-2:] if line.endswith(b"\n")]
    return json.loads(whole[-1])["step"] if whole else 0


def end_state(path: Path) -> EndState:
    """How a run that is over has ended."""
    import torch

    state = torch.load(checkpoints(path)[0] / "state.pt", map_location="cpu", weights_only=True)
    result = json.loads((path / "result.json").read_bytes())
    return EndState(
        digest(state["learner"]),
        digest(state["outer"]),
        hashlib.sha256((path / "metrics.jsonl").read_bytes()).hexdigest(),
        digest({name: result[name] for name in RESULTS}),
    )
