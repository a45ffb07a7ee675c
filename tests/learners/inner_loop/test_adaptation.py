"""What a learner reports: metrics task by task, and the adaptation curve: the training path without its graph."""

import gc

import pytest
import torch
from torch import Tensor

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.inner_loop.batched import BatchedEngine
from metalstm.learners.maml import MAML, Computing
from metalstm.learners.objective import task_loss, task_metric
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import Examples, TaskBatch
from support.learners import each_kind, make_maml, make_tasks
from support.tensors import difference

each_engine = pytest.mark.parametrize("engine", ["batched", "higher"])


def permuted(examples: Examples, order: list[int]) -> Examples:
    return Examples(examples.inputs[order], examples.targets[order])


@each_kind
@each_engine
def test_permuting_the_tasks(engine: str, kind: str) -> None:
    tasks = make_tasks(kind, tasks=4)
    order = [2, 0, 3, 1]
    learner = make_maml(3, kind=kind, engine=engine)
    outcome = learner.meta_loss(tasks)
    shuffled = learner.meta_loss(TaskBatch(permuted(tasks.support, order), permuted(tasks.query, order)))
    torch.testing.assert_close(shuffled.loss, outcome.loss, rtol=1e-12, atol=0)
    metric = "accuracy" if kind == "classification" else "mse"
    assert outcome.metrics.keys() == {"loss", metric}
    for name, value in outcome.metrics.items():
        assert value.shape == (4,)
        assert not value.requires_grad
        torch.testing.assert_close(shuffled.metrics[name], value[order], rtol=1e-12, atol=1e-12)
    assert outcome.metrics["loss"].unique().numel() == 4  # the tasks differ
    torch.testing.assert_close(outcome.metrics["loss"].mean(), outcome.loss.detach())


@each_kind
@each_engine
@pytest.mark.parametrize("learned_rates", ["none", "per_parameter_per_step"])
def test_the_curve_is_the_training_path(engine: str, kind: str, learned_rates: bool) -> None:
    tasks = make_tasks(kind)
    same = {"kind": kind, "engine": engine, "learned_rates": learned_rates}
    learner = make_maml(5, **same)
    at = [0, 1, 3, 5]
    curve = learner.adaptation_curve(tasks, at)
    assert curve.shape == (4, *tasks.query.inputs.shape[:2], 3 if kind == "classification" else 2)
    torch.testing.assert_close(curve[0], learner.model(tasks.query.inputs).detach(), rtol=1e-10, atol=1e-10)
    for place, step in enumerate(at):
        trained = make_maml(5, **same)
        trained.inner_steps = step
        outcome = trained.meta_loss(tasks)
        loss = task_loss(learner.kind, curve[place], tasks.query.targets)
        torch.testing.assert_close(loss, outcome.metrics["loss"], rtol=1e-10, atol=1e-10)
        (metric,) = set(outcome.metrics) - {"loss"}
        torch.testing.assert_close(
            task_metric(learner.kind, curve[place], tasks.query.targets), outcome.metrics[metric], rtol=1e-10, atol=0
        )
    changes = (curve[1:] - curve[:-1]).flatten(1).norm(dim=1)
    assert changes.min() > 0.01 * curve[0].norm()  # each step does something
    assert torch.equal(learner.adaptation_curve(tasks, [3])[0], curve[2])


@each_kind
def test_adapting_lowers_the_support_loss(kind: str) -> None:
    support = make_tasks(kind).support
    curve = make_maml(5, kind=kind).adaptation_curve(TaskBatch(support, support), [0, 5, 20])
    losses = torch.stack([task_loss(kind, predictions, support.targets) for predictions in curve])
    assert (losses[1] < losses[0]).all()
    assert (losses[2] < 0.7 * losses[0]).all()


@pytest.mark.parametrize("learned_rates", ["none", "per_parameter_per_step"])
def test_engines_draw_the_same_curve(learned_rates: bool) -> None:
    tasks, at = make_tasks(), [0, 1, 2, 7]
    batched, reference = (
        make_maml(3, engine=engine, learned_rates=learned_rates).adaptation_curve(tasks, at)
        for engine in ("batched", "higher")
    )
    assert difference(batched[1:] - batched[:1], reference[1:] - reference[:1]) < 1e-10


def test_beyond_the_trained_steps_the_last_rates_hold() -> None:
    tasks = make_tasks()
    learner, longer = make_maml(2, learned_rates="per_parameter_per_step"), make_maml(5, learned_rates=True)
    with torch.no_grad():
        for name, rate in longer.rates.named_parameters():
            trained = learner.rates.get_parameter(name)
            assert not torch.equal(trained[0], trained[1])
            rate.copy_(trained[[0, 1, 1, 1, 1]])
    at = range(6)
    assert torch.equal(learner.adaptation_curve(tasks, at), longer.adaptation_curve(tasks, at))


