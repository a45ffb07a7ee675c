"""Recomputed inner steps: the same meta-gradient from less memory."""

import gc

import pytest
import torch
from torch import Tensor

from metalstm.learners.maml import MAML
from metalstm.nn.kernel.layer import Layer
from metalstm.tasks.examples import TaskBatch
from support.learners import make_maml, make_tasks
from support.tensors import difference


def meta_gradient(learner: MAML, tasks: TaskBatch, seed: int | None = None) -> list[Tensor]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return list(torch.autograd.grad(learner.meta_loss(tasks, generator).loss, list(learner.parameters())))


@pytest.mark.parametrize("ragged", [False, True], ids=["one_length", "ragged"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("learned_rates", ["none", "per_parameter_per_step"])
def test_same_meta_gradient(learned_rates: bool, kind: str, ragged: bool) -> None:
    tasks = make_tasks(kind, ragged=ragged)
    remembered, again = (
        meta_gradient(make_maml(4, kind=kind, learned_rates=learned_rates, recompute=recompute, layers=2), tasks)
        for recompute in (False, True)
    )
    first_order = meta_gradient(make_maml(4, kind=kind, learned_rates=learned_rates, order="first", layers=2), tasks)
    assert difference(again, remembered) < 1e-12
    assert difference(first_order, remembered) > 1e-3  # a recomputation without second order would be seen


def test_dropout_masks_are_drawn_again() -> None:
    tasks = make_tasks()
    remembered, again = make_maml(3, dropout=0.5), make_maml(3, dropout=0.5, recompute=True)
    assert difference(meta_gradient(again, tasks, 0), meta_gradient(remembered, tasks, 0)) < 1e-12
    assert difference(meta_gradient(again, tasks, 1), meta_gradient(remembered, tasks, 0)) > 1e-3


@pytest.mark.parametrize("order", ["first", "second"])
def test_memory_of_a_step_is_its_weights(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    alive = {}
    for recompute in (False, True):
        tapes: list[object] = []
        for steps in (2, 9):
            learner = make_maml(steps, recompute=recompute, order=order)
            outcome = learner.meta_loss(make_tasks())
            gc.collect()
            tapes.append(sum(type(thing).__name__ == "LayerBackward" for thing in gc.get_objects()))
            del outcome
        alive[recompute] = tapes
    # The query set's tape alone, but for what the inner gradients of second order must remember.
    assert alive[True] == [1, 1]
    assert alive[False] == ([1, 1] if order == "first" else [3, 10])


def test_a_step_is_computed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    forward = Layer.forward
    monkeypatch.setattr(Layer, "forward", staticmethod(lambda *rest: (calls.append(1), forward(*rest))[1]))
    meta_gradient(make_maml(3, recompute=True), make_tasks())
    assert len(calls) == 3 + 1 + 3
