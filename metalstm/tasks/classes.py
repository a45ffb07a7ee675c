"""Pools of classes, from which N-way K-shot tasks are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from metalstm.errors import DataError, Problem, first_names
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskShape

SPLITS = ("meta_train", "meta_validation", "meta_test")
Augment = Callable[[Examples, torch.Generator], Examples]


@dataclass(eq=False)
class ClassDataset:
    """The classes of one split, with examples that are sequences. Legend: C classes, E examples of the largest one.

    Args:
        examples: [C, E, S, F]: uint8, where 0..255 stands for 0..1; float32; or int64, tokens.
        names: the C classes' names, unique over all splits.
        counts: [C] int64, how many examples of a class there are, those beyond are not looked at; None: E of each.
        lengths: [C, E] int64, how many steps of an example are real; None: all S.
        sources: [C, E] int64, who or what an example comes from, such as a speaker: the query examples of a class come
            from others than its support examples. None: examples are drawn whatever they come from.
        together: how many classes, one after another, belong together, such as what a person likes and dislikes: a
            task is one such group, and a label is the class's place in it. None: a task's classes are drawn freely.
        augment: changes the examples drawn, by what the generator draws; None: they are as they are.
        words: where examples are tokens, the word that a step's tokens stand for; None: it is not known.
    """

    examples: Tensor
    names: list[str]
    counts: Tensor | None = None
    lengths: Tensor | None = None
    sources: Tensor | None = None
    together: int | None = None
    augment: Augment | None = None
    words: Mapping[tuple[int, ...], str] | None = None

    def __post_init__(self) -> None:
        if self.examples.dtype not in (torch.uint8, torch.float32, torch.int64) or self.examples.dim() != 4:
            raise ValueError(f"examples {tuple(self.examples.shape)} {self.examples.dtype} are no sequences of classes")
        for what, tensor, shape in (
            ("names", torch.empty(len(self.names)), self.examples.shape[:1]),
            ("counts", self.counts, self.examples.shape[:1]),
            ("lengths", self.lengths, self.examples.shape[:2]),
            ("sources", self.sources, self.examples.shape[:2]),
        ):
            if tensor is not None and tensor.shape != shape:
                raise ValueError(f"{what} {tuple(tensor.shape)} do not fit examples {tuple(self.examples.shape)}")
        if self.together is not None and len(self.names) % self.together:
            raise ValueError(f"{len(self.names)} classes are no groups of {self.together}")
        self.names = list(self.names)

    @property
    def classes(self) -> int:
        return self.examples.shape[0]

    def groups(self) -> list[list[int]]:
        """Return the classes group by group, such as an alphabet or a domain: the part of their names before `/`.

        Classes that belong together are a group; where names have no `/`, all classes are one group.
        """
        if self.together is not None:
            return [list(range(first, first + self.together)) for first in range(0, self.classes, self.together)]
        found: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            whole, slash, _ = name.partition("/")
            found.setdefault(whole if slash else "", []).append(number)
        return list(found.values())

    def smallest(self) -> tuple[str, int]:
        """Return the class with the fewest examples, and their number."""
        if self.counts is None:
            return self.names[0], self.examples.shape[1]
        which = int(self.counts.argmin())
        return self.names[which], int(self.counts[which])

    def unfit(self, shape: TaskShape) -> list[Problem]:
        """Return no problem: whether classes and examples suffice depends on settings, see `check_tasks_fit`."""
        return []

    def sample(self, tasks: int, shape: TaskShape, generator: torch.Generator, shard: slice = slice(None)) -> TaskBatch:
        """Draws tasks, all at once: `ways` distinct classes or a group, of each `shots` + `queries` distinct examples.

        A label is the class's place in its task. The examples of a set are ordered by class. `shard`: which of the
        tasks to give; the others are only chosen, which takes a small part of the time.
        """
        return self.sample_of(self.sample_classes(tasks, shape.ways, generator), shape, generator, shard)

    def sample_of(
        self, chosen: Tensor, shape: TaskShape, generator: torch.Generator, shard: slice = slice(None)
    ) -> TaskBatch:
        """Draws tasks of the classes chosen, [T, ways]; see `sample`."""
        support, query = self.sample_examples(chosen, shape.shots, shape.queries, generator)
        if self.augment is None:
            chosen, support, query = chosen[shard], support[shard], query[shard]
        labels = torch.arange(shape.ways).expand(len(chosen), shape.ways)

        def gather(which: Tensor) -> Examples:  # which: [T, ways, per class]
            place = chosen.unsqueeze(-1), which
            inputs = self.examples[place].flatten(1, 2)
            if inputs.dtype == torch.uint8:
                inputs = inputs.float() / 255
            lengths = None if self.lengths is None else self.lengths[place].flatten(1, 2)
            if lengths is not None:  # what none of them has takes time
                inputs = inputs[:, :, : int(lengths.max())]
            examples = Examples(inputs, labels.repeat_interleave(which.shape[-1], dim=1), lengths)
            return examples if self.augment is None else self.augment(examples, generator)

        units = None if self.together is None else chosen[:, 0] // self.together
        tasks = TaskBatch(gather(support), gather(query), chosen, units)
        return tasks if self.augment is None else tasks.of_tasks(shard)

    def sample_classes(self, tasks: int, ways: int, generator: torch.Generator) -> Tensor:
        """Return the classes of each task, [T, ways]."""
        if self.together is None:
            return distinct(tasks, 1, self.classes, ways, generator).squeeze(1)
        groups = torch.randint(self.classes // self.together, (tasks, 1), generator=generator)
        return groups * self.together + torch.arange(ways)

    def sample_examples(
        self, chosen: Tensor, shots: int, queries: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Which examples of the chosen classes [T, ways] are support, [T, ways, shots], and query, likewise.

        Sources are put in an order drawn for each task: the support set is filled from its front, the query set from
        its back, and with a source that the class has in its support set only where there are too few others.
        """
        counts = None if self.counts is None else self.counts[chosen]
        if self.sources is None:
            tasks, ways = chosen.shape
            examples = distinct(tasks, ways, self.examples.shape[1], shots + queries, generator, counts)
            return examples[..., :shots], examples[..., shots:]
        sources = self.sources[chosen]  # [T, ways, E]
        order = torch.rand(len(chosen), int(self.sources.max()) + 1, generator=generator)
        among = torch.rand(sources.shape, generator=generator) / 2**16  # of a source's examples
        keys = order.unsqueeze(1).expand(-1, chosen.shape[1], -1).gather(2, sources) + among
        support = within(keys, counts).topk(shots, dim=-1).indices
        known = (sources.unsqueeze(-1) == sources.gather(2, support).unsqueeze(-2)).any(dim=-1)
        backwards = torch.where(known, -keys / 4, 2 - keys)  # a known source comes last
        left = within(backwards, counts, -2).scatter(2, support, -2)
        return support, left.topk(queries, dim=-1).indices


