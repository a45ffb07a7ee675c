"""Whether a dataset can give the tasks that the settings ask for."""

from __future__ import annotations

from collections.abc import Iterable

from metalstm.config.schema import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.errors import ConfigError, Problem
from metalstm.experiment.build_learner import inputs_of
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskShape


def task_shape(settings: TrainSettings, split: str) -> TaskShape:
    """Return the shape of a split's tasks; those of meta-training may have ways and queries of their own."""
    if split == "meta_train":
        return TaskShape(settings.train_ways or settings.ways, settings.shots, settings.train_queries)
    return TaskShape(settings.ways, settings.shots, settings.queries)


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
        problems += [problem for problem in source.unfit(task_shape(settings, split)) if problem not in problems]
        if not isinstance(source, ClassDataset):
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
    problems += settings.model.unfit(inputs_of(dataset))
    if problems:
        raise ConfigError(*problems)


def remedy_for_few(settings: TrainSettings, name: str, holds: int, largest: int) -> str:
    """Return what can be done where a class holds too few examples, and another one holds `largest`."""
    take = settings.shots + max(settings.queries, settings.train_queries)
    remedies = [f"use shots+{name}<={holds}"] if holds >= 2 else []  # one of each
    if "min_examples" in settings.dataset.values() and take <= largest:
        remedies.append(f"leave out classes with fewer: dataset.min_examples={take}")
    return ", or ".join(remedies or ["add examples to it"])
