"""A trained learner in Python's hands: tasks of its run, adapting to a support set, predicting for queries.

Legend: B support examples, Q query examples, S time steps, F features, N labels, O numbers to predict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metalstm.config.schema import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.files.support_set import as_examples, read_query, read_support
from metalstm.datasets.own.arrays import Wanted
from metalstm.errors import ConfigError, DataError
from metalstm.evaluation.predict import answers
from metalstm.experiment import identity
from metalstm.experiment.build_learner import model_shape
from metalstm.experiment.experiment import Experiment
from metalstm.experiment.restore import learner_for, open_dataset, reader_of
from metalstm.files.paths import expanded
from metalstm.learners.base import Learner
from metalstm.runtime.device import use_machine
from metalstm.runtime.torch_state import own_torch
from metalstm.tasks.examples import Examples, TaskBatch


class TrainedLearner:
    """A trained learner, ready to adapt to new support sets.

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
    @own_torch()
    def of_run(
        cls,
        path: Path,
        dataset_root: str | None,
        device: str,
        allow_changed: bool,
        memory_budget: int | None,
        plugins: Sequence[str] = (),
    ) -> TrainedLearner:
        """See `metalstm.load`."""
        settings = dataclasses.replace(
            identity.run_settings(path, plugins), device=device, threads=None, memory_budget=memory_budget
        )
        use_machine(settings.device, settings.threads, settings.memory_budget)
        trained = cls(path, settings, open_dataset(path, settings, dataset_root, allow_changed))
        trained.learner(settings.ways)  # to hear at once if there is none
        return trained

    def __repr__(self) -> str:
        return f"TrainedLearner({self.settings.learner.name} of {str(self.path)!r})"

    def learner(self, labels: int) -> Learner:
        """Return the learner for so many labels.

        Raises:
            ConfigError: it was trained for fewer.
        """
        if labels not in self.learners:
            self.learners[labels] = learner_for(self.path, self.settings, self.dataset, labels)
        return self.learners[labels]

    @own_torch()
    def task(self, number: int = 0, split: str = "meta_test") -> TaskBatch:
        """Return a task of the run's data, `support` and `query`: of meta-test number n is the n-th that was tested on.

        Raises:
            ConfigError: there is no such split, or no such number.
        """
        if split not in self.dataset.splits:
            raise ConfigError.of(f"split={split} is unknown", f"use one of {', '.join(self.dataset.splits)}")
        experiment = Experiment(self.settings, self.dataset, self.learner(self.settings.ways))
        return experiment.sampler(split)(counted("number", number)).task(0)

    @own_torch()
    def adapt(self, support: Any, steps: int | None = None, lengths: Any = None) -> Adapted:
        """Learns one task.

        Args:
            support: a pair of inputs and labels; or the `support` of a `task`; or a folder with a sub-folder of files
                for each label.

                - inputs: [B, S, F], prepared as the run's data is; or a list of B sequences [S, F], which may differ in
                  length. Tensors, arrays or lists of numbers; of images also uint8, 0..255, which is scaled to 0..1.
                - labels: [B] whole numbers from 0 on, or names; in regression targets, [B, O].
            steps: inner steps; None: as the run did. Learners that read take all there is.
            lengths: how many steps of each of the inputs are real, [B], where they are padded; None: all.

        Raises:
            ConfigError, DataError: the support set is not of the run's kind.

        Example:
            `learner.adapt(([walk, run, rest], ["walk", "run", "rest"])).predict([unknown])`, each [S, F].
        """
        steps = self.settings.steps_tested if steps is None else counted("steps", steps)
        examples, names = self.support(support, lengths)
        examples = examples.to(torch.device(self.settings.device))
        labels = self.settings.ways if names is None else len(names)
        if names is not None:
            self.check_labels(examples.targets, labels)
        learner = self.learner(labels)
        if self.settings.steps_are_shots:
            shots = torch.tensor(examples.targets.shape[1]) if names is None else examples.targets[0].bincount()
            steps = int(shots.max())
        adapted = learner.adapted_to(examples, steps)
        return Adapted(self, learner, adapted, names)

    @property
    def wanted(self) -> Wanted:
        """The kind of input that the run's model reads."""
        one_length = model_shape(self.settings, self.dataset).one_length
        return Wanted(self.dataset, one_length and self.dataset.steps is not None)

    def support(self, given: Any, lengths: Any) -> tuple[Examples, list[str] | None]:
        """Return the support set that `adapt` is given, and the names of its labels; None in regression.

        Raises:
            DataError: it is none, or not of the run's kind.
        """
        wanted = self.wanted
        if isinstance(given, (str, Path)):
            names, own = read_support(expanded(given, "support", ConfigError), reader_of(self.dataset))
            return as_examples(own), names
        if isinstance(given, Examples):
            return wanted.whole(given), wanted.targets(given.targets[0])[1]
        if isinstance(given, TaskBatch) or not isinstance(given, (tuple, list)) or len(given) != 2:
            raise DataError.of(
                f"the support set is a {type(given).__name__}, but wanted are inputs and their labels",
                "give adapt((inputs, labels)), adapt(task.support), or adapt(<folder>)",
            )
        inputs, real = wanted.inputs(given[0], lengths)
        targets, labels = wanted.targets(given[1])
        if inputs.shape[1] != targets.shape[1]:
            raise DataError.of(
                f"there are {inputs.shape[1]} inputs, but {targets.shape[1]} labels", "give one for each"
            )
        return Examples(inputs, targets, real), labels

    def check_labels(self, targets: Tensor, labels: int) -> None:
        """Whether there are labels to tell apart, and an example of each that a learner makes something of.

        Raises:
            DataError: there are or is not.
        """
        if labels < 2:
            raise DataError.of("the support set has one label, but telling classes apart takes 2", "add another")
        missing = [label for label, count in enumerate(targets[0].bincount(minlength=labels).tolist()) if count == 0]
        if missing and (labels > self.settings.ways or self.settings.learner.any_ways):
            raise DataError.of(
                f"label {missing[0]} has no example, but there is a label {labels - 1}",
                "count labels from 0 on, without a gap",
            )


