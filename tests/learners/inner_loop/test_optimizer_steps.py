"""Plain training on a support set: what `torch.optim` makes of a plain module, task by task."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.base import MetaLoss
from metalstm.learners.inner_loop.adaptation import Adaptable, HeadOnly, WholeModel
from metalstm.learners.inner_loop.optimizer_steps import OptimizerLearner, Training, fine_tune
from metalstm.nn.mlp import MLPModel, MLPShape
from metalstm.tasks.examples import TaskBatch
from support.learners import LOSSES, OUTPUTS, each_kind, make_tasks
from support.tensors import difference

RATES = {"sgd": 0.1, "adam": 0.02}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
NAMES = ("weight_l0", "bias_l0", "weight_l1", "bias_l1", "head_weight", "head_bias")  # in a plain network's order
ADAPTS = {"head": HeadOnly, "all": WholeModel}

each_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "adam"])
each_part = pytest.mark.parametrize("adapts", ["head", "all"])
pytestmark = pytest.mark.usefixtures("in_float64")


def adaptable(kind: str, adapts: str = "all") -> Adaptable:
    """A perceptron in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    model = MLPModel(MLPShape(20, OUTPUTS[kind], (6, 5)), generator)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
            assert weight.unique().numel() == weight.numel()
    return ADAPTS[adapts](model)


class Fitting(OptimizerLearner):
    """Without meta-training."""

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        raise NotImplementedError


def plain_network(weights: dict[str, Tensor]) -> nn.Sequential:
    """The network that has these weights, for inputs [B, S, F]."""
    layers = [nn.Linear(20, 6), nn.Linear(6, 5), nn.Linear(5, len(weights["head_bias"]))]
    network = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    for parameter, name in zip(network.parameters(), NAMES, strict=True):
        parameter.data.copy_(weights[name])
    return network


def trained(
    network: nn.Sequential, kind: str, adapts: str, optimizer: str, rate: float, inputs: Tensor, targets: Tensor,
    batches: Iterable[Tensor],
) -> list[dict[str, Tensor]]:  # fmt: skip
    """Its weights before training and after each batch of example numbers."""

    def weights() -> dict[str, Tensor]:
        return {name: w.detach().clone() for name, w in zip(NAMES, network.parameters(), strict=True)}

    stepper = OPTIMIZERS[optimizer]((network[-1] if adapts == "head" else network).parameters(), lr=rate)
    found = [weights()]
    for batch in batches:
        stepper.zero_grad()
        LOSSES[kind](network(inputs[batch]), targets[batch]).backward()
        stepper.step()
        found.append(weights())
    return found


@each_kind
@each_optimizer
@each_part
@pytest.mark.parametrize("batch", [None, 4], ids=["whole_set", "mini_batches"])
def test_equals_torch_optim(kind: str, optimizer: str, adapts: str, batch: int | None) -> None:
    examples = make_tasks(kind).query
    assert examples.inputs.unique().numel() == examples.inputs.numel()
    tasks, count, steps = *examples.targets.shape[:2], 4
    what = adaptable(kind, adapts)
    stream = torch.Generator().manual_seed(4)
    yielded = fine_tune(
        Training(what, kind, optimizer, RATES[optimizer]), examples, steps, batch=batch, generator=stream
    )
    got = [{name: weight.detach().clone() for name, weight in weights.items()} for weights in yielded]
    assert len(got) == steps + 1
    assert set(got[0]) == set(NAMES[-2:] if adapts == "head" else NAMES)
    again = torch.Generator().manual_seed(4)
    batches = [torch.arange(count).expand(tasks, -1)] * steps
    if batch is not None:
        batches = [torch.rand(tasks, count, generator=again).argsort(descending=True)[:, :batch] for _ in range(steps)]
    for task in range(tasks):
        want = trained(
            *(plain_network(dict(what.model.named_parameters())), kind, adapts, optimizer, RATES[optimizer]),
            *(examples.inputs[task], examples.targets[task], [drawn[task] for drawn in batches]),
        )
        for name in got[0]:
            assert torch.equal(got[0][name][task], want[0][name])
            for step in range(1, steps + 1):
                mine, other = got[step][name][task] - got[0][name][task], want[step][name] - want[0][name]
                assert difference([mine], [other]) < 1e-9


