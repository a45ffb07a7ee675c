"""The baseline from a random start: each task's own, trained as `torch.optim` trains a plain module."""

import pytest
import torch

from metalstm.learners.objective import task_loss
from metalstm.learners.scratch import Scratch
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.torch_lstm import PlainModel
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import seeded_generator
from support.learners import OUTPUTS, each_kind, make_tasks
from support.tensors import difference

RATES = {"sgd": 0.3, "adam": 0.02}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}

each_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "adam"])
pytestmark = pytest.mark.usefixtures("in_float64")


def scratch(kind: str, optimizer: str, seed: int = 0, **shape: object) -> Scratch:
    sizes = ModelShape(4, OUTPUTS[kind], **{"hidden_size": 6, "layer_norm": False} | shape)
    return Scratch(sizes, kind, optimizer, RATES[optimizer], seed)


def test_every_task_has_a_start_of_its_own() -> None:
    tasks = make_tasks()
    same_task_thrice = TaskBatch(*(Examples(part.inputs[[0] * 3], part.targets[[0] * 3]) for part in tasks[:2]))
    (curve,) = scratch("classification", "sgd").adaptation_curve(same_task_thrice, [2])
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (curve[one] - curve[other]).norm() > 0.1 * curve[one].norm()


def test_the_seed_alone_decides_the_starts() -> None:
    tasks = make_tasks()
    first = scratch("classification", "sgd").adaptation_curve(tasks, [0, 2])
    torch.manual_seed(4)
    baseline = scratch("classification", "sgd")
    assert torch.equal(first, baseline.adaptation_curve(tasks, [0, 2]))
    assert torch.equal(first, baseline.adaptation_curve(tasks, [0, 2]))  # it starts anew each time
    assert torch.equal(first[:, :1], baseline.adaptation_curve(tasks.task(0), [0, 2]))
    assert not torch.allclose(first, scratch("classification", "sgd", seed=1).adaptation_curve(tasks, [0, 2]))


@each_optimizer
def test_no_steps_no_adaptation(optimizer: str) -> None:
    tasks = make_tasks()
    baseline = scratch("classification", optimizer)
    (curve,) = baseline.adaptation_curve(tasks, [0])
    for task in range(tasks.tasks):
        model = LSTMModel(baseline.shape, seeded_generator(0, "scratch", task))
        torch.testing.assert_close(curve[task : task + 1], model(tasks.query.inputs[task : task + 1]).detach())


@each_kind
@each_optimizer
@pytest.mark.parametrize("shape", [{}, {"layers": 2, "directions": 2, "layer_norm": True}], ids=["small", "large"])
def test_equals_torch_optim_on_a_plain_module(kind: str, optimizer: str, shape: dict[str, object]) -> None:
    tasks = make_tasks(kind)
    baseline = scratch(kind, optimizer, **shape)
    curve = baseline.adaptation_curve(tasks, range(6))
    loss_of = torch.nn.MSELoss() if kind == "regression" else torch.nn.CrossEntropyLoss()
    for task in range(tasks.tasks):
        model = LSTMModel(baseline.shape, seeded_generator(0, "scratch", task))
        plain = PlainModel.of(model.shape, dict(model.named_parameters()))
        stepper = OPTIMIZERS[optimizer](plain.parameters(), lr=RATES[optimizer])
        by_hand = []
        for _ in range(6):
            by_hand.append(plain(tasks.query.inputs[task]).detach())
            stepper.zero_grad()
            loss_of(plain(tasks.support.inputs[task]), tasks.support.targets[task]).backward()
            stepper.step()
        want = torch.stack(by_hand)
        got = curve[:, task]
        assert (want[5] - want[0]).norm() > 0.1 * want[5].norm()
        assert difference(got[1:] - got[:1], want[1:] - want[:1]) < 1e-8


@each_kind
@each_optimizer
def test_the_support_loss_falls(kind: str, optimizer: str) -> None:
    tasks = make_tasks(kind)
    on_support = TaskBatch(tasks.support, tasks.support)
    curve = scratch(kind, optimizer).adaptation_curve(on_support, [0, 10, 40])
    losses = torch.stack([task_loss(kind, predictions, tasks.support.targets) for predictions in curve])
    assert (losses[1] < losses[0]).all()
    assert (losses[2] < 0.7 * losses[0]).all()


@each_optimizer
def test_only_the_steps_asked_for(optimizer: str) -> None:
    tasks = make_tasks()
    baseline = scratch("classification", optimizer)
    every = baseline.adaptation_curve(tasks, range(6))
    some = baseline.adaptation_curve(tasks, [1, 5])
    assert torch.equal(some, every[[1, 5]])
    assert not some.requires_grad
    with torch.no_grad():
        assert torch.equal(baseline.adaptation_curve(tasks, [1, 5]), some)
