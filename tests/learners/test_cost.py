"""What tasks are said to take in memory, beside what torch allocates for them."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from metalstm.learners.base import Learner
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.lstm_optimizer import LSTMOptimizer
from metalstm.learners.maml import MAML, Computing
from metalstm.learners.protonet import ProtoNet
from metalstm.learners.scratch import Scratch
from metalstm.nn.base import Keeps, Size
from metalstm.nn.lstm import ModelShape
from metalstm.tasks.examples import Examples, TaskBatch

FACTOR = 1.4  # an estimate is at most so many times too large or too small
SIZES = {"short": (28, 60), "long": (500, 6)}  # steps and examples
SHAPES = {
    "plain": ModelShape(12, 5),
    "deep": ModelShape(12, 5, layers=2, directions=2),
    "pooled": ModelShape(12, 5, directions=2, pooling="mean"),
}


class Peak(TorchDispatchMode):
    """A context that counts the bytes of all tensors that torch makes in it."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.peak = 0, 0
        self.sizes: dict[int, int] = {}  # of the storages that are alive

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in self.sizes:
                storage = tensor.untyped_storage()
                self.sizes[storage._cdata] = storage.nbytes()
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self.freed, storage._cdata)
        return made

    def freed(self, number: int) -> None:
        self.live -= self.sizes.pop(number)


def drawn(steps: int, count: int, tasks: int = 1) -> TaskBatch:
    inputs = torch.randn(tasks, count, steps, 12, generator=torch.Generator().manual_seed(0))
    examples = Examples(inputs, torch.arange(count).remainder(5).expand(tasks, count))
    return TaskBatch(examples, examples)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keeps", ["nothing", "once", "twice"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pass(shape: str, keeps: Keeps, size: str) -> None:
    steps, count = SIZES[size]
    model = SHAPES[shape].build(torch.Generator().manual_seed(1))
    prepared = model.prepare(drawn(steps, count).support.inputs)
    weights = model.start(1)
    asked = [weight.requires_grad_() for name, weight in weights.items() if not name.startswith(("head", "norm"))]
    with Peak() as measured, torch.set_grad_enabled(keeps != "nothing"):
        loss = model.read(prepared, weights).square().sum()
        if keeps != "nothing":
            gradients = torch.autograd.grad(loss, asked, create_graph=keeps == "twice")
            del loss
        if keeps == "twice":
            torch.autograd.grad(sum(gradient.square().sum() for gradient in gradients), asked)
    said = model.bytes_of_pass(Size(count, steps, 12), keeps)
    assert 1 / FACTOR < said / measured.peak < FACTOR
    assert measured.peak > 2e6


def learner_of(name: str) -> Learner:
    shape, generator = SHAPES["plain"], torch.Generator().manual_seed(1)
    if name == "protonet":
        return ProtoNet(shape._replace(outputs=0).build(generator), "classification", 5)
    if name == "lstm_optimizer":
        return LSTMOptimizer(shape.build(generator), "classification", 3, 20, 0.1, generator)
    order = {"maml": "second", "recomputed": "second", "fomaml": "first"}[name]
    computing = Computing(gradient_checkpointing=name == "recomputed")
    return MAML(WholeModel(shape.build(generator)), "classification", 3, 0.1, order=order, computing=computing)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["maml", "recomputed", "fomaml", "protonet", "lstm_optimizer"])
def test_training_on_a_task(name: str, size: str) -> None:
    tasks, learner = drawn(*SIZES[size]), learner_of(name)
    with Peak() as measured:
        learner.meta_loss(tasks).loss.backward()
    said = learner.bytes_in_training(tasks)
    assert said / measured.peak > 1 / FACTOR
    assert said / measured.peak < (2.5 if name == "fomaml" else FACTOR)  # one pass after another, said to be together


@pytest.mark.parametrize("size", SIZES)
def test_evaluating_a_task(size: str) -> None:
    tasks, learner = drawn(*SIZES[size]), Scratch(SHAPES["plain"], "classification", "adam", 0.01, 0)
    with Peak() as measured:
        learner.adaptation_curve(tasks, [0, 2])
    assert 1 / FACTOR < learner.bytes_in_evaluation(tasks) / measured.peak < FACTOR
