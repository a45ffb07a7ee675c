"""What a memory budget does: the peak of evaluating and of training on sequences of 28, 500 and 2,000 steps.

Each row is a process of its own, which prints the highest resident memory (`VmHWM`) during the work less the resident
memory just before it, as `bench.peak` does. `by count` is as it was before there was a budget: 2,000 sequences at a
time, 4 tasks in training. What would take more than `MOST` is not run, and its estimate stands in its place.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.environment import environment, in_words
from bench.peak import CLEAR_REFS, RESET_HIGH_WATER_MARK, kib
from bench.table import line
from metalstm.evaluation.evaluate import EvaluationSetup, in_batches, longest, meta_evaluate
from metalstm.files.writing import write_atomically
from metalstm.learners.base import Learner
from metalstm.learners.cost import bytes_of_pass
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML
from metalstm.learners.parts import meta_loss
from metalstm.learners.scratch import Scratch
from metalstm.nn.lstm import ModelShape
from metalstm.runtime.budget import BUDGET, MIB, usable
from metalstm.runtime.malloc import keep_freed_memory
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape

SCRIPTS = Path(__file__).parents[1]
STEPS = (28, 500, 2000)
BUDGETS = (None, 2048, 512)  # MiB; None: by count
MOST = 3 * 2**30
HARD = 10 * 2**30  # of address space, of which torch takes some gigabytes that it does not touch
FEATURES, HIDDEN, DIRECTIONS = 6, 64, 2
WORK = {
    "from scratch, evaluation": "scratch",
    "maml, 3 second-order steps, training": "maml",
}
HEAD = ["work", "steps", "budget, MiB", "peak, MiB", "estimate, MiB", "s"]


def run(quick: bool, threads: int, command: str, out: Path) -> None:
    """Measures all of it, and writes `memory.json` and `memory.md`."""
    report: dict[str, Any] = {"command": command, "environment": environment(threads), "rows": []}
    for work in WORK:
        for steps in STEPS[:1] if quick else STEPS:
            for budget in BUDGETS[:2] if quick else BUDGETS:
                report["rows"].append(measured(work, steps, budget, threads))
                print(line(cells(report["rows"][-1])), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "memory.json", json.dumps(report, indent=1).encode())
    write_atomically(out / "memory.md", markdown(report).encode())


def measured(work: str, steps: int, budget: int | None, threads: int) -> dict[str, Any]:
    """A row, from a process of its own."""
    command = [sys.executable, "-m", "bench.memory", work, str(steps), str(budget or 0), str(threads)]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{work}, {steps} steps, {budget} MiB: {done.stderr[-500:]}")
    row: dict[str, Any] = json.loads(done.stdout)
    return {"work": work, "steps": steps, "budget_mib": budget} | row


def markdown(report: Mapping[str, Any]) -> str:
    lines = [
        f"`{report['command']}` on {in_words(report['environment'])}",
        "",
        f"Tasks of 5 ways, 5 shots and 15 queries (5 in training), {FEATURES} features, an LSTM of {HIDDEN} units that "
        "reads both ways. Evaluation: the first batch of tasks that is counted as one, 2,000 sequences (8 tasks where "
        "they have 2,000 steps), one step. Training: one meta-batch of 4 tasks. Peak: resident memory on top of the "
        "libraries, the data and the model. Estimate: of all that is held at a time by count. In brackets: more than "
        f"{MOST // MIB} MiB, and not run.",
        "",
        line(HEAD),
        line(["---", "---:", "---:", "---:", "---:", "---:"]),
        *(line(cells(row)) for row in report["rows"]),
    ]
    return "\n".join(lines) + "\n"


def cells(row: Mapping[str, Any]) -> list[str]:
    ran = row["peak_mib"] is not None
    peak = f"{row['peak_mib']:,.0f}" if ran else f"({row['estimate_mib']:,.0f})"
    seconds = f"{row['seconds']:.1f}" if ran else "-"
    return [
        *(row["work"], f"{row['steps']:,}", "by count" if row["budget_mib"] is None else f"{row['budget_mib']:,}"),
        *(peak, f"{row['estimate_mib']:,.0f}", seconds),
    ]


def main() -> None:
    """One row."""
    work, steps, budget, threads = WORK[sys.argv[1]], *(int(word) for word in sys.argv[2:5])
    torch.set_num_threads(threads)
    resource.setrlimit(resource.RLIMIT_AS, (HARD, HARD))
    keep_freed_memory()
    learner = learner_of(work)
    evaluate = work != "maml"
    do(learner, sampler_of(4, evaluate), 1, evaluate)  # what libraries take, they have taken
    sampler = sampler_of(steps, evaluate)
    tasks = (8 if steps == STEPS[-1] else len(in_batches(sampler.shape, 1000)[0])) if evaluate else 4
    task = longest(sampler, 1)
    one = learner.bytes_in_evaluation(task) if evaluate else learner.bytes_in_training(task)
    if evaluate:  # the queries of all tasks are answered in one pass where nothing cuts them up
        assert learner.network is not None
        one = max(one, bytes_of_pass(learner.network, task.query, "nothing"))
    estimate = one * tasks
    BUDGET.limit = usable(budget * MIB) if budget else None
    row: dict[str, float | None] = {"estimate_mib": estimate / MIB, "peak_mib": None, "seconds": None}
    if estimate < MOST or budget:
        gc.collect()
        before = kib("VmRSS")
        CLEAR_REFS.write_text(RESET_HIGH_WATER_MARK)
        started = time.perf_counter()
        do(learner, sampler, tasks, evaluate)
        row |= {"seconds": time.perf_counter() - started, "peak_mib": (kib("VmHWM") - before) / 1024}
    print(json.dumps(row))


def learner_of(work: str) -> Learner:
    shape, generator = ModelShape(FEATURES, 5, HIDDEN, 1, DIRECTIONS), torch.Generator().manual_seed(0)
    if work == "scratch":
        return Scratch(shape, "classification", "adam", 0.01, 0)
    return MAML(WholeModel(shape.build(generator)), "classification", 3, 0.1)


def sampler_of(steps: int, evaluate: bool) -> TaskSampler:
    examples = torch.randn(6, 20, steps, FEATURES, generator=torch.Generator().manual_seed(0))
    pool = ClassDataset(examples, [f"class {number}" for number in range(len(examples))])
    return TaskSampler(pool, TaskShape(5, 5, 15 if evaluate else 5), 1 if evaluate else 4, 0, "meta_test")


def do(learner: Learner, sampler: TaskSampler, tasks: int, evaluate: bool) -> None:
    if evaluate:
        meta_evaluate(learner, sampler, max(2, tasks), [0, 1], EvaluationSetup("classification", torch.device("cpu")))
    else:
        meta_loss(learner, sampler(1)).loss.backward()


if __name__ == "__main__":
    main()