@each_engine
def test_the_curve_leaves_no_trace(engine: str) -> None:
    tasks = make_tasks()
    learner = make_maml(2, engine=engine, learned_rates="per_parameter_per_step")
    before = [parameter.detach().clone() for parameter in learner.parameters()]
    curve = learner.adaptation_curve(tasks, [0, 1, 2])
    assert not curve.requires_grad
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in learner.parameters())
    assert all(map(torch.equal, before, learner.parameters()))


def numbers_alive() -> int:
    return sum(thing.numel() for thing in gc.get_objects() if type(thing) is Tensor)


@pytest.mark.parametrize("order", ["none", "second"])
def test_memory_grows_with_the_steps_only_where_the_graph_is_kept(order: str) -> None:
    learner = make_maml(9)
    assert isinstance(learner.engine, BatchedEngine)
    tasks = make_tasks()
    alive = []
    gc.collect()
    with torch.set_grad_enabled(order != "none"):
        for predict in learner.engine.adapt(tasks.support, 9, order):
            predict(learner.engine.encode(tasks.query))
            alive.append(numbers_alive())
    weights = tasks.tasks * sum(weight.numel() for weight in learner.model.parameters())
    growth = (alive[9] - alive[2]) / weights
    assert growth < 0.01 if order == "none" else growth > 7


def test_dropout_in_training_only() -> None:
    tasks = make_tasks()
    without, with_ = make_maml(2), make_maml(2, dropout=0.5)

    def loss(learner: MAML, seed: int | None) -> float:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return float(learner.meta_loss(tasks, generator).loss.detach())

    assert loss(with_, None) == loss(without, None) == loss(without, 0)
    assert loss(with_, 0) == loss(with_, 0) != loss(with_, 1)
    assert loss(with_, 0) != loss(with_, None)
    assert torch.equal(with_.adaptation_curve(tasks, [0, 2]), without.adaptation_curve(tasks, [0, 2]))


def test_higher_refuses_dropout() -> None:
    model = LSTMModel(ModelShape(4, 3, hidden_size=6, dropout=0.1), torch.Generator())
    with pytest.raises(ValueError, match="no dropout"):
        MAML(WholeModel(model), "classification", 1, 0.1, computing=Computing(engine="higher"))


def test_an_unknown_engine_is_refused() -> None:
    lower = Computing(engine="lower")
    with pytest.raises(KeyError, match="lower"):
        MAML(WholeModel(LSTMModel(ModelShape(4, 3), torch.Generator())), "classification", 1, 0.1, computing=lower)


@each_kind
@pytest.mark.parametrize("at_a_time", [1, 2])
def test_parts_of_a_meta_batch_equal_all_at_once(at_a_time: int, kind: str) -> None:
    tasks = make_tasks(kind)
    learner = make_maml(3, kind=kind, learned_rates="per_parameter_per_step")
    in_parts = make_maml(3, kind=kind, learned_rates="per_parameter_per_step", task_chunk_size=at_a_time)
    sizes = []
    adapt = in_parts.engine.adapt
    in_parts.engine.adapt = lambda support, *rest: (sizes.append(len(support.inputs)), adapt(support, *rest))[1]
    whole, parts = learner.meta_loss(tasks), in_parts.meta_loss(tasks)
    assert sizes == ([1, 1, 1] if at_a_time == 1 else [2, 1])
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-12, atol=0)
    for name, value in whole.metrics.items():
        torch.testing.assert_close(parts.metrics[name], value, rtol=1e-12, atol=0)
    want = torch.autograd.grad(whole.loss, list(learner.parameters()))
    got = torch.autograd.grad(2 * parts.loss, list(in_parts.parameters()))
    assert difference(got, [2 * gradient for gradient in want]) < 1e-12


def test_frozen_parameters_are_left_out() -> None:
    learner = make_maml(2, learned_rates="per_parameter_per_step", engine="higher")
    for rate in learner.rates.parameters():
        rate.requires_grad_(False)
    learner.meta_loss(make_tasks()).loss.backward()
    assert all(weight.grad is not None for weight in learner.model.parameters())
    assert all(rate.grad is None for rate in learner.rates.parameters())


def test_on_a_cpu_few_tasks_are_in_memory_unless_asked() -> None:
    tasks, learner = make_tasks(tasks=6), make_maml(1)
    sizes = []
    adapt = learner.engine.adapt
    learner.engine.adapt = lambda support, *rest: (sizes.append(len(support.inputs)), adapt(support, *rest))[1]
    learner.meta_loss(tasks)
    assert sizes == [4, 2]
    assert learner.most_tasks(torch.device("cuda")) is None
    assert make_maml(1, task_chunk_size=9).most_tasks(torch.device("cpu")) == 9
    assert make_maml(1, engine="higher").most_tasks(torch.device("cpu")) == 1
