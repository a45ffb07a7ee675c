"""The memory learner, against a `torch.nn.LSTM` that reads task by task, example by example and query by query."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metalstm.learners.inner_loop.adaptation import read_by_all
from metalstm.learners.memory import Memory, Reading
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import Examples, TaskBatch
from support.learners import LOSSES, OUTPUTS, assert_slope, each_kind, features_of, gradient, make_tasks
from support.tensors import difference, randomise

FEATURES, WIDTH, HIDDEN = 4, 5, 6

# Pooled, no example comes after another that its label could stand beside.
each_reading = pytest.mark.parametrize(
    ("support", "labels"), [("sequential", "joined"), ("sequential", "offset"), ("pooled", "joined")]
)
each_read = pytest.mark.parametrize("read", ["state", "content"])
each_layers = pytest.mark.parametrize("layers", [1, 2], ids=["1layer", "2layers"])
each_passes = pytest.mark.parametrize("passes", [1, 3], ids=["1pass", "3passes"])
pytestmark = pytest.mark.usefixtures("in_float64")


def memory(
    kind: str = "classification", support: str = "pooled", labels: str = "joined", read: str = "content",
    layers: int = 1, passes: int = 1,
) -> Memory:  # fmt: skip
    """A learner in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    encoder = LSTMModel(ModelShape(FEATURES, 0, hidden_size=WIDTH), generator)
    learner = Memory(encoder, kind, OUTPUTS[kind], HIDDEN, layers, Reading(support, labels, read, passes), generator)
    randomise(learner, 0.7, generator)
    with torch.no_grad():
        if read == "content":
            learner.sharpness.copy_(3)
    return learner


def random_tasks(kind: str = "classification", ragged: bool = False) -> TaskBatch:
    """Tasks of 5 queries, every task's examples in an order of its own."""
    generator = torch.Generator().manual_seed(2)

    def shuffled(examples: Examples, count: int) -> Examples:
        order = torch.rand(examples.targets.shape[:2], generator=generator).argsort(dim=1)[:, :count]
        task = torch.arange(len(order)).unsqueeze(1)
        lengths = None if examples.lengths is None else examples.lengths[task, order]
        return Examples(examples.inputs[task, order], examples.targets[task, order], lengths)

    tasks = make_tasks(kind, ragged=ragged)
    made = TaskBatch(shuffled(tasks.support, 99), shuffled(tasks.query, 5))
    assert not torch.equal(made.support.targets[0], made.support.targets[1])
    assert ragged or all(part.inputs.unique().numel() == part.inputs.numel() for part in made[:2])
    return made


