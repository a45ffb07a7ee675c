"""From typed settings to the things a run is made of, but for the learner."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metalstm.config import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.cifar_fs import load_cifar_fs
from metalstm.datasets.clinc150 import load_clinc150
from metalstm.datasets.counted import shown_by
from metalstm.datasets.ecg import BeatSettings, load_ecg
from metalstm.datasets.folder import load_folder
from metalstm.datasets.folder_readers import FolderSettings
from metalstm.datasets.folder_splits import SplitSettings
from metalstm.datasets.glyphs import load_glyphs
from metalstm.datasets.movietweetings import load_movietweetings
from metalstm.datasets.omniglot import load_omniglot
from metalstm.datasets.pendulum import load_pendulum
from metalstm.datasets.sinusoid import load_sinusoid
from metalstm.datasets.speech_commands import load_speech_commands
from metalstm.datasets.speech_features import FrameSettings
from metalstm.datasets.tables import TableSettings
from metalstm.datasets.terrain import Drives, load_terrain
from metalstm.datasets.tokens import TokenSettings
from metalstm.errors import ConfigError, Problem
from metalstm.nn.budget import BUDGET, MIB, default_limit, usable
from metalstm.nn.memory import keep_freed_memory
from metalstm.run.distribution import ALONE, Processes
from metalstm.run.meta_test import Protocol
from metalstm.run.progress import Progress
from metalstm.tasks.classes import ClassPool
from metalstm.tasks.sampler import TaskSampler, TaskShape, TaskSource
from metalstm.tasks.shares import Share


def folder(settings: Any) -> Path | None:
    """Where a dataset's files are; None: where its loader looks by itself."""
    return None if settings.root is None else Path(settings.root)


def frames(settings: Any) -> FrameSettings:
    return FrameSettings(settings.mels, settings.hop_ms, settings.seconds)


def tokens(settings: Any) -> TokenSettings:
    given = {name: getattr(settings, name) for name in TokenSettings._fields if hasattr(settings, name)}
    return TokenSettings(**given)


def of(kind: Any, settings: Any) -> Any:
    """The settings of one kind, by the names of its fields."""
    return kind(**{name: getattr(settings, name) for name in kind._fields})


# From the settings of a dataset, by its name.
LOADERS: dict[str, Callable[[Any], Dataset]] = {
    "cifar_fs": lambda given: load_cifar_fs(folder(given), given.download),
    "clinc150": lambda given: load_clinc150(folder(given), given.split_seed, tokens(given)),
    "ecg": lambda given: load_ecg(folder(given), given.split_seed, of(BeatSettings, given)),
    "folder": lambda given: load_folder(
        Path(given.root), of(SplitSettings, given), of(FolderSettings, given), tokens(given), of(TableSettings, given)
    ),
    "glyphs": lambda given: load_glyphs(given.classes, given.examples, given.seed),
    "movietweetings": lambda given: load_movietweetings(
        folder(given), given.split_seed, given.min_ratings, given.examples, given.crowd, tokens(given)
    ),
    "omniglot": lambda given: load_omniglot(
        folder(given), given.download, given.split, given.split_seed, given.rotations, given.augment, given.mirrored
    ),
    "pendulum": lambda given: load_pendulum(given.window),
    "sinusoid": lambda given: load_sinusoid(given.form, given.window),
    "speech_commands": lambda given: load_speech_commands(
        folder(given), given.split_seed, given.speakers, given.examples, given.augment, of(FrameSettings, given)
    ),
    "terrain": lambda given: load_terrain(folder(given), given.split_seed, given.window, given.horizon, given.stretch),
}


def make_dataset(settings: Any) -> Dataset:
    """The dataset that `dataset.name` says.

    Raises:
        DataError: it is missing, incomplete or broken.
    """
    with shown_by(partial(Progress, every=None)):
        return LOADERS[settings.name](settings)


