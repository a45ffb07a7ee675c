"""The experiment: what a run is made of, each part made once from its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metalstm.config.schema import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.evaluation.evaluate import EvaluationSetup
from metalstm.evaluation.meta_test import Evaluator, Protocol
from metalstm.experiment.agreement import check_same_data, check_same_weights
from metalstm.experiment.build_learner import make_learner, model_shape
from metalstm.experiment.fit import check_tasks_fit, task_shape
from metalstm.experiment.memory_budget import settle_budget
from metalstm.experiment.resume import found_again
from metalstm.learners.base import Learner
from metalstm.nn.base import Shape
from metalstm.runtime.device import check_device, use_budget, use_machine
from metalstm.runtime.processes import SINGLE, Processes
from metalstm.tasks.sampler import TaskSampler
from metalstm.tracking.follow import check_installed


@dataclass
class Experiment:
    """Data, learner and processes of a run, with the settings that they were made from."""

    settings: TrainSettings
    dataset: Dataset
    learner: Learner
    processes: Processes = SINGLE

    @classmethod
    def build(cls, settings: TrainSettings, processes: Processes = SINGLE, resumed: Path | None = None) -> Experiment:
        """Prepare the machine, read the data and make the learner.

        Args:
            settings: of the run.
            processes: that share it; they must find the same data and make the same learner.
            resumed: the directory of the run to go on with, for the messages; None: the run is new.

        Raises:
            ConfigError: the machine, the data or the learner does not fit the settings.
            DataError: the data is missing or broken.
        """
        if processes.first:
            check_installed(settings.loggers)
        processes.take_device(settings.device)
        use_machine(settings.device, settings.threads, settings.memory_budget)
        with processes.one_of_each_host_first(), found_again(resumed, "dataset.root"):
            dataset = settings.dataset.load()
        check_same_data(processes, dataset)
        experiment = cls.of_data(settings, dataset, processes)
        check_same_weights(processes, experiment.learner)
        experiment.settle_budget()
        return experiment

    @classmethod
    def of_data(cls, settings: TrainSettings, dataset: Dataset, processes: Processes = SINGLE) -> Experiment:
        """Make the learner for a dataset that is there already."""
        check_tasks_fit(settings, dataset, dataset.splits)
        return cls(settings, dataset, make_learner(settings, dataset), processes)

    @property
    def device(self) -> torch.device:
        return torch.device(self.settings.device)

    @property
    def shape(self) -> Shape:
        """The shape of the learner's model, which the baselines share."""
        return model_shape(self.settings, self.dataset)

    def settle_budget(self) -> None:
        """Make sure that one task of meta-training fits into the memory budget."""
        settle_budget(self.learner, self.sampler("meta_train"), self.settings.memory_budget is not None)

    def sampler(self, split: str, shard: bool = False) -> TaskSampler:
        """Return the sampler of a split: meta-batches of meta-train, single tasks of the other splits.

        Args:
            split: its name.
            shard: whether to sample this process's own tasks alone.
        """
        tasks = self.settings.meta_batch_size if split == "meta_train" else 1
        own = self.processes.shard(tasks) if shard else slice(None)
        return TaskSampler(
            self.dataset.splits[split], task_shape(self.settings, split), tasks, self.settings.seed, split, own
        )

    def evaluator(self, between: Callable[[], None], split: str = "meta_test") -> Evaluator:
        """Return what judges learners on a split's tasks; `between` is called after each batch of tasks."""
        samplers = self.sampler("meta_validation"), self.sampler(split)
        setup = EvaluationSetup(self.dataset.kind, self.device, self.processes)
        return Evaluator(*samplers, self.protocol, setup, between)

    @property
    def protocol(self) -> Protocol:
        settings = self.settings
        return Protocol(
            tasks=settings.test_tasks,
            steps=settings.steps_tested,
            steps_shown=settings.steps_shown,
            step_unit="shot" if settings.steps_are_shots else "step",
            scratch_inner_steps=settings.scratch_inner_steps,
            scratch_tasks=settings.scratch_tasks,
            scratch_steps=settings.scratch_steps,
        )


def check_start(settings: TrainSettings, dataset: Dataset) -> Experiment:
    """Make what a run of one process would be made of, and refuse what it would refuse; `dataset` is its data."""
    check_installed(settings.loggers)
    check_device(settings.device)
    use_budget(settings.device, settings.memory_budget)
    experiment = Experiment.of_data(settings, dataset)
    experiment.settle_budget()
    return experiment


def beside_training(settings: TrainSettings, steps: int) -> dict[str, Any]:
    """Return what a result's protocol says of meta-training, for a meta-test after so many steps."""
    return {"trained_with": settings.trained_with, "steps_beyond_training": settings.beyond_training(steps)}