def counted(name: str, value: Any, least: int = 0) -> int:
    """Return a whole number of at least `least`.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError.of(
            f"{name}={value!r} is not a whole number of at least {least}", f"give {name}={least}, {least + 1} ..."
        )
    return int(value)


class Adapted:
    """A learner that has learned one task.

    Args:
        trained: what it was before.
        learner: that has learned.
        known: what it knows now.
        names: of the labels, [N]; None in regression.
    """

    def __init__(self, trained: TrainedLearner, learner: Learner, adapted: Any, names: list[str] | None) -> None:
        self.trained = trained
        self.learner = learner
        self.adapted = adapted
        self.names = names

    @own_torch()
    def predict(self, query: Any, lengths: Any = None) -> Tensor:
        """Return the probability of each label for each query, [Q, N] float64; in regression the numbers, [Q, O].

        Args:
            query: inputs, as `TrainedLearner.adapt` takes them; or the `query` of a `task`, or a folder of files.
            lengths: how many steps of each of the inputs are real, [Q], where they are padded; None: all.

        Raises:
            DataError: queries are not of the run's kind.
            DivergedError: a prediction is not finite.
        """
        if isinstance(query, (str, Path)):
            query = as_examples(read_query(expanded(query, "query", ConfigError), reader_of(self.trained.dataset)))
        elif isinstance(query, Examples):
            query = self.trained.wanted.whole(query)
        else:
            inputs, real = self.trained.wanted.inputs(query, lengths)
            query = Examples(inputs, torch.zeros(inputs.shape[:2], dtype=torch.long), real)
        outputs = answers(self.learner, self.adapted, query.to(torch.device(self.trained.settings.device)))
        return outputs if self.names is None else outputs[:, : len(self.names)].softmax(dim=-1)
