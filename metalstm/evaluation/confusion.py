"""`confusion.json`: which classes of the meta-test are hard, and what they are taken for.

Legend: T tasks, Q query examples, O outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from metalstm.evaluation.gallery import form_of, image
from metalstm.evaluation.statistics import Interval, ratio_and_ci95
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch

FORMAT = 1
HARDEST = 12  # most classes written down; where there are fewer, with every class that they are taken for
TAKEN_FOR = 3  # most classes that each is taken for, where there are more classes


class Counts(NamedTuple):
    """The counts of a confusion matrix, by the number of a class."""

    queries: Counter[int]
    taken: Counter[tuple[int, int]]  # (class, what it is taken for), right ones among them
    met: Counter[tuple[int, int]]  # (class, another one of the same task): its queries


class Confusion:
    """Counts, over the query examples of tasks, what each class is taken for.

    Args:
        pool: what the tasks are of. Where its classes belong together, as what a person likes and dislikes, what counts
            is the place in the group.
    """

    def __init__(self, pool: ClassDataset) -> None:
        self.pool = pool
        self.together = pool.together is not None
        self.names = pool.names if pool.together is None else places(pool.names[: pool.together])
        self.queries, self.taken, self.met = Counts(Counter(), Counter(), Counter())

    def add(self, tasks: TaskBatch, predictions: Tensor) -> None:
        """Count the predictions [T, Q, O] for some tasks."""
        assert tasks.classes is not None
        labels = predictions.argmax(dim=-1).cpu().tolist()
        targets, classes = tasks.query.targets.cpu().tolist(), tasks.classes.cpu().tolist()
        for of_task, wanted, found in zip(classes, targets, labels, strict=True):
            stands_for = list(range(len(of_task))) if self.together else of_task
            self.taken.update((stands_for[a], stands_for[b]) for a, b in zip(wanted, found, strict=True))
            for label, count in Counter(wanted).items():
                self.queries[stands_for[label]] += count
                for other in stands_for:
                    self.met[stands_for[label], other] += count

    def counts(self) -> Counts:
        return Counts(self.queries, self.taken, self.met)

    def sum_up(self, parts: Sequence[Counts]) -> None:
        """Make the counts those of all parts, of which its own are one."""
        self.queries = sum((part.queries for part in parts), Counter[int]())
        self.taken = sum((part.taken for part in parts), Counter[tuple[int, int]]())
        self.met = sum((part.met for part in parts), Counter[tuple[int, int]]())

    def interval(self) -> Interval | None:
        """Give the accuracy's interval over classes, for a claim on others; None where classes are those of persons."""
        if self.together or len(self.queries) < 2:
            return None
        classes = list(self.queries)
        right = [float(self.taken[number, number]) for number in classes]
        _, ci95 = ratio_and_ci95(right, [self.queries[number] for number in classes])
        return Interval("class", len(classes), ci95)

    def content(self) -> dict[str, Any]:
        """Return the content of `confusion.json`; the hardest classes come first, with what they are taken for most."""

        def share(number: int) -> tuple[float, str]:
            return self.taken[number, number] / self.queries[number], self.names[number]

        hardest = sorted(self.queries, key=share)[:HARDEST]
        return {
            "format": FORMAT,
            "classes": len(self.queries),
            "queries": sum(self.queries.values()),
            "hardest": [
                self.called(number)
                | {
                    "queries": self.queries[number],
                    "correct": self.taken[number, number],
                    "taken_for": [
                        self.called(other) | {"count": count, "of": self.met[number, other]}
                        for other, count in self.wrong(number)
                    ],
                }
                for number in hardest
            ],
        }

    def called(self, number: int) -> dict[str, Any]:
        """Return a class's name, and what its first example looks like where that is an image."""
        if self.together or form_of(self.pool) != "image":
            return {"name": self.names[number]}
        return {"name": self.names[number], "image": image(self.pool.examples[number, 0])}

    def wrong(self, number: int) -> list[tuple[int, int]]:
        """Return the classes that one is taken for, and how often; the most frequent first."""
        most = HARDEST if len(self.queries) <= HARDEST else TAKEN_FOR
        found = [(other, count) for (one, other), count in self.taken.items() if one == number and other != number]
        return sorted(found, key=lambda pair: (-pair[1], self.names[pair[0]]))[:most]


def places(names: Sequence[str]) -> list[str]:
    """Return what the classes of a group are called without the group's name: `liked` of `user 7/liked`."""
    return [name.rpartition("/")[2] for name in names]
