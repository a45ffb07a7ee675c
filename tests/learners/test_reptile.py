"""Reptile: the outer gradient is the start less the mean of trained weights (Nichol et al. 2018), task by task."""

import pytest
import torch
from torch import Tensor

from metalstm.learners.base import MetaLoss
from metalstm.learners.reptile import Reptile
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.torch_lstm import PlainModel, to_plain
from metalstm.tasks.examples import TaskBatch
from support.learners import LOSSES, OUTPUTS, each_kind, make_tasks
from support.tensors import difference, randomise

RATES = {"sgd": 0.3, "adam": 0.02}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
BATCH = 4

each_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "adam"])
each_batch = pytest.mark.parametrize("inner_batch", [None, BATCH], ids=["whole_set", "mini_batches"])
pytestmark = pytest.mark.usefixtures("in_float64")


def reptile(
    optimizer: str, kind: str = "classification", inner_steps: int = 3, inner_batch: int | None = None
) -> Reptile:
    """A learner in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    model = LSTMModel(ModelShape(4, OUTPUTS[kind], hidden_size=6), generator)
    randomise(model, 0.5, generator)
    return Reptile(model, kind, inner_steps, optimizer, RATES[optimizer], inner_batch)


def seeded(seed: int = 4) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def training_set(tasks: TaskBatch, task: int) -> tuple[Tensor, Tensor]:
    """A task's support and query examples together."""
    inputs, targets = (torch.cat([getattr(part, of)[task] for part in tasks[:2]]) for of in ("inputs", "targets"))
    assert inputs.unique().numel() == inputs.numel()
    return inputs, targets


def trained(learner: Reptile, tasks: TaskBatch, generator: torch.Generator | None) -> list[PlainModel]:
    """A plain module for each task, after training it."""
    count = sum(part.targets.shape[1] for part in tasks[:2])
    batches = []
    for _ in range(learner.inner_steps):
        everything = torch.arange(count).expand(tasks.tasks, -1)
        if learner.inner_batch is not None and generator is not None:
            keys = torch.rand(tasks.tasks, count, generator=generator)
            everything = keys.argsort(dim=1, descending=True)[:, : learner.inner_batch]
        batches.append(everything)
    modules = []
    for task in range(tasks.tasks):
        inputs, targets = training_set(tasks, task)
        module = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
        stepper = OPTIMIZERS[learner.optimizer](module.parameters(), lr=learner.lr)
        for batch in batches:
            stepper.zero_grad()
            LOSSES[learner.kind](module(inputs[batch[task]]), targets[batch[task]]).backward()
            stepper.step()
        modules.append(module)
    return modules


def gradient(learner: Reptile, outcome: MetaLoss) -> dict[str, Tensor]:
    """The gradient of the meta-loss, under the names of a plain module."""
    parameters = dict(learner.model.named_parameters())
    found = torch.autograd.grad(outcome.loss, list(parameters.values()))
    return to_plain(learner.model.shape, dict(zip(parameters, found, strict=True)))


@each_kind
@each_optimizer
@each_batch
@pytest.mark.parametrize("inner_steps", [1, 4])
def test_the_gradient_is_the_start_less_the_mean_of_the_trained_weights(
    kind: str, optimizer: str, inner_batch: int | None, inner_steps: int
) -> None:
    tasks = make_tasks(kind)
    learner = reptile(optimizer, kind, inner_steps, inner_batch)
    got = gradient(learner, learner.meta_loss(tasks, seeded()))
    start = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
    ends = [dict(module.named_parameters()) for module in trained(learner, tasks, seeded())]
    want = {name: weight - sum(end[name] for end in ends) / len(ends) for name, weight in start.named_parameters()}
    assert difference([got[name] for name in want], want.values()) < 1e-9
    assert all((end["lstms.0.weight_hh_l0"] - ends[0]["lstms.0.weight_hh_l0"]).norm() > 1e-4 for end in ends[1:])


