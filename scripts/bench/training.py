"""Where the time of a training step goes, and how much of the kernel's speed `metalstm-train` keeps."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from hydra import compose, initialize_config_module

from bench.environment import environment, in_words
from bench.table import in_short, line
from metalstm.config.parse import train_settings
from metalstm.experiment.experiment import Experiment
from metalstm.experiment.session import Session
from metalstm.experiment.train import meta_trainer
from metalstm.learners import parts
from metalstm.nn.kernel import layer, tape
from metalstm.nn.kernel.compiled import sweeps_for
from metalstm.nn.kernel.passes import Sweeps
from metalstm.runtime.processes import SINGLE, Processes
from metalstm.training.meta_trainer import MetaTrainer

SETTINGS = {
    "20w5s_t4": ["ways=20", "shots=5", "meta_batch_size=4"],
    "5w1s_t32": ["ways=5", "shots=1", "meta_batch_size=32"],
}
SAME = ["train_queries=15", "model.directions=1", "learner.inner_steps=5", "validation_tasks=2", "scratch_tasks=0"]
KERNEL = "products and cells"  # within adapting and the outer backward pass


class Stopwatch:
    """Seconds spent in functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

        return run


@contextmanager
def training_of(setting: str, steps: int, threads: int, processes: Processes = SINGLE) -> Iterator[MetaTrainer]:
    """A meta-training on glyphs with the default recipe but for the setting's sizes, in a folder that goes away."""
    with (
        initialize_config_module("metalstm.configs", version_base="1.3"),
        tempfile.TemporaryDirectory() as folder,
    ):
        overrides = [*SETTINGS[setting], *SAME, f"steps={steps}", f"threads={threads}", f"validate_every={steps}"]
        settings = train_settings(compose("train", overrides))
        experiment = Experiment.build(settings, processes)
        with Session.open(experiment, directory=Path(folder, "run")) as session:
            trainer = meta_trainer(experiment, session)
            with session.under_way(trainer):
                yield trainer


def speed_kept(setting: str, steps: int, threads: int) -> dict[str, float]:
    """Training steps, with all that belongs to them but validation, in turn with bare meta-gradients of that size."""
    bare: list[float] = []
    whole: list[float] = []
    with training_of(setting, steps, threads) as training:
        sampler, learner = training.sampler, training.learner
        fixed = sampler(0)
        begun: list[float] = []

        def sample(step: int) -> Any:
            if begun:
                whole.append(time.perf_counter() - begun[-1])
            started = time.perf_counter()
            learner.zero_grad()
            learner.meta_loss(fixed).loss.backward()
            bare.append(time.perf_counter() - started)
            begun.append(time.perf_counter())
            return sampler(step)

        training.sampler = mock.Mock(side_effect=sample, generator=sampler.generator)
        training.run()
    # The first step warms up; the last one ends in validation and is not in `whole`.
    bare_s, whole_s = statistics.median(bare[1:-1]), statistics.median(whole[1:])
    return {"bare_s": bare_s, "step_s": whole_s, "kept": bare_s / whole_s, "runs": len(whole) - 1}


def shares(setting: str, steps: int, threads: int) -> dict[str, float]:
    """The parts of a training step, as fractions of all steps' time; `KERNEL` overlaps the others."""
    watch = Stopwatch()
    fused = sweeps_for(torch.zeros(1))
    sweeps = Sweeps(*(watch.timed(KERNEL, sweep) for sweep in fused))
    with (
        training_of(setting, steps, threads) as training,
        mock.patch.object(layer, "sweeps_for", return_value=sweeps),
        mock.patch.object(tape.Derivatives, "add", watch.timed(KERNEL, tape.Derivatives.add)),
        mock.patch.object(tape.Derivatives, "add_bias", watch.timed(KERNEL, tape.Derivatives.add_bias)),
        mock.patch.object(torch.Tensor, "backward", watch.timed("outer backward", torch.Tensor.backward)),
        mock.patch.object(parts, "add_gradients", watch.timed("parts", parts.add_gradients)),
        mock.patch.object(training, "validate_if_due", return_value=False),
        mock.patch.object(training, "save", watch.timed("checkpoints", training.save)),
        mock.patch.object(training.learner, "meta_loss", watch.timed("adapting", training.learner.meta_loss)),
        mock.patch.object(training.outer, "step", watch.timed("outer step", training.outer.step)),
        mock.patch.object(training.journal, "record", watch.timed("logging", training.journal.record)),
    ):
        sampler = training.sampler
        training.sampler = mock.Mock(
            side_effect=watch.timed("sampling", sampler), generator=watch.timed("sampling", sampler.generator)
        )
        training.run()  # warms up
        training.step = 0
        watch.seconds.clear()
        started = time.perf_counter()
        training.run()
        total = time.perf_counter() - started
    seconds = watch.seconds
    seconds["optimizer"] = seconds.pop("outer step") - seconds["outer backward"]
    if "parts" in seconds:  # of a meta-batch, each back-propagated as soon as it has adapted
        seconds["adapting"] -= seconds["parts"]
        seconds["outer backward"] += seconds.pop("parts")
    of_all = {name: seconds[name] / total for name in seconds if name != KERNEL}
    of_all["loop"] = 1 - sum(of_all.values())
    return {**of_all, KERNEL: seconds[KERNEL] / total}


def run(quick: bool, threads: int, command: str, out: Path) -> dict[str, Any]:
    """Measures both settings: `training.json` and `training.md`."""
    steps = 4 if quick else 24
    rows = [
        {"setting": setting, **speed_kept(setting, steps, threads), "shares": shares(setting, steps // 2, threads)}
        for setting in SETTINGS
    ]
    report = {"environment": environment(threads), "command": command, "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
    (out / "training.md").write_text(markdown(report))
    return report


def markdown(report: dict[str, Any]) -> str:
    rows = report["rows"]
    lines = [
        f"`{report['command']}` on {in_words(report['environment'])}",
        "",
        "Steps of meta-training on glyphs (default recipe, 15 training queries, 5 inner steps, one direction) in turn "
        "with bare meta-gradients of the same size, medians; then the parts of a step as shares of its time.",
        "",
        line(["", *(in_short(row["setting"]) for row in rows)]),
        line(["---", *("---:" for _ in rows)]),
        *(
            line([words, *(f"{row[key]:{form}}" for row in rows)])
            for key, words, form in (
                ("bare_s", "bare meta-gradient, s", ".3f"),
                ("step_s", "training step, s", ".3f"),
                ("kept", "speed kept", ".1%"),
            )
        ),
        *(line([name, *(f"{row['shares'][name]:.1%}" for row in rows)]) for name in rows[0]["shares"]),
    ]
    return "\n".join(lines) + "\n"
