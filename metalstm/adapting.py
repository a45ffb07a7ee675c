"""A trained learner in Python's hands: tasks of its run, adapting to a support set, predicting for queries.

Legend: B support examples, Q query examples, S time steps, F features, N labels, O numbers to predict.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metalstm import assembly
from metalstm.config import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.own_files import as_examples, read_query, read_support
from metalstm.errors import ConfigError, DataError
from metalstm.learners.base import Learner
from metalstm.run import resume
from metalstm.run.prediction import answers
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.trained import learner_for, open_dataset, reader_of


class TrainedLearner:
    """What a run has learned to learn with.

    Args:
        path: the run directory.
        settings: the run's.
        dataset: the run's.
    """

    def __init__(self, path: Path, settings: TrainSettings, dataset: Dataset) -> None:
        self.path = path
        self.settings = settings
        self.dataset = dataset
        self.learners: dict[int, Learner] = {}  # by the number of labels: some take any

    @classmethod
    def of_run(
        cls, path: Path, dataset_root: str | None, device: str, allow_changed: bool, memory_budget: int | None
    ) -> TrainedLearner:
        """See `metalstm.load`."""
        settings = dataclasses.replace(
            resume.run_settings(path), device=device, threads=None, memory_budget=memory_budget
        )
        assembly.use_machine(settings.device, settings.threads, settings.memory_budget)
        trained = cls(path, settings, open_dataset(path, settings, dataset_root, allow_changed))
        trained.learner(settings.ways)  # to hear at once if there is none
        return trained

    def __repr__(self) -> str:
        return f"TrainedLearner({self.settings.learner.name} of {str(self.path)!r})"

    def learner(self, labels: int) -> Learner:
        """The learner for so many labels.

        Raises:
            ConfigError: it was trained for fewer.
        """
        if labels not in self.learners:
            self.learners[labels] = learner_for(self.path, self.settings, self.dataset, labels)
        return self.learners[labels]

    def task(self, number: int = 0, split: str = "meta_test") -> TaskBatch:
        """A task of the run's data, `support` and `query`: of meta-test number n is the n-th that was tested on.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in self.dataset.splits:
            raise ConfigError.of(f"split={split} is unknown", f"use one of {', '.join(self.dataset.splits)}")
        return assembly.make_sampler(self.settings, self.dataset, split)(number).task(0)

    def adapt(self, support: Any, steps: int | None = None) -> Adapted:
        """Learns one task.

        Args:
            support: a pair of inputs [B, S, F], prepared as the run's data is, and labels [B] (regression: targets
                [B, O]), tensors or arrays; or the `support` of a `task`; or a folder with a sub-folder of files for
                each label.
            steps: inner steps; None: as the run did. Learners that read take all there is.

        Raises:
            ConfigError, DataError: the support set is not of the run's kind.
        """
        names: list[str] | None = None
        if isinstance(support, (str, Path)):
            names, own = read_support(Path(support).expanduser(), reader_of(self.dataset))
            support = as_examples(own)
        elif not isinstance(support, Examples):
            inputs, targets = self.inputs(support[0]), self.targets(support[1])
            if inputs.shape[1] != targets.shape[1]:
                raise DataError.of(
                    f"there are {inputs.shape[1]} inputs, but {targets.shape[1]} labels", "give one for each"
                )
            support = Examples(inputs, targets)
        support = support.to(torch.device(self.settings.device))
        labels = self.settings.ways
        if self.dataset.kind == "classification":
            labels = int(support.targets.max()) + 1
            if labels < 2:
                raise DataError.of("the support set has one label, but telling classes apart takes 2", "add another")
            names = names or [str(label) for label in range(labels)]
        learner = self.learner(labels)
        if self.settings.steps_are_shots:
            counted = support.targets[0].bincount() if names else torch.tensor(support.targets.shape[1])
            steps = int(counted.max())
        known = learner.learn(support, self.settings.steps_tested if steps is None else steps)
        return Adapted(self, learner, known, names)

    def inputs(self, given: Any) -> Tensor:
        """Inputs of one task, [1, B, S, F].

        Raises:
            DataError: they are not of this shape.
        """
        inputs = torch.as_tensor(given)
        if inputs.ndim != 3 or inputs.shape[2] != self.dataset.features or 0 in inputs.shape:
            raise DataError.of(
                f"inputs have the shape {list(inputs.shape)}, but the run reads [examples, time steps, "
                f"{self.dataset.features} features]",
                "give them so; an image is a row of pixels a time step",
            )
        return (inputs if self.dataset.vocabulary else inputs.float()).unsqueeze(0)

    def targets(self, given: Any) -> Tensor:
        """Labels of one task, [1, B], or numbers, [1, B, O].

        Raises:
            DataError: they are not of this shape.
        """
        targets = torch.as_tensor(given)
        if self.dataset.kind == "regression":
            if targets.ndim != 2 or targets.shape[1] != self.dataset.outputs:
                raise DataError.of(
                    f"targets have the shape {list(targets.shape)}, but the run predicts [examples, "
                    f"{self.dataset.outputs} numbers]",
                    "give them so",
                )
            return targets.float().unsqueeze(0)
        if targets.ndim != 1 or targets.is_floating_point() or int(targets.min()) < 0:
            raise DataError.of(
                f"labels are {targets.dtype} of the shape {list(targets.shape)}, or below 0",
                "give a whole number from 0 on for each example",
            )
        return targets.long().unsqueeze(0)


class Adapted:
    """A learner that has learned one task.

    Args:
        trained: what it was before.
        learner: that has learned.
        known: what it knows now.
        names: of the labels, [N]; None in regression.
    """

    def __init__(self, trained: TrainedLearner, learner: Learner, known: Any, names: list[str] | None) -> None:
        self.trained = trained
        self.learner = learner
        self.known = known
        self.names = names

    def predict(self, query: Any) -> Tensor:
        """The probability of each label for each query, [Q, N] float64; in regression the numbers, [Q, O].

        Args:
            query: inputs [Q, S, F], or the `query` of a `task`, or a folder of files.

        Raises:
            DataError: queries are not of the run's kind.
            DivergedError: a prediction is not finite.
        """
        if isinstance(query, (str, Path)):
            query = as_examples(read_query(Path(query).expanduser(), reader_of(self.trained.dataset)))
        elif not isinstance(query, Examples):
            inputs = self.trained.inputs(query)
            query = Examples(inputs, torch.zeros(inputs.shape[:2], dtype=torch.long))
        outputs = answers(self.learner, self.known, query.to(torch.device(self.trained.settings.device)))
        return outputs if self.names is None else outputs[:, : len(self.names)].softmax(dim=-1)
