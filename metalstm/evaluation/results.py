"""`result.json`: what was measured, how, and what it depends on."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from metalstm.datasets.base import Dataset
from metalstm.evaluation.baselines import Baseline
from metalstm.evaluation.evaluate import Curve
from metalstm.evaluation.lifelong import Lifelong
from metalstm.evaluation.meta_test import MetaTested
from metalstm.learners.objective import metric_name
from metalstm.runs.layout import CONFUSION, GALLERY, PER_TASK, optional, write_json
from metalstm.tasks.streams import Streams

FORMAT = 1


def curve_entry(curve: Curve) -> list[dict[str, float]]:
    return [point._asdict() for point in curve.points()]


def baseline_entry(baseline: Baseline, unit: str | None) -> dict[str, Any]:
    """Return a baseline's result; `tuned` says what meta-validation picked."""
    point = baseline.curve.point(baseline.step)
    return {
        "value": point.value,
        "ci95": point.ci95,
        "intervals": [baseline.curve.interval(baseline.step, unit)._asdict()],
        "steps": baseline.step,
        "tasks": baseline.curve.values.shape[1],
        "tuned": {"optimizer": baseline.optimizer, "lr": baseline.lr},
        "curve": curve_entry(baseline.curve),
    }


def environment(seed: int, processes: int = 1) -> dict[str, Any]:
    """Return what a result depends on besides its settings."""
    packages = ("metalstm", "torch", "torchvision", "higher", "hydra-core", "omegaconf", "numpy")
    versions = {name: metadata.version(name) for name in packages}
    return {
        **versions,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processes": processes,
        "threads": torch.get_num_threads(),  # of each
        "seed": seed,
    }


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory that this process has held so far, MiB: on a GPU of its tensors, else all of it."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    unit = 1 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


def training(steps: int, seconds: float, pretraining: float, meta_batch_size: int) -> dict[str, float]:
    """How long meta-training took; `seconds` are those of its steps, without validation and checkpoints.

    `pretraining_seconds` are those of the run that it started from.
    """
    rate = steps * meta_batch_size / max(seconds, 1e-9)
    return {
        "steps": steps,
        "seconds": round(seconds, 1),
        "pretraining_seconds": round(pretraining, 1),
        "tasks_per_second": round(rate, 2),
    }


class Origin(NamedTuple):
    """The run that a result is of."""

    settings: Mapping[str, Any]  # the whole config
    command: Sequence[str]  # as it was given
    dataset: Dataset  # that tasks were sampled from
    best_step: int | None  # of the checkpoint that was tested; None: the last step's
    beside_training: Mapping[str, Any]  # what the protocol says of meta-training, see `experiment.beside_training`
    processes: int = 1  # that it ran in


def tasks_of(origin: Origin, split: str) -> dict[str, Any]:
    """Return how every result begins: the run that it is of, and its tasks."""
    settings = origin.settings
    return {
        "format": FORMAT,
        "command": list(origin.command),
        **{name: settings[name]["name"] for name in ("dataset", "learner", "model")},
        **{name: settings[name] for name in ("ways", "shots", "queries")},
        "split": split,
    }


def result(origin: Origin, tested: MetaTested, training: Mapping[str, float]) -> dict[str, Any]:
    """Return the content of `result.json`; accuracies are fractions.

    Args:
        origin: the run.
        tested: the learner and the baselines, on meta-test, or on meta-validation.
        training: from `training`.
    """
    settings, _, dataset, best_step, beside_training, processes = origin
    point = tested.curve.point(tested.steps)
    intervals = [tested.curve.interval(tested.steps, dataset.unit), tested.over_classes]
    return {
        **tasks_of(origin, tested.split),
        "tasks": tested.curve.values.shape[1],
        "steps": tested.steps,
        "step_unit": tested.step_unit,
        "seconds_per_step": tested.seconds_per_step,
        "metric": metric_name(dataset.kind),
        "value": point.value,
        "ci95": point.ci95,  # the first of the intervals
        "intervals": [interval._asdict() for interval in intervals if interval is not None],
        "curve": curve_entry(tested.curve),
        "baselines": {name: baseline_entry(baseline, dataset.unit) for name, baseline in tested.baselines.items()},
        "protocol": {
            "data": dataset.description,
            "fingerprint": dataset.fingerprint,
            "normalisation": "none: no statistics over a batch of examples, support or query",
            "best_checkpoint": best_step,
            "picked_by": "meta_validation",
            "picked_lr": tested.picked_lr,
            **beside_training,
        },
        "training": dict(training),
        "settings": dict(settings),
        "environment": environment(settings["seed"], processes),
    }


def lifelong_result(
    origin: Origin, streams: Streams, count: int, steps: int, step_unit: str, modes: Mapping[str, Lifelong]
) -> dict[str, Any]:
    """Return the content of `lifelong.json`: what the protocol of `evaluation.lifelong` measured, as fractions.

    Args:
        origin: the run.
        streams: that the learner went through.
        count: how many of them.
        steps: of adaptation, for each task that arrives.
        step_unit: what a step is.
        modes: by name.
    """
    settings, _, dataset, best_step, beside_training, _ = origin
    return {
        **tasks_of(origin, streams.split),
        "streams": count,
        "tasks": streams.tasks,
        "tasks_per_group": streams.per_group,
        "steps": steps,
        "step_unit": step_unit,
        "metric": metric_name(dataset.kind),
        "modes": {name: lived.entry() for name, lived in modes.items()},
        "protocol": {
            "data": dataset.description,
            "fingerprint": dataset.fingerprint,
            "outputs": "the same for all tasks: what is known must tell the tasks apart",
            "matrix": "row i: after the first i tasks; column j: of task j, the first being 0; means over streams",
            "best_checkpoint": best_step,
            **beside_training,
        },
        "settings": dict(settings),
        "environment": environment(settings["seed"]),
    }


def per_task(tested: MetaTested) -> dict[str, Any]:
    """Return the content of `per_task.json`: the metric of every test task at every point of every curve, [P, N] each.

    Task n is the same one in all runs of one dataset, task shape and seed, so that learners can be compared in pairs.
    `units` [N] says which person or drive each task is of, where several tasks share one.
    """
    curves = {"learner": tested.curve} | {name: baseline.curve for name, baseline in tested.baselines.items()}
    units = {} if tested.curve.units is None else {"units": tested.curve.units}
    return units | {
        name: {"at": list(curve.at), "values": [[round(value, 6) for value in row] for row in curve.values.tolist()]}
        for name, curve in curves.items()
    }


def write_details(path: Path, tested: MetaTested) -> None:
    """Write what lies beside `result.json` in a folder: every task's metric, one task to look at, the hardest classes.

    The last two are for looking at: without them, which is a warning, there is a result.

    Raises:
        CheckpointError: it cannot be written.
    """
    write_json(path / PER_TASK, per_task(tested), indent=None)
    for name, content in ((GALLERY, tested.gallery), (CONFUSION, tested.confusion)):
        with optional(name):
            (path / name).unlink(missing_ok=True)  # of fewer steps
            if content is not None:
                write_json(path / name, content, indent=None)