@each_kind
@each_optimizer
@each_part
def test_the_curve_equals_torch_optim(kind: str, optimizer: str, adapts: str) -> None:
    tasks = make_tasks(kind)
    what = adaptable(kind, adapts)
    at = [0, 2, 5]
    curve = Fitting(what, kind, optimizer, RATES[optimizer]).adaptation_curve(tasks, at)
    assert not curve.requires_grad
    everything = [torch.arange(tasks.support.targets.shape[1])] * max(at)
    for task in range(tasks.tasks):
        network = plain_network(dict(what.model.named_parameters()))
        weights = trained(
            *(network, kind, adapts, optimizer, RATES[optimizer]),
            *(tasks.support.inputs[task], tasks.support.targets[task], everything),
        )
        want = torch.stack([plain_network(weights[step])(tasks.query.inputs[task]).detach() for step in at])
        assert difference([curve[0, task]], [want[0]]) < 1e-12
        assert difference(curve[1:, task] - curve[0, task], want[1:] - want[0]) < 1e-9


@each_optimizer
def test_a_start_for_each_task(optimizer: str) -> None:
    tasks = make_tasks()
    what = adaptable("classification")
    generator = torch.Generator().manual_seed(3)
    start = {
        name: weight.detach() + 0.3 * torch.randn(3, *weight.shape, generator=generator)
        for name, weight in what.model.named_parameters()
    }
    before = {name: weight.clone() for name, weight in start.items()}
    learner = Fitting(what, "classification", optimizer, RATES[optimizer])
    query = learner.encode(tasks.query)
    learned = enumerate(learner.adapt(tasks.support, 3, start))
    with torch.no_grad():
        curve = torch.stack([learner.predict(adapted, query) for step, adapted in learned if step in (0, 3)])
    assert all(torch.equal(weight, before[name]) for name, weight in start.items())
    everything = [torch.arange(tasks.support.targets.shape[1])] * 3
    for task in range(tasks.tasks):
        network = plain_network({name: weight[task] for name, weight in start.items()})
        first = network(tasks.query.inputs[task]).detach()
        trained(
            *(network, "classification", "all", optimizer, RATES[optimizer]),
            *(tasks.support.inputs[task], tasks.support.targets[task], everything),
        )
        want = network(tasks.query.inputs[task]).detach()
        assert difference([curve[0, task]], [first]) < 1e-12
        assert difference([curve[1, task] - curve[0, task]], [want - first]) < 1e-9


@each_optimizer
@each_part
@pytest.mark.parametrize("batch", [None, 4], ids=["whole_set", "mini_batches"])
def test_what_is_trained_is_a_copy(optimizer: str, adapts: str, batch: int | None) -> None:
    tasks = make_tasks()
    what = adaptable("classification", adapts)
    before = {name: weight.clone() for name, weight in what.model.named_parameters()}
    for _ in fine_tune(Training(what, "classification", optimizer, 0.1), tasks.support, 2, batch=batch):
        pass
    for name, weight in what.model.named_parameters():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


@each_optimizer
def test_a_rate_that_is_not_picked_yet(optimizer: str) -> None:
    tasks = make_tasks()
    usual = {"sgd": 0.1, "adam": 0.001}[optimizer]
    curves = [
        Fitting(adaptable("classification"), "classification", optimizer, rate).adaptation_curve(tasks, [0, 3])
        for rate in (None, usual, 2 * usual)
    ]
    assert torch.equal(curves[0], curves[1])
    assert not torch.allclose(curves[0][1], curves[2][1])


def test_a_batch_is_of_different_examples() -> None:
    """As many as there are but one: had one been drawn twice, another result would be possible than leaving one out."""
    examples = make_tasks().task(0).support
    count = examples.targets.shape[1]
    what = adaptable("classification")
    stream = torch.Generator().manual_seed(4)
    network = plain_network(dict(what.model.named_parameters()))
    left_out = set()
    for _ in range(20):
        *_, weights = fine_tune(
            Training(what, "classification", "sgd", 0.1), examples, 1, batch=count - 1, generator=stream
        )
        fits = []
        for place in range(count):
            rest = torch.tensor([other for other in range(count) if other != place])
            loss = functional.cross_entropy(network(examples.inputs[0][rest]), examples.targets[0][rest])
            (found,) = torch.autograd.grad(loss, [network[1].weight])
            step = weights["weight_l0"][0].detach() - network[1].weight.detach()
            if torch.allclose(step, -0.1 * found, rtol=1e-9, atol=1e-12):
                fits.append(place)
        assert len(fits) == 1
        left_out.update(fits)
    assert len(left_out) > 3
