"""Meta-SGD: a learned rate for every weight, the same at every step (Li et al. 2017), and who else may share a rate."""

import pytest
import torch
from torch import Tensor

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.torch_lstm import PlainModel, to_plain
from metalstm.tasks.examples import TaskBatch
from support.learners import LOSSES, OUTPUTS, assert_slope, computed, each_kind, each_order, gradient, make_tasks
from support.tensors import difference, randomise

FEATURES, RATE = 4, 0.3

each_engine = pytest.mark.parametrize("engine", ["batched", "higher"])
pytestmark = pytest.mark.usefixtures("in_float64")


def meta_sgd(inner_steps: int, kind: str = "classification", spread: float = 2.4, **settings: object) -> MAML:
    """A learner in which no weight is equal to another, and no rate, unless `spread` is 0."""
    generator = torch.Generator().manual_seed(7)
    model = LSTMModel(ModelShape(FEATURES, OUTPUTS[kind], hidden_size=6), generator)
    learner = MAML(
        WholeModel(model), kind, inner_steps, RATE, **computed({"learned_rates": "per_parameter"} | settings)
    )
    randomise(model, 0.5, generator)
    with torch.no_grad():
        for rate in learner.rates.parameters():
            rate += spread * (torch.rand(rate.shape, generator=generator) - 0.5)
            assert spread == 0 or rate.unique().numel() == rate.numel()
    everything = torch.cat([rate.detach().flatten() for rate in learner.rates.parameters()])
    assert spread == 0 or (everything.min() < 0 < everything.max())  # a rate may become negative
    return learner


def unrolled(learner: MAML, tasks: TaskBatch) -> Tensor:
    """theta' = theta - alpha * gradient, alpha of the shape of theta; task by task, of `torch.nn.LSTM`."""
    loss_of, shape = LOSSES[learner.kind], learner.model.shape
    plain = PlainModel(shape)
    alpha = {name: RATE * rate.reshape(learner.model.get_parameter(name).shape)
             for name, rate in learner.rates.named_parameters()}  # fmt: skip
    losses = []
    for task in range(tasks.tasks):
        fast = dict(learner.model.named_parameters())
        for _ in range(learner.inner_steps):
            outputs = torch.func.functional_call(plain, to_plain(shape, fast), (tasks.support.inputs[task],))
            loss = loss_of(outputs, tasks.support.targets[task])
            found = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
            fast = {
                name: weight - alpha[name] * (g.detach() if learner.order == "first" else g)
                for (name, weight), g in zip(fast.items(), found, strict=True)
            }
        outputs = torch.func.functional_call(plain, to_plain(shape, fast), (tasks.query.inputs[task],))
        losses.append(loss_of(outputs, tasks.query.targets[task]))
    return torch.stack(losses).mean()


@each_kind
@each_order
@each_engine
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_equals_the_unrolled_objective(kind: str, order: str, engine: str, inner_steps: int) -> None:
    tasks = make_tasks(kind)
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in tasks[:2])
    learner = meta_sgd(inner_steps, kind, order=order, engine=engine)
    outcome, objective = learner.meta_loss(tasks), unrolled(learner, tasks)
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    without = meta_sgd(0, kind)
    plain_loss = unrolled(without, tasks)
    weights = [f"model.{name}" for name, _ in without.model.named_parameters()]
    start = dict(zip(weights, torch.autograd.grad(plain_loss, list(without.model.parameters())), strict=True))
    got, want = gradient(learner, outcome.loss), gradient(learner, objective)
    assert got.keys() == want.keys()
    changed = ([value - start.get(name, 0) for name, value in found.items()] for found in (got, want))
    assert difference(*changed) < 1e-9


def test_finite_differences() -> None:
    tasks = make_tasks()
    learner = meta_sgd(3)
    assert_slope(learner, lambda: learner.meta_loss(tasks).loss)


def test_one_rate_for_each_weight_whatever_the_steps() -> None:
    for steps in (1, 4):
        learner = meta_sgd(steps)
        sizes = {name: weight.numel() for name, weight in learner.model.named_parameters()}
        assert {name: rate.numel() for name, rate in learner.rates.named_parameters()} == sizes
        for step in (0, 1, 9):
            for name, rate in learner.rates(step).items():
                assert torch.equal(rate, learner.rates(0)[name])


@each_order
@each_engine
def test_a_shared_rates_gradient_is_the_sum_of_those_that_share_it(order: str, engine: str) -> None:
    """Over the steps for Meta-SGD, over a tensor's weights for MAML++; all rates alike, and nothing else differs."""
    tasks = make_tasks()
    found = {}
    for shared in ("per_parameter_per_step", "per_parameter", "per_layer_per_step"):
        learner = meta_sgd(3, spread=0, learned_rates=shared, order=order, engine=engine)
        everything = gradient(learner, learner.meta_loss(tasks).loss)
        found[shared] = {name: value for name, value in everything.items() if name.startswith("rates.")}
    each = found["per_parameter_per_step"]
    assert all(difference([value[0]], [value[2]]) > 0.01 for value in each.values())
    over_steps = [value.sum(dim=0, keepdim=True) for value in each.values()]
    over_weights = [value.flatten(1).sum(dim=1) for value in each.values()]
    assert difference(found["per_parameter"].values(), over_steps) < 1e-9
    assert difference([value.flatten() for value in found["per_layer_per_step"].values()], over_weights) < 1e-9
