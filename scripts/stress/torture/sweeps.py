"""Sweeps killed by SIGKILL under each launcher of this machine (part `sweeps`): jobs end, the same command goes on."""

from __future__ import annotations

import importlib.util
import secrets
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stress.torture.run import LOOK_EVERY, SETTINGS, EndState, Process, TortureError, end_state, last_step
from stress.torture.workshop import Workshop

# By name, the module that it takes, and what the command line has of it; the last one's jobs come one after the other.
LAUNCHERS = {
    "cores": ("joblib", ["hydra/launcher=cores", "hydra.launcher.n_jobs=2"]),
    "submitit_local": ("submitit", ["hydra/launcher=submitit_local"]),
    "cluster": ("ray", ["hydra/launcher=cluster", "hydra.launcher.ray.init.num_cpus=2"]),
    "none": ("metalstm", []),
}
SEEDS = ("0", "1")
MARK = "TORTURE_SWEEP"  # in the environment of all that a sweep starts
TO_END = 60.0  # seconds that a killed sweep's processes have
DELAY = 3.0  # seconds after the first step of a job, at the most, when the sweep is killed


class Killed(NamedTuple):
    """What came of one sweep."""

    ended_s: float  # from the kill until no process of the sweep was left
    equal: int  # jobs that ended bit for bit as those of a sweep that nothing killed
    problems: list[str]


def command(launcher: str) -> list[str]:
    """The arguments of a sweep of two short runs."""
    given = [f"{name}={value}" for name, value in (SETTINGS | {"learner.inner_steps": 2}).items()]
    return ["-m", *given, f"seed={','.join(SEEDS)}", *LAUNCHERS[launcher][1]]


class Sweep:
    """A sweep in a folder of its own."""

    def __init__(self, workshop: Workshop, launcher: str) -> None:
        run = workshop.new_run("maml")
        self.folder, self.environment, self.launcher = run.folder, run.environment, launcher

    def start(self, name: str) -> tuple[Process, str]:
        """The command's process, and the mark of all processes that it starts."""
        mark = secrets.token_hex(8)
        return Process(command(self.launcher), self.folder, self.environment | {MARK: mark}, name), mark

    @property
    def jobs(self) -> list[Path]:
        return sorted(path.parent for path in self.folder.glob("outputs/sweeps/*/*/run.json"))

    def end_states(self) -> list[EndState]:
        return [end_state(path) for path in self.jobs]


def marked(mark: str) -> list[int]:
    """The processes that a sweep has left, but for those that wait to be buried."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def killed(workshop: Workshop, launcher: str, delay: float, reference: list[EndState]) -> Killed:
    """Kills a sweep some time after a job's first step, waits for the end of all, and gives the command again."""
    sweep = Sweep(workshop, launcher)
    process, mark = sweep.start("killed")
    while process.alive and not any(last_step(path) for path in sweep.jobs):
        time.sleep(LOOK_EVERY)
    time.sleep(delay)
    process.signal(signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    again, _ = sweep.start("again")  # at once
    try:
        while marked(mark) and time.monotonic() - began < TO_END:
            time.sleep(LOOK_EVERY)
        left, seconds = marked(mark), time.monotonic() - began
        problems = [f"{len(left)} processes were left after {TO_END:.0f} s"] if left else []
        if again.wait() != 0:
            problems.append(f"given again it ended with {again.popen.returncode}:\n{again.err}")
    finally:
        again.end()
    ends = sweep.end_states() if not problems else []
    equal = sum(not end.differences(wanted) for end, wanted in zip(ends, reference, strict=False))
    if not problems and equal < len(SEEDS):
        problems.append(f"{equal} of {len(SEEDS)} jobs ended as without a kill")
    return Killed(seconds, equal, [f"{launcher}: {problem}" for problem in problems])


def reference(workshop: Workshop) -> list[EndState]:
    """How the jobs of a sweep end that nothing kills."""
    sweep = Sweep(workshop, "none")
    process, _ = sweep.start("whole")
    if process.wait() != 0:
        raise TortureError(f"a sweep that nothing killed ended with {process.popen.returncode}:\n{process.err}")
    return sweep.end_states()


def sweeps(workshop: Workshop) -> dict[str, Any]:
    """The part `sweeps`."""
    rng, whole = workshop.random("sweeps"), reference(workshop)
    there = [name for name, (module, _) in LAUNCHERS.items() if importlib.util.find_spec(module)]
    found: Mapping[str, list[Killed]] = {name: [] for name in there}
    for number in range(min(20, workshop.most)):
        name = there[number % len(there)]
        found[name].append(killed(workshop, name, rng.uniform(0, DELAY), whole))
        print(f"sweeps {name}: {found[name][-1]}", flush=True)
    every = [outcome for of_launcher in found.values() for outcome in of_launcher]
    return {
        "sweeps_killed": {name: len(outcomes) for name, outcomes in found.items()},
        "sweep_to_ended_max_s": round(max(outcome.ended_s for outcome in every), 1),
        "bit_equal_jobs": sum(outcome.equal for outcome in every),
        "problems": [problem for outcome in every for problem in outcome.problems],
    }