def reader(learner: Memory) -> Callable[..., tuple[Tensor, tuple[Tensor, Tensor]]]:
    """An `nn.LSTM` of the learner's weights: a token and a state, to the output and the state after it."""
    lstm = nn.LSTM(WIDTH + learner.outputs, HIDDEN, learner.lstm.layers)
    weights = {}
    for layer in range(learner.lstm.layers):
        bias = learner.lstm.get_parameter(f"bias_l{layer}")
        weights[f"weight_ih_l{layer}"] = learner.lstm.get_parameter(f"w_x_l{layer}")
        weights[f"weight_hh_l{layer}"] = learner.lstm.get_parameter(f"w_h_l{layer}")
        weights[f"bias_ih_l{layer}"], weights[f"bias_hh_l{layer}"] = bias, torch.zeros_like(bias)

    def read(token: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, after = torch.func.functional_call(lstm, weights, (token.unsqueeze(0), state))
        return output[0], after

    return read


def answers(learner: Memory, support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """One task: features [K, W] and labels [K, O] in the order they are read in, to predictions [Q, O]."""
    read = reader(learner)
    nothing = torch.zeros(learner.outputs)
    state = (torch.zeros(learner.lstm.layers, HIDDEN), torch.zeros(learner.lstm.layers, HIDDEN))
    outputs: list[Tensor] = []
    beside_query = nothing
    for _ in range(learner.reading.passes if len(support) else 0):
        outputs, ends = [], []
        label_before = nothing
        for example, label in zip(support, labels, strict=True):
            beside = label if learner.reading.labels == "joined" else label_before
            output, end = read(torch.cat((example, beside)), state)
            if learner.reading.support == "sequential":
                state = end
            outputs.append(output)
            ends.append(end)
            label_before = label
        if learner.reading.support == "pooled":
            state = tuple(sum(of_examples) / len(support) for of_examples in zip(*ends, strict=True))
        if learner.reading.labels == "offset":
            beside_query = label_before
    predictions = []
    for query in queries:
        adapted, _ = read(torch.cat((query, beside_query)), state)
        if learner.reading.read == "content":
            adapted = torch.cat((adapted, recalled(learner, support, labels, outputs, query)))
        predictions.append(learner.head_weight @ adapted + learner.head_bias)
    return torch.stack(predictions)


def recalled(learner: Memory, support: Tensor, labels: Tensor, outputs: list[Tensor], query: Tensor) -> Tensor:
    """The state after each example and its label, weighted by the softmax of sharpened cosine similarities."""
    if len(support) == 0:
        return torch.zeros(HIDDEN + learner.outputs)
    asked = learner.key @ query
    scores = []
    for example in support:
        key = learner.key @ example
        scores.append((learner.sharpness * (asked @ key) / (asked @ asked).sqrt() / (key @ key).sqrt()).exp())
    return sum(
        score / sum(scores) * torch.cat((output, label))
        for score, output, label in zip(scores, outputs, labels, strict=True)
    )


def task_answers(learner: Memory, tasks: TaskBatch, task: int, places: list[int]) -> Tensor:
    """A task's predictions from the support examples at these places, in this order."""
    support = features_of(learner.encoder, tasks.support, task)[places]
    targets = tasks.support.targets[task][places]
    labels = torch.eye(3)[targets] if learner.kind == "classification" else targets
    return answers(learner, support, labels, features_of(learner.encoder, tasks.query, task))


def meta_loss(learner: Memory, tasks: TaskBatch, seed: int = 4) -> Tensor:
    """The mean over tasks of the query loss; a sequential reading's order is drawn from the seed."""
    count = tasks.support.targets.shape[1]
    order = list(range(count))
    if learner.reading.support == "sequential":
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
        assert order != sorted(order)
    losses = []
    for task in range(tasks.tasks):
        predictions = task_answers(learner, tasks, task, order)
        losses.append(LOSSES[learner.kind](predictions, tasks.query.targets[task]))
    return torch.stack(losses).mean()


@each_kind
@each_reading
@each_read
@each_layers
@each_passes
def test_equals_torch_lstm(
    kind: str, support: str, labels: str, read: str, layers: int, passes: int,
) -> None:  # fmt: skip
    tasks = random_tasks(kind)
    learner = memory(kind, support, labels, read, layers, passes)
    outcome = learner.meta_loss(tasks, torch.Generator().manual_seed(4))
    objective = meta_loss(learner, tasks)
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    assert difference(gradient(learner, outcome.loss).values(), gradient(learner, objective).values()) < 1e-9


def test_equals_torch_lstm_on_ragged_sequences() -> None:
    tasks = random_tasks(ragged=True)
    learner = memory()
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, meta_loss(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9


@each_reading
@each_read
def test_finite_differences(support: str, labels: str, read: str) -> None:
    tasks = random_tasks()
    learner = memory(support=support, labels=labels, read=read, passes=2)
    assert_slope(learner, lambda: learner.meta_loss(tasks).loss)


def first_shots(learner: Memory, targets: Tensor, shots: int) -> list[int]:
    """The places of the first examples of each class, in the order that they stand in."""
    if learner.kind == "regression":
        return list(range(shots))
    seen = [0] * learner.outputs
    places = []
    for place, label in enumerate(targets.tolist()):
        if seen[label] < shots:
            places.append(place)
        seen[label] += 1
    return places


@each_kind
@each_reading
@each_read
@each_passes
def test_a_step_of_the_curve_is_one_more_shot(kind: str, support: str, labels: str, read: str, passes: int) -> None:
    tasks = random_tasks(kind)
    learner = memory(kind, support, labels, read, passes=passes)
    shots = [0, 1, 2]
    curve = learner.adaptation_curve(tasks, shots)
    for task in range(tasks.tasks):
        want = []
        for count in shots:
            places = first_shots(learner, tasks.support.targets[task], count)
            if support == "sequential":
                order = learner.order(len(places), None)
                assert sorted(order.tolist()) == list(range(len(places)))
                places = [places[place] for place in order]
            want.append(task_answers(learner, tasks, task, places).detach())
        assert difference([curve[0, task]], [want[0]]) < 1e-12
        assert difference(curve[1:, task] - curve[0, task], torch.stack(want)[1:] - want[0]) < 1e-9


def test_the_first_shots_of_every_class_are_found_wherever_they_stand() -> None:
    learner = memory()
    targets = torch.tensor([[2, 2, 0, 2, 1, 0, 1, 1, 0], [1, 0, 0, 0, 2, 1, 1, 2, 2]])
    assert learner.first_shots(targets, 0).shape == (2, 0)
    assert learner.first_shots(targets, 1).tolist() == [[0, 2, 4], [0, 1, 4]]
    assert learner.first_shots(targets, 2).tolist() == [[0, 1, 2, 4, 5, 6], [0, 1, 2, 4, 5, 7]]
    assert learner.first_shots(targets, 3).tolist() == [list(range(9))] * 2
    numbers = torch.zeros(2, 4, 2)
    assert memory("regression").first_shots(numbers, 3).tolist() == [[0, 1, 2]] * 2
    with pytest.raises(ValueError, match="5 shots are to be read"):
        memory("regression").first_shots(numbers, 5)


@each_kind
@each_read
@pytest.mark.parametrize("labels", ["joined", "offset"])
@torch.no_grad()
def test_sets_read_one_after_another_are_one_sequence(kind: str, labels: str, read: str) -> None:
    tasks, later = random_tasks(kind), random_tasks(kind)
    later = later._replace(support=later.support._replace(inputs=later.support.inputs.flip(3)))
    learner = memory(kind, support="sequential", labels=labels, read=read)
    count = tasks.support.targets.shape[1]
    adapted = None
    for support in (tasks.support, later.support):
        adapted = learner.read(read_by_all(learner.encoder, support), support.targets, adapted)
    found = learner.predict(adapted, learner.encode(tasks.query))
    order = learner.order(count, None).tolist()
    for task in range(tasks.tasks):
        features = torch.cat([features_of(learner.encoder, of.support, task)[order] for of in (tasks, later)])
        targets = torch.cat([of.support.targets[task][order] for of in (tasks, later)])
        as_read = torch.eye(3)[targets] if kind == "classification" else targets
        want = answers(learner, features, as_read, features_of(learner.encoder, tasks.query, task))
        torch.testing.assert_close(found[task], want)


@each_kind
@each_read
def test_without_shots_nothing_is_known_of_the_task(kind: str, read: str) -> None:
    tasks = random_tasks(kind)
    other = tasks._replace(support=Examples(tasks.support.inputs + 1, tasks.support.targets.flip(0, 1)))
    for support in ("sequential", "pooled"):
        learner = memory(kind, support, read=read)
        (blank,), (same,) = (learner.adaptation_curve(of, [0]) for of in (tasks, other))
        assert torch.equal(blank, same)
        assert blank.std(dim=1).min() > 1e-3  # the queries are read


def test_a_sequences_order_is_drawn_anew_in_training_and_fixed_in_testing() -> None:
    tasks = random_tasks()
    learner = memory(support="sequential")
    stream = torch.Generator().manual_seed(4)
    losses = [learner.meta_loss(tasks, stream).loss.item() for _ in range(4)]
    assert len(set(losses)) == 4
    assert learner.meta_loss(tasks).loss.item() == learner.meta_loss(tasks).loss.item()
    pooled = memory(support="pooled")
    losses = [pooled.meta_loss(tasks, stream).loss.item() for _ in range(2)]
    assert losses[0] == losses[1]
