"""MAML++: the meta-loss of several steps, and first-order steps at first (Antoniou et al. 2019), task by task."""

import pytest
import torch
from torch import Tensor

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.mamlpp import MAMLPlusPlus
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.torch_lstm import PlainModel, to_plain
from metalstm.tasks.examples import TaskBatch
from support.learners import LOSSES, OUTPUTS, assert_slope, computed, each_kind, make_tasks, spread_rates
from support.tensors import difference, randomise

FEATURES, RATE = 4, 0.3
UNTIL, FROM = 0.4, 0.2

each_engine = pytest.mark.parametrize("engine", ["batched", "higher"])
# First order with many losses, at the border of both, second order with many losses, and with the last one alone.
each_progress = pytest.mark.parametrize("progress", [0.0, 0.1, 0.2, 0.3, 0.4, 1.0])
pytestmark = pytest.mark.usefixtures("in_float64")


def mamlpp(
    inner_steps: int, kind: str = "classification", until: float = UNTIL, second: float = FROM, **settings: object
) -> MAMLPlusPlus:
    """A learner in which no weight and no learned rate is equal to another."""
    generator = torch.Generator().manual_seed(7)
    model = LSTMModel(ModelShape(FEATURES, OUTPUTS[kind], hidden_size=6), generator)
    learner = MAMLPlusPlus(
        multi_step_until=until,
        second_order_from=second,
        adaptable=WholeModel(model),
        kind=kind,
        inner_steps=inner_steps,
        inner_lr=RATE,
        **computed({"learned_rates": "per_layer_per_step"} | settings),
    )
    randomise(model, 0.5, generator)
    spread_rates(learner, generator)
    for weight in learner.parameters():
        assert weight.unique().numel() == weight.numel()
    return learner


def query_losses(learner: MAMLPlusPlus, tasks: TaskBatch, task: int, order: str) -> list[Tensor]:
    """A task's query loss after each inner step, of `torch.nn.LSTM` and `torch.nn.Linear`."""
    loss_of = LOSSES[learner.kind]
    shape = learner.model.shape
    plain = PlainModel(shape)
    rates = dict(learner.rates.named_parameters())

    def loss_on(fast: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
        return loss_of(torch.func.functional_call(plain, to_plain(shape, fast), (inputs,)), targets)

    fast = dict(learner.model.named_parameters())
    losses = []
    for step in range(learner.inner_steps):
        loss = loss_on(fast, tasks.support.inputs[task], tasks.support.targets[task])
        found = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {
            name: weight - RATE * rates[name][step] * (g.detach() if order == "first" else g)
            for (name, weight), g in zip(fast.items(), found, strict=True)
        }
        losses.append(loss_on(fast, tasks.query.inputs[task], tasks.query.targets[task]))
    return losses


def unrolled(learner: MAMLPlusPlus, tasks: TaskBatch, weights: list[float], order: str) -> Tensor:
    """The mean over tasks of sum_j v_j L_j."""
    total = torch.zeros(())
    for task in range(tasks.tasks):
        losses = query_losses(learner, tasks, task, order)
        assert len({round(loss.item(), 9) for loss in losses}) == learner.inner_steps  # the steps differ
        total = total + sum(v * loss for v, loss in zip(weights, losses, strict=True)) / tasks.tasks
    return total


def expected_weights(steps: int, progress: float) -> list[float]:
    """v_1 ... v_steps: equal at first; all but the last one fall linearly to zero at `UNTIL`."""
    left = max(0.0, 1 - progress / UNTIL)
    return [left / steps] * (steps - 1) + [1 - left * (steps - 1) / steps]


def gradient(learner: MAMLPlusPlus, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(learner.parameters())))