@each_kind
@each_optimizer
@each_batch
def test_the_losses_value_is_that_of_the_trained_weights_on_all_examples(
    kind: str, optimizer: str, inner_batch: int | None
) -> None:
    tasks = make_tasks(kind)
    learner = reptile(optimizer, kind, inner_batch=inner_batch)
    outcome = learner.meta_loss(tasks, seeded())
    answers = []
    for task, module in enumerate(trained(learner, tasks, seeded())):
        inputs, targets = training_set(tasks, task)
        answers.append((module(inputs).detach(), targets))
    losses = torch.stack([LOSSES[kind](outputs, targets) for outputs, targets in answers])
    assert losses.unique().numel() == tasks.tasks
    torch.testing.assert_close(outcome.loss.detach(), losses.mean(), rtol=1e-10, atol=0)
    torch.testing.assert_close(outcome.metrics["loss"], losses, rtol=1e-10, atol=0)
    if kind == "classification":
        shares = [(outputs.argmax(dim=1) == targets).double().mean().item() for outputs, targets in answers]
        assert outcome.metrics["accuracy"].tolist() == pytest.approx(shares)
    else:
        torch.testing.assert_close(outcome.metrics["mse"], losses, rtol=1e-10, atol=0)


@each_optimizer
def test_the_generator_decides_the_batches(optimizer: str) -> None:
    tasks = make_tasks()
    learner = reptile(optimizer, inner_batch=BATCH)
    whole = reptile(optimizer)
    of_seed = {seed: gradient(learner, learner.meta_loss(tasks, seeded(seed))) for seed in (4, 5)}
    torch.manual_seed(3)
    again = gradient(learner, learner.meta_loss(tasks, seeded(4)))
    without = gradient(learner, learner.meta_loss(tasks))
    of_all = gradient(whole, whole.meta_loss(tasks, seeded(4)))
    for name, value in of_seed[4].items():
        assert torch.equal(value, again[name])
        assert torch.equal(without[name], of_all[name])
        for other in (of_seed[5][name], of_all[name]):
            assert (value - other).norm() > 0.01 * value.norm()


@each_optimizer
def test_a_batch_of_everything_is_the_whole_set(optimizer: str) -> None:
    tasks = make_tasks()
    count = sum(part.targets.shape[1] for part in tasks[:2])
    whole = reptile(optimizer)
    want = gradient(whole, whole.meta_loss(tasks, seeded()))
    for size in (count, count + 5):
        learner = reptile(optimizer, inner_batch=size)
        got = gradient(learner, learner.meta_loss(tasks, seeded()))
        assert all(torch.equal(got[name], value) for name, value in want.items())


@each_kind
@each_optimizer
def test_the_curve_is_of_plain_training_on_the_support_set(kind: str, optimizer: str) -> None:
    tasks = make_tasks(kind)
    learner = reptile(optimizer, kind, inner_batch=2)
    at = [0, 1, 5]
    curve = learner.adaptation_curve(tasks, at)
    for task in range(tasks.tasks):
        module = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
        stepper = OPTIMIZERS[optimizer](module.parameters(), lr=RATES[optimizer])
        answers = []
        for _ in range(max(at) + 1):
            answers.append(module(tasks.query.inputs[task]).detach())
            stepper.zero_grad()
            LOSSES[kind](module(tasks.support.inputs[task]), tasks.support.targets[task]).backward()
            stepper.step()
        want = torch.stack([answers[step] for step in at])
        assert difference([curve[0, task]], [want[0]]) < 1e-10
        assert difference(curve[1:, task] - curve[0, task], want[1:] - want[0]) < 1e-9


def test_dropout_where_there_is_a_generator() -> None:
    tasks = make_tasks()

    def loss(dropout: float, seed: int | None) -> float:
        model = LSTMModel(ModelShape(4, 3, hidden_size=6, dropout=dropout), torch.Generator().manual_seed(1)).double()
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return Reptile(model, "classification", 3, "sgd", 0.5).meta_loss(tasks, generator).loss.item()

    assert loss(0.5, 0) == loss(0.5, 0) != loss(0.5, 1)
    assert loss(0.5, None) == loss(0.0, None) == loss(0.0, 1)
