"""The interface of a dataset: its splits, and what a model must know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from metalstm.config.component import ComponentSettings
from metalstm.config.fields import path
from metalstm.datasets.files.reader import Reader
from metalstm.errors import Problem
from metalstm.tasks.classes import ClassDataset, check_disjoint
from metalstm.tasks.sampler import TaskSource

T = TypeVar("T")
Kind = Literal["classification", "regression"]


@dataclass(kw_only=True)
class DatasetSettings(ComponentSettings):
    """The settings of a dataset."""

    kind: ClassVar[Kind] = "classification"
    # The settings that a search may vary: those of meta-train alone, or of how an example is read. All others decide
    # which tasks there are, and the best trial would be the one with the easiest.
    searched: ClassVar[frozenset[str]] = frozenset()

    def load(self) -> Dataset:
        """Read or make the dataset.

        Raises:
            DataError: it is missing, incomplete or broken.
        """
        raise NotImplementedError

    def some(self, kind: type[T]) -> T:
        """Return those of the settings that a named tuple has fields for."""
        names = kind._fields  # type: ignore[attr-defined]
        return kind(**{name: value for name, value in self.values().items() if name in names})


@dataclass(kw_only=True)
class FolderOfData(DatasetSettings):
    """The settings of a dataset whose files lie in a folder."""

    root: str | None = path()

    @property
    def folder(self) -> Path | None:
        """The folder; None: the loader looks in the usual place."""
        return None if self.root is None else Path(self.root)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset, ready to sample from.

    Args:
        name: as in `dataset=<name>`.
        splits: meta_train, meta_validation and meta_test; no class may be in two of them.
        features: F, features of a time step; of tokens K, how many a step holds at most.
        fingerprint: SHA-256 over what the data is made of; a resumed run must find the same.
        description: one line for the log, e.g. the number of classes in each split.
        kind: `classification` (targets are labels) or `regression` (targets are real numbers).
        steps: S, time steps of an input sequence; None where the shots decide it.
        outputs: numbers to predict per example in regression; None in classification (then it is `ways`).
        images: whether an input is a square image, a step being a row of pixels and these one number or several each,
            so that it can be read along its columns as well.
        vocabulary: V, tokens that the steps of an input are made of, 0 being none; 0: inputs are numbers.
        details: further lines for the log.
        reader: of a person's own files, prepared as the dataset's; None: it has none.
        unit: what several tasks share, such as `patient`, which an interval is then over; None: tasks are independent.

    Raises:
        DataError: a class is in two splits.
    """

    name: str
    splits: Mapping[str, TaskSource]
    features: int
    fingerprint: str
    description: str
    kind: Kind = "classification"
    steps: int | None = None
    outputs: int | None = None
    images: bool = False
    vocabulary: int = 0
    details: tuple[str, ...] = ()
    reader: Reader | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        check_disjoint({name: pool for name, pool in self.splits.items() if isinstance(pool, ClassDataset)})

    @property
    def same_outputs(self) -> bool:
        """Whether an output means the same in all tasks, as numbers do, or a person's likes and dislikes."""
        source = self.splits["meta_train"]
        return not isinstance(source, ClassDataset) or source.together is not None


def more_ways(ways: int, dataset: str, task: str, shots: str) -> list[Problem]:
    """Return the problem that a task of regression, which has no classes, has more than 1 way.

    Args:
        ways: as asked for.
        dataset: its name.
        task: names a task, such as `function`.
        shots: says what shots are, such as `the number of tries`.
    """
    if ways == 1:
        return []
    what = f"ways={ways}, but a task of dataset '{dataset}' is one {task}, which is 1 way"
    return [Problem(what, f"use ways=1; shots is {shots}")]
