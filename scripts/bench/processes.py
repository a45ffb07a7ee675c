"""What a second process is worth: training steps of one process and of two that share the tasks, a thread each.

python -m bench.processes SETTING STEPS     one of the processes; the first one prints seconds
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from bench.environment import environment, in_words
from bench.problem import BenchmarkError
from bench.table import in_short, line
from bench.training import SETTINGS, Stopwatch, training_of
from metalstm.runtime.torchrun import processes_together
from metalstm.tasks.sampler import TaskSampler

DRAWN = (1000, 64)  # tasks, processes
SCRIPTS = Path(__file__).parents[1]
COLLECTIVES = ("average", "means", "all_reduce")  # of every step
# How many processes there are, and whether they share one run or have one each: what the machine itself allows.
CASES = {"one": (1, True), "two": (2, True), "two apart": (2, False)}


def steps_timed(setting: str, steps: int) -> dict[str, float] | None:
    """The median seconds of a training step, and of its collectives, waiting included; None of all but the first."""
    begun: list[float] = []
    with processes_together() as processes, training_of(setting, steps, 1, processes) as training:
        watch = Stopwatch()
        for name in COLLECTIVES:
            setattr(processes, name, watch.timed("together", getattr(processes, name)))
        sampler, together = training.sampler, []

        def sample(step: int) -> Any:
            begun.append(time.perf_counter())
            together.append(watch.seconds.get("together", 0.0))
            return sampler(step)

        training.sampler = mock.Mock(side_effect=sample, generator=sampler.generator)
        training.run()
        if not processes.first:
            return None
        parameters = sum(parameter.numel() for parameter in training.learner.parameters())
    # From one begin to the next, so that the last step, which ends in validation, is not in it; the first warms up.
    whole, waits = ([b - a for a, b in pairwise(times[1:])] for times in (begun, together))
    return {"step_s": statistics.median(whole), "together_s": statistics.median(waits), "parameters": parameters}


def drawing(setting: str, tasks: int, processes: int, runs: int) -> dict[str, float]:
    """Seconds to draw a large meta-batch, and what one of many processes draws of it; the fastest of some runs."""
    with training_of(setting, 1, 1) as training:
        source, shape = training.sampler.source, training.sampler.shape
    shards = {"whole_s": slice(tasks), "share_s": slice(tasks // processes)}

    def seconds(shard: slice, step: int) -> float:
        started = time.perf_counter()
        TaskSampler(source, shape, tasks, 0, "meta_train", shard)(step)
        return time.perf_counter() - started

    found = {name: min(seconds(shard, step) for step in range(runs)) for name, shard in shards.items()}
    return {"tasks": tasks, "processes": processes, **found}


def measured(setting: str, steps: int, count: int, share: bool) -> list[dict[str, float]]:
    """The same, by processes of their own: of the run that they share, or of each one's."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = str(listening.getsockname()[1])
    together = {"WORLD_SIZE": str(count if share else 1), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.processes", setting, str(steps)],
            cwd=SCRIPTS,
            env=os.environ | together | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate()[0] for process in running]
    if any(process.returncode != 0 for process in running):
        raise BenchmarkError(f"{count} processes on {setting}: a process has failed")
    return [json.loads(text.splitlines()[-1]) for text in said if text.strip()]


def run(quick: bool, rounds: int, command: str, out: Path) -> dict[str, Any]:
    """Measures both settings, the cases in turn: `processes.json` and `processes.md`."""
    steps, rounds = (4, 1) if quick else (24, rounds)
    rows = []
    for setting in SETTINGS:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in CASES}
        for _ in range(rounds):
            for name, case in CASES.items():
                found[name] += measured(setting, steps, *case)
        rows.append(row(setting, found) | {"drawing": drawing(setting, *DRAWN, runs=1 if quick else 5)})
    report = {"environment": environment(1), "command": command, "rounds": rounds, "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "processes.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "processes.md").write_text(markdown(report))
    return report


def row(setting: str, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """One setting's figures; efficiency: a step of one process, over two steps' worth of two processes' time."""
    step = {name: statistics.median(one["step_s"] for one in ones) for name, ones in found.items()}
    tasks = int(next(word for word in SETTINGS[setting] if "meta_batch_size" in word).partition("=")[2])
    return {
        "setting": setting,
        "parameters": found["two"][0]["parameters"],
        **{f"{name.replace(' ', '_')}_step_s": seconds for name, seconds in step.items()},
        "one_tasks_per_s": tasks / step["one"],
        "two_tasks_per_s": tasks / step["two"],
        "efficiency": step["one"] / step["two"] / 2,
        "efficiency_apart": step["one"] / step["two apart"],
        "together_s": statistics.median(one["together_s"] for one in found["two"]),
        "runs": len(found["two"]),
    }


def markdown(report: dict[str, Any]) -> str:
    rows = report["rows"]
    lines = [
        f"`{report['command']}` on {in_words(report['environment'])}",
        "",
        "Steps of meta-training on glyphs (the recipe of training.md), a thread to each process, medians of "
        f"{report['rounds']} runs of each in turn. Efficiency: tasks per second of two processes over twice those of "
        "one; apart: of two runs side by side that share nothing, which is what the machine allows.",
        "",
        line(["", *(in_short(row["setting"]) for row in rows)]),
        line(["---", *("---:" for _ in rows)]),
        *(
            line([words, *(f"{row[key]:{form}}" for row in rows)])
            for key, words, form in (
                ("one_tasks_per_s", "tasks per second, one process", ".1f"),
                ("two_tasks_per_s", "tasks per second, two processes", ".1f"),
                ("efficiency", "efficiency", ".1%"),
                ("efficiency_apart", "efficiency, apart", ".1%"),
                ("together_s", "of a step: exchange and waiting, s", ".4f"),
            )
        ),
        *(
            line([words, *(f"{row['drawing'][key]:.4f}" for row in rows)])
            for key, words in (
                ("whole_s", f"drawing {DRAWN[0]} tasks, s"),
                ("share_s", f"drawing one of {DRAWN[1]} processes' share of them, s"),
            )
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    seconds = steps_timed(sys.argv[1], int(sys.argv[2]))
    if seconds is not None:
        print(json.dumps(seconds))