def check_tasks_fit(settings: TrainSettings, dataset: Dataset, splits: Iterable[str]) -> None:
    """Whether the splits named can give the tasks asked for.

    Raises:
        ConfigError: with a problem for each split that cannot.
    """
    problems: list[Problem] = []
    for split in splits:
        source = dataset.splits[split]
        training = split == "meta_train"
        name = "train_queries" if training else "queries"
        ways, _, queries = task_shape(settings, split)
        ways_name = "train_ways" if training and settings.train_ways is not None else "ways"
        if isinstance(source, Drives):
            problems += [p for p in source.unfit(settings.shots, queries) if p not in problems]
        if not isinstance(source, ClassPool):
            continue
        if source.together is not None and ways != source.together:
            fix = f"use {ways_name}={source.together}"
            problem = f"{ways_name}={ways}, but a task of dataset '{dataset.name}' has {source.together} classes"
            problems += [] if Problem(problem, fix) in problems else [Problem(problem, fix)]
        elif ways > source.classes:
            problems.append(
                Problem(
                    f"{ways_name}={ways}, but split '{split}' of dataset '{dataset.name}' has {source.classes} classes",
                    f"use {ways_name}<={source.classes}, or another split",
                )
            )
        smallest, holds = source.smallest()
        if settings.shots + queries > holds:
            problems.append(
                Problem(
                    f"shots={settings.shots} and {name}={queries} take {settings.shots + queries} examples of a "
                    f"class, but class '{smallest}' of split '{split}' holds {holds}",
                    remedy_for_few(settings, name, holds, source.examples.shape[1]),
                )
            )
    if getattr(settings.model, "directions", None) == 4 and not dataset.images:
        problems.append(
            Problem(f"model.directions=4 reads columns, but dataset '{dataset.name}' has no images", "use 1 or 2")
        )
    if problems:
        raise ConfigError(*problems)


def remedy_for_few(settings: TrainSettings, name: str, holds: int, largest: int) -> str:
    """What can be done where a class holds too few examples, and another one holds `largest`."""
    take = settings.shots + max(settings.queries, settings.train_queries)
    remedies = [f"use shots+{name}<={holds}"] if holds >= 2 else []  # one of each
    if hasattr(settings.dataset, "min_examples") and take <= largest:
        remedies.append(f"leave out classes with fewer: dataset.min_examples={take}")
    return ", or ".join(remedies or ["add examples to it"])


def task_shape(settings: TrainSettings, split: str) -> TaskShape:
    if split == "meta_train":
        return TaskShape(settings.train_ways or settings.ways, settings.shots, settings.train_queries)
    return TaskShape(settings.ways, settings.shots, settings.queries)


def make_sampler(settings: TrainSettings, dataset: Dataset, split: str, processes: Processes = ALONE) -> TaskSampler:
    """Meta-batches for training, of several processes each one's share; single tasks by number for the other splits."""
    tasks = settings.meta_batch_size if split == "meta_train" else 1
    source: TaskSource = dataset.splits[split]
    if processes.count > 1:
        source = Share(source, processes.own(tasks))
    return TaskSampler(source, task_shape(settings, split), tasks, settings.seed, split)


def test_protocol(settings: TrainSettings) -> Protocol:
    return Protocol(
        settings.test_tasks,
        settings.steps_tested,
        settings.steps_shown,
        "shot" if settings.steps_are_shots else "step",
        settings.scratch_inner_steps,
        settings.scratch_tasks,
        settings.scratch_steps,
    )


def beside_training(settings: TrainSettings, steps: int) -> dict[str, Any]:
    """What a result's protocol says of meta-training, for a meta-test after so many steps."""
    return {"trained_with": settings.trained_with, "steps_beyond_training": settings.beyond_training(steps)}


def use_machine(device: str, threads: int | None, memory_budget: int | None = None) -> None:
    """Sets the number of threads, how much memory is used and how it is kept, and makes sure of the device.

    Args:
        device: where to compute.
        threads: None: as many as torch takes by itself.
        memory_budget: MiB; None: see `default_limit`.

    Raises:
        ConfigError: no such device here.
    """
    check_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    use_budget(device, memory_budget)


def use_budget(device: str, memory_budget: int | None) -> None:
    """Sets how much memory is used; see `use_machine`."""
    BUDGET.limit = usable(default_limit(torch.device(device)) if memory_budget is None else memory_budget * MIB)


def check_device(device: str) -> None:
    """Refuse a device that is not here; there is no silent fall-back.

    Raises:
        ConfigError: no such device.
    """
    try:
        if torch.device(device).type not in ("cpu", "cuda"):
            raise RuntimeError("it is neither cpu nor cuda")
        if torch.device(device).type == "cpu" and device != "cpu":  # cpu:1, which no checkpoint is read back to
            raise RuntimeError("cpu has no number")
        torch.empty(1, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError.of(
            f"device={device} cannot be used here: {str(error).splitlines()[0]}", "use device=cpu"
        ) from error