@each_kind
@each_engine
@each_progress
def test_equals_the_unrolled_objective(kind: str, engine: str, progress: float) -> None:
    tasks = make_tasks(kind)
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in tasks[:2])
    learner = mamlpp(3, kind, engine=engine)
    outcome = learner.meta_loss(tasks, progress=progress)
    objective = unrolled(learner, tasks, expected_weights(3, progress), "first" if progress < FROM else "second")
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    torch.testing.assert_close(outcome.metrics["loss"].mean(), objective.detach(), rtol=1e-12, atol=0)
    # Less the gradient without adapting: with it, parity could be that of the plain query loss.
    before = LOSSES[kind](learner.model(tasks.query.inputs).flatten(0, 1), tasks.query.targets.flatten(0, 1))
    start = torch.autograd.grad(before, list(learner.parameters()), materialize_grads=True, allow_unused=True)
    got, want = (
        [value - first for value, first in zip(gradient(learner, loss), start, strict=True)]
        for loss in (outcome.loss, objective)
    )
    assert difference(got, want) < 1e-9


@pytest.mark.parametrize(
    "changed", [{"gradient_checkpointing": True}, {"task_chunk_size": 2}, {"task_chunk_size": 1}], ids=str
)
@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_saving_memory_changes_nothing(changed: dict[str, object], progress: float) -> None:
    tasks = make_tasks()
    plain, saving = mamlpp(3), mamlpp(3, **changed)
    want, got = (gradient(learner, learner.meta_loss(tasks, progress=progress).loss) for learner in (plain, saving))
    assert difference(got, want) < 1e-9


def test_the_orders_and_the_weights_are_told_apart() -> None:
    tasks = make_tasks()
    learner = mamlpp(3)
    last, even = [0.0, 0.0, 1.0], [1 / 3] * 3
    want = gradient(learner, unrolled(learner, tasks, last, "second"))
    for weights, order in ((last, "first"), (even, "second")):
        other = gradient(learner, unrolled(learner, tasks, weights, order))
        assert all(difference([left], [right]) > 0.01 for left, right in zip(other, want, strict=True))


@pytest.mark.parametrize("second", [0.0, 0.5, 1.0])
def test_second_order_from_its_part_of_the_outer_loop_on(second: float) -> None:
    tasks = make_tasks()
    learner = mamlpp(2, until=0.0, second=second)
    of_order = {order: gradient(learner, unrolled(learner, tasks, [0, 1], order)) for order in ("first", "second")}
    assert difference(of_order["first"], of_order["second"]) > 0.02
    for progress in (0.0, 0.499, 0.5, 0.501, 0.999, 1.0):
        got = gradient(learner, learner.meta_loss(tasks, progress=progress).loss)
        assert difference(got, of_order["second" if progress >= second else "first"]) < 1e-9


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("until", [0.15, 0.4, 1.0])
def test_the_weights_of_the_steps_losses(steps: int, until: float) -> None:
    learner = mamlpp(steps, until=until)
    assert learner.importance(0.0) == pytest.approx([1 / steps] * steps)
    assert learner.importance(until / 2) == pytest.approx([0.5 / steps] * (steps - 1) + [0.5 + 0.5 / steps])
    for progress in (until, (1 + until) / 2, 1.0):
        assert learner.importance(progress) == [0.0] * (steps - 1) + [1.0]
    before = learner.importance(0.0)
    for percent in range(101):
        now = learner.importance(percent / 100)
        assert len(now) == steps
        assert sum(now) == pytest.approx(1)
        assert min(now) >= 0
        assert now[-1] >= before[-1]
        before = now


def test_without_many_losses_only_the_last_one_counts() -> None:
    assert mamlpp(3, until=0.0).importance(0.0) == [0.0, 0.0, 1.0]


def test_one_rate_for_each_layer_and_step() -> None:
    learner = mamlpp(3)
    assert {name for name, _ in learner.rates.named_parameters()} == {
        name for name, _ in learner.model.named_parameters()
    }
    for name, rate in learner.rates.named_parameters():
        assert rate.shape == (3, *[1] * learner.model.get_parameter(name).dim())


@each_kind
def test_finite_differences(kind: str) -> None:
    tasks = make_tasks(kind)
    learner = mamlpp(3, kind)
    assert_slope(learner, lambda: learner.meta_loss(tasks, progress=0.25).loss)
