"""Bytes of memory that tasks take, from the shapes of one task; nothing is computed.

Weights that adapt count six times: themselves, their gradients, Adam's two means, and what a step makes of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from metalstm.nn.base import Keeps, Model, Size
from metalstm.tasks.examples import Examples, TaskBatch

COPIES = 6
ONCE_AND_TWICE: tuple[Keeps, Keeps] = ("once", "twice")


def bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def bytes_of_inputs(model: Model, task: TaskBatch) -> int:
    """Return the inputs of one task, as they are drawn, put together and laid out."""
    inputs = sum(bytes_of([examples.inputs[:1]]) for examples in task[:2])
    return inputs * (2 + model.layouts)


def bytes_of_weights(model: Model) -> int:
    return COPIES * bytes_of(model.parameters())


def bytes_of_pass(model: Model, examples: Examples, keeps: Keeps, count: int | None = None) -> int:
    """Return a pass of one task's examples, or of `count` of them; see `Model.bytes_of_pass`."""
    _, all_of_them, steps, width = examples.inputs.shape
    return model.bytes_of_pass(Size(all_of_them if count is None else count, steps, width), keeps)


def bytes_of_inner_steps(model: Model, support: Examples, steps: int, others: int, recompute: bool) -> int:
    """Inner steps that are differentiated through, of one task.

    A step keeps its pass and its gradient, and the outer pass, which takes one step after another, adds their
    derivatives; where steps are recomputed, one alone is there at a time.

    Args:
        model: what adapts, all of it.
        support: the support set.
        steps: how many.
        others: bytes of the query's passes, which are over when the outer pass comes to the steps.
        recompute: see `BatchedEngine`.
    """
    once, twice = (bytes_of_pass(model, support, keeps) for keeps in ONCE_AND_TWICE)
    kept = (once + twice) // 2
    return max(others, twice) if recompute else steps * kept + max(others, twice - kept)
