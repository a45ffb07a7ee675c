"""Inputs that are tokens: an embedding is one more weight, which adapts as all others do."""

from __future__ import annotations

import math

import pytest
import torch

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML, Computing
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.sequences import embedded
from metalstm.nn.torch_lstm import PlainModel
from metalstm.tasks.examples import Examples, TaskBatch
from support.tensors import difference

TASKS, WAYS, STEPS, AT_MOST, VOCABULARY = 3, 3, 5, 4, 11

pytestmark = pytest.mark.usefixtures("in_float64")


@pytest.fixture(scope="module")
def tasks() -> TaskBatch:
    """Steps of no token, of one and of several; sequences that end early."""
    generator = torch.Generator().manual_seed(3)

    def examples(per_class: int) -> Examples:
        shape = (TASKS, WAYS * per_class, STEPS)
        tokens = torch.randint(1, VOCABULARY, (*shape, AT_MOST), generator=generator)
        held = torch.randint(AT_MOST + 1, shape, generator=generator)
        tokens = tokens.masked_fill(torch.arange(AT_MOST) >= held.unsqueeze(-1), 0)
        lengths = torch.randint(1, STEPS + 1, shape[:2], generator=generator)
        return Examples(tokens, torch.arange(WAYS).repeat_interleave(per_class).expand(TASKS, -1), lengths)

    return TaskBatch(examples(2), examples(3))


def model(directions: int = 2, layers: int = 1, skip: bool = False, stack: int = 1) -> LSTMModel:
    shape = ModelShape(*(6, WAYS, 5, layers, directions), vocabulary=VOCABULARY, skip=skip, stack=stack)
    made = LSTMModel(shape, torch.Generator().manual_seed(1))
    with torch.no_grad():
        made.head_weight += torch.randn(made.head_weight.shape, generator=torch.Generator().manual_seed(2))
    return made


def test_the_mean_of_a_steps_tokens() -> None:
    table = torch.arange(2 * 5 * 3.0).view(2, 5, 3)
    tokens = torch.tensor([[[[1, 4, 0]]], [[[0, 2, 0]]], [[[3, 3, 1]]], [[[0, 0, 0]]]])  # of two tasks, two directions
    found = embedded(tokens, table)
    first, second = table
    want = torch.stack([(first[1] + first[4]) / 2, first[2], (2 * second[3] + second[1]) / 3, torch.zeros(3)])
    torch.testing.assert_close(found.view(4, 3), math.sqrt(3) * want)


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("stack", [1, 2])
def test_equals_torchs_embedding_and_lstm(
    directions: int, layers: int, skip: bool, stack: int, tasks: TaskBatch
) -> None:
    ours = model(directions, layers, skip, stack)
    plain = PlainModel.of(ours.shape, dict(ours.named_parameters()))
    assert plain.embedding is not None
    for number in range(TASKS):
        task = tasks.task(number)
        got = ours(task.query.inputs, task.query.lengths)
        want = plain(task.query.inputs[0], task.query.lengths[0])
        assert difference([got[0]], [want]) < 1e-12


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_engines_agree(order: str, inner_steps: int, tasks: TaskBatch) -> None:
    found = []
    for engine in ("batched", "higher"):
        computing = Computing(engine=engine)
        learner = MAML(
            WholeModel(model()), "classification", inner_steps, 0.5, "per_parameter_per_step", order, computing
        )
        parameters = dict(learner.named_parameters())
        gradients = torch.autograd.grad(learner.meta_loss(tasks).loss, list(parameters.values()))
        found.append(dict(zip(parameters, gradients, strict=True)))
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        if not name.endswith("embedding"):
            assert gradient.any(), name
        assert difference([gradient], [found[1][name]]) < 1e-9, name
    seen = {token for part in tasks[:2] for token in part.inputs.unique().tolist()} - {0}
    moved = found[0]["model.embedding"].any(dim=1).nonzero().flatten().tolist()
    assert set(moved) <= seen
    assert len(moved) > VOCABULARY / 2


def test_the_embedding_adapts(tasks: TaskBatch) -> None:
    learner = MAML(WholeModel(model()), "classification", 2, 0.5)
    *_, adapted = learner.engine.adapt(tasks.support, 2, "none")
    weights = adapted.weights["embedding"]
    assert weights.shape == (TASKS, VOCABULARY, 6)
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0, 0], learner.model.embedding[0])  # of no token


def test_embeddings_start_as_long_as_their_tokens_are_rare() -> None:
    rarity = torch.linspace(0.2, 2, 50)
    shape = ModelShape(400, WAYS, hidden_size=5, vocabulary=50)
    plain, scaled = (
        LSTMModel(each, torch.Generator().manual_seed(3)) for each in (shape, shape._replace(rarity=rarity))
    )
    torch.testing.assert_close(plain.embedding.norm(dim=1), torch.ones(50), rtol=0, atol=0.15)
    torch.testing.assert_close(scaled.embedding, plain.embedding * rarity.unsqueeze(1))