def distinct(
    tasks: int, rows: int, population: int, count: int, generator: torch.Generator, of: Tensor | None = None
) -> Tensor:
    """[tasks, rows, count]: in each row `count` distinct integers below `population`, in random order.

    `of` [tasks, rows]: below as many instead, at most `population`.
    """
    keys = torch.rand(tasks, rows, population, generator=generator)
    return within(keys, of).topk(count, dim=-1).indices


def within(keys: Tensor, counts: Tensor | None, last: float = -1) -> Tensor:
    """Keys [..., E] to choose the largest of; those beyond the first `counts` [...] become `last`."""
    if counts is None:
        return keys
    return keys.masked_fill(torch.arange(keys.shape[-1]) >= counts.unsqueeze(-1), last)


def check_disjoint(pools: Mapping[str, ClassDataset]) -> None:
    """Refuses a class that appears in two splits.

    Raises:
        DataError: naming the classes and the splits.
    """
    problems = []
    splits = list(pools)
    for i, first in enumerate(splits):
        for second in splits[i + 1 :]:
            shared = sorted(set(pools[first].names) & set(pools[second].names))
            if shared:
                problems.append(
                    Problem(
                        f"{len(shared)} classes are in both {first} and {second}: {first_names(shared)}",
                        "give each class to one split only",
                    )
                )
    if problems:
        raise DataError(*problems)
