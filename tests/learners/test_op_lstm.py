"""OP-LSTM (Huisman et al. 2023), against loops over tasks, examples and outputs, a `torch.nn.LSTMCell` for each."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.op_lstm import OPLSTM
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import TaskBatch
from support.learners import LOSSES, OUTPUTS, assert_slope, each_kind, gradient, make_tasks, torch_features
from support.tensors import difference, randomise

FEATURES, WIDTH, HIDDEN = 4, 5, 4

each_length = pytest.mark.parametrize("length", [1.3, -0.4])
pytestmark = pytest.mark.usefixtures("in_float64")


def op_lstm(kind: str = "classification", inner_steps: int = 3, length: float = 1.3) -> OPLSTM:
    """A learner in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    encoder = LSTMModel(ModelShape(FEATURES, 0, hidden_size=WIDTH), generator)
    learner = OPLSTM(encoder, kind, OUTPUTS[kind], inner_steps, HIDDEN, generator)
    randomise(learner, 0.7, generator)
    with torch.no_grad():
        learner.length.fill_(length)
    return learner


def encoded(learner: OPLSTM, inputs: Tensor) -> Tensor:
    """The normalised last states of an `nn.LSTM`, and a one for the bias: [B, W + 1]."""
    seen = torch_features(dict(learner.encoder.named_parameters()), inputs)
    return torch.cat((seen, torch.ones(len(seen), 1)), dim=1)


def cell_of(learner: OPLSTM) -> Callable[..., tuple[Tensor, Tensor]]:
    """An `nn.LSTMCell` of the learner's weights."""
    bias = learner.lstm.get_parameter("bias_l0")
    weights = {
        "weight_ih": learner.lstm.get_parameter("w_x_l0"),
        "weight_hh": learner.lstm.get_parameter("w_h_l0"),
        "bias_ih": torch.zeros_like(bias),
        "bias_hh": bias,
    }
    cell = nn.LSTMCell(2, HIDDEN)
    return lambda seen, state: torch.func.functional_call(cell, weights, (seen, state))


def matrices(learner: OPLSTM, support: Tensor, targets: Tensor, steps: int) -> list[Tensor]:
    """M of one task before reading its support set, and after each time."""
    cell = cell_of(learner)
    states: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    zero = (torch.zeros(HIDDEN), torch.zeros(HIDDEN))
    found = [learner.matrix]
    for _ in range(steps):
        update = torch.zeros_like(found[-1])
        for k, x in enumerate(support):
            predicted = found[-1] @ x
            if learner.kind == "classification":
                predicted = predicted.exp() / predicted.exp().sum()
            said = []
            for o in range(learner.outputs):
                target = float(targets[k] == o) if learner.kind == "classification" else float(targets[k, o])
                seen = torch.stack((torch.tensor(target), predicted[o]))
                states[k, o] = cell(seen, states.get((k, o), zero))
                said.append(learner.say[0] @ states[k, o][0])
            update = update + torch.outer(torch.stack(said), x) / len(support)
        found.append(found[-1] + learner.length * update / update.square().sum().sqrt())
    return found


def task_matrices(learner: OPLSTM, tasks: TaskBatch, task: int, steps: int) -> list[Tensor]:
    return matrices(learner, encoded(learner, tasks.support.inputs[task]), tasks.support.targets[task], steps)


def meta_loss(learner: OPLSTM, tasks: TaskBatch, steps: int) -> Tensor:
    losses = []
    for task in range(tasks.tasks):
        matrix = task_matrices(learner, tasks, task, steps)[-1]
        answers = torch.stack([matrix @ x for x in encoded(learner, tasks.query.inputs[task])])
        losses.append(LOSSES[learner.kind](answers, tasks.query.targets[task]))
    return torch.stack(losses).mean()


@each_kind
@each_length
@pytest.mark.parametrize("inner_steps", [2, 4])  # in the first one the recurrent weights have no say
def test_equals_loops_of_cells(kind: str, length: float, inner_steps: int) -> None:
    tasks = make_tasks(kind)
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in tasks[:2])
    learner = op_lstm(kind, inner_steps, length)
    outcome, objective = learner.meta_loss(tasks), meta_loss(learner, tasks, inner_steps)
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    start = gradient(learner, meta_loss(learner, tasks, 0), unused=True)
    got, want = gradient(learner, outcome.loss, unused=True), gradient(learner, objective, unused=True)
    changes = ([value - start[name] for name, value in found.items()] for found in (got, want))
    assert difference(*changes) < 1e-9


@each_kind
def test_finite_differences(kind: str) -> None:
    tasks = make_tasks(kind)
    learner = op_lstm(kind)
    assert_slope(learner, lambda: learner.meta_loss(tasks).loss, unused=True)


@each_kind
def test_a_step_of_the_curve_is_one_more_reading(kind: str) -> None:
    tasks = make_tasks(kind)
    learner = op_lstm(kind)
    at = [0, 1, 4]
    curve = learner.adaptation_curve(tasks, at)
    for task in range(tasks.tasks):
        query = encoded(learner, tasks.query.inputs[task])
        found = task_matrices(learner, tasks, task, max(at))
        want = torch.stack([query @ found[step].T for step in at])
        assert difference([curve[0, task]], [want[0]]) < 1e-12
        assert difference(curve[1:, task] - curve[0, task], want[1:] - want[0]) < 1e-9


@each_kind
@each_length
def test_every_tasks_update_has_the_learned_length(kind: str, length: float) -> None:
    tasks = make_tasks(kind)
    learner = op_lstm(kind, length=length)
    support = torch.stack([encoded(learner, inputs) for inputs in tasks.support.inputs])[..., :WIDTH]
    with torch.no_grad():
        found = list(learner.matrices(support, tasks.support.targets, 4))
    assert len(found) == 5
    for before, after in pairwise(found):
        updates = (after - before).flatten(1)
        torch.testing.assert_close(updates.norm(dim=1), torch.full((3,), abs(length)))
        assert (functional.normalize(updates, dim=1) @ functional.normalize(updates, dim=1).T).triu(1).max() < 0.999


def test_a_learner_that_says_the_labels_makes_prototypes() -> None:
    """From zero, with r the one-hot label, M's rows are in proportion to the sums of each class's features."""
    tasks = make_tasks()
    learner = op_lstm()
    with torch.no_grad():
        for weight in (learner.matrix, learner.lstm.w_x_l0, learner.lstm.w_h_l0, learner.lstm.bias_l0):
            weight.zero_()
        learner.lstm.bias_l0[:HIDDEN] = learner.lstm.bias_l0[3 * HIDDEN :] = 50  # gates i and o open
        learner.lstm.w_x_l0[2 * HIDDEN : 3 * HIDDEN, 0] = 1  # the cell takes the label
        support = torch.stack([encoded(learner, inputs) for inputs in tasks.support.inputs])
        *_, matrix = learner.matrices(support[..., :WIDTH], tasks.support.targets, 1)
    for task in range(tasks.tasks):
        sums = torch.stack([support[task][tasks.support.targets[task] == label].sum(dim=0) for label in range(3)])
        torch.testing.assert_close(matrix[task].abs(), 1.3 * sums.abs() / sums.norm())
