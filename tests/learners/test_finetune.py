"""Pre-training and fine-tuning, against plain modules that `torch.optim` trains task by task."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.finetune import FineTune
from metalstm.learners.inner_loop.adaptation import HeadOnly, WholeModel
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.torch_lstm import PlainModel, to_plain
from metalstm.tasks.examples import TaskBatch
from support.learners import LOSSES, each_kind, make_tasks
from support.tensors import difference, randomise

WAYS, CLASSES = 3, 7
OUTPUTS = {"classification": CLASSES, "regression": 2}
RATES = {"sgd": 0.3, "adam": 0.02}
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
GLOBAL = torch.tensor([[4, 0, 6], [2, 4, 1], [5, 3, 0]])  # which class a task's label stands for

each_optimizer = pytest.mark.parametrize("optimizer", ["sgd", "adam"])
pytestmark = pytest.mark.usefixtures("in_float64")


def finetune(
    kind: str = "classification",
    adapts: str = "head",
    optimizer: str = "sgd",
    rate: float | None = 0.3,
    same_outputs: bool | None = None,
) -> FineTune:
    """A learner in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    same = kind == "regression" if same_outputs is None else same_outputs
    model = LSTMModel(ModelShape(4, WAYS if same_outputs else OUTPUTS[kind], hidden_size=6), generator)
    randomise(model, 0.5, generator)
    ways = WAYS if kind == "classification" else 2
    adaptable = (HeadOnly if adapts == "head" else WholeModel)(model, None if same else ways)
    return FineTune(adaptable, kind, 5, optimizer, rate, same)


def named_tasks(kind: str = "classification", ragged: bool = False) -> TaskBatch:
    """Tasks whose labels stand for other classes in each of them."""
    tasks = make_tasks(kind, ragged=ragged)
    assert ragged or all(part.inputs.unique().numel() == part.inputs.numel() for part in tasks[:2])
    return tasks._replace(classes=GLOBAL) if kind == "classification" else tasks


def pretraining(learner: FineTune, plain: PlainModel, tasks: TaskBatch) -> list[Tensor]:
    """Each task's loss of the one classifier, example by example."""
    losses = []
    for task in range(tasks.tasks):
        total = torch.zeros(())
        for part in tasks[:2]:
            for place, sequence in enumerate(part.inputs[task]):
                real = sequence if part.lengths is None else sequence[: int(part.lengths[task, place])]
                outputs, target = plain(real.unsqueeze(0)), part.targets[task, place]
                if learner.kind == "classification":
                    target = GLOBAL[task, target]
                total = total + LOSSES[learner.kind](outputs, target.unsqueeze(0))
        losses.append(total / sum(part.targets.shape[1] for part in tasks[:2]))
    return losses


@each_kind
@pytest.mark.parametrize("ragged", [False, True], ids=["one_length", "ragged"])
@pytest.mark.parametrize("adapts", ["head", "all"])
def test_pretraining_is_of_one_model_for_all_classes(kind: str, ragged: bool, adapts: str) -> None:
    tasks = named_tasks(kind, ragged)
    learner = finetune(kind, adapts)
    outcome = learner.meta_loss(tasks)
    plain = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
    losses = pretraining(learner, plain, tasks)
    torch.testing.assert_close(outcome.metrics["loss"], torch.stack(losses).detach(), rtol=1e-10, atol=0)
    objective = torch.stack(losses).mean()
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-10, atol=0)
    names = dict(plain.named_parameters())
    want = torch.autograd.grad(objective, list(names.values()))
    weights = dict(learner.model.named_parameters())
    found = torch.autograd.grad(outcome.loss, list(weights.values()))
    got = to_plain(learner.model.shape, dict(zip(weights, found, strict=True)))
    assert difference([got[name] for name in names], want) < 1e-9


def test_the_accuracy_of_pretraining_is_over_all_classes() -> None:
    tasks = named_tasks()
    learner = finetune()
    plain = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
    shares = []
    for task in range(tasks.tasks):
        inputs, targets = (torch.cat([getattr(part, of)[task] for part in tasks[:2]]) for of in ("inputs", "targets"))
        shares.append((plain(inputs).argmax(dim=1) == GLOBAL[task][targets]).double().mean().item())
    assert learner.meta_loss(tasks).metrics["accuracy"].tolist() == pytest.approx(shares)


def with_new_head(learner: FineTune) -> PlainModel:
    """A copy of the pre-trained model; in classification its head is a new one for a task's classes, at zero."""
    plain = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
    if learner.kind == "classification":
        plain.head = nn.Linear(6, WAYS)
        nn.init.zeros_(plain.head.weight)
        nn.init.zeros_(plain.head.bias)
    return plain


@each_kind
@each_optimizer
@pytest.mark.parametrize("adapts", ["head", "all"])
@pytest.mark.parametrize("ragged", [False, True], ids=["one_length", "ragged"])
def test_fine_tuning_is_plain_training(kind: str, optimizer: str, adapts: str, ragged: bool) -> None:
    tasks = named_tasks(kind, ragged)
    learner = finetune(kind, adapts, optimizer, RATES[optimizer])
    at = [0, 1, 4]
    curve = learner.adaptation_curve(tasks, at)
    for task in range(tasks.tasks):
        support, query = (
            (part.inputs[task].nan_to_num(9), None if part.lengths is None else part.lengths[task])
            for part in tasks[:2]
        )
        plain = with_new_head(learner)
        trained = plain.head.parameters() if adapts == "head" else plain.parameters()
        stepper = OPTIMIZERS[optimizer](trained, lr=RATES[optimizer])
        answers = []
        for _ in range(max(at) + 1):
            answers.append(plain(*query).detach())
            stepper.zero_grad()
            LOSSES[kind](plain(*support), tasks.support.targets[task]).backward()
            stepper.step()
        want = torch.stack([answers[step] for step in at])
        assert curve[:, task].shape == want.shape
        if kind == "classification":
            assert not curve[0, task].any()  # a new head prefers no class
        else:
            assert difference([curve[0, task]], [want[0]]) < 1e-10
        assert difference(curve[1:, task] - curve[0, task], want[1:] - want[0]) < 1e-9


@each_optimizer
def test_a_rate_that_is_not_picked_yet(optimizer: str) -> None:
    tasks = named_tasks()
    usual = {"sgd": 0.1, "adam": 0.001}[optimizer]
    got, want = (finetune(optimizer=optimizer, rate=rate).adaptation_curve(tasks, [3]) for rate in (None, usual))
    assert want.norm() > 1e-3
    assert torch.equal(got, want)


@each_kind
@pytest.mark.parametrize("adapts", ["head", "all"])
def test_fine_tuning_leaves_the_pretrained_model_as_it_is(kind: str, adapts: str) -> None:
    tasks = named_tasks(kind)
    learner = finetune(kind, adapts)
    before = {name: weight.clone() for name, weight in learner.named_parameters()}
    learner.adaptation_curve(tasks, [0, 3])
    for name, weight in learner.named_parameters():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


@pytest.mark.parametrize("adapts", ["head", "all"])
def test_labels_that_mean_the_same_in_all_tasks(adapts: str) -> None:
    """Trained on the labels as they are, and a task goes on from the head that was trained."""
    tasks = named_tasks()
    learner = finetune(adapts=adapts, same_outputs=True)
    assert learner.model.shape.outputs == WAYS
    examples = tasks.merged()
    plain = PlainModel.of(learner.model.shape, dict(learner.model.named_parameters()))
    want = torch.stack(
        [
            functional.cross_entropy(plain(inputs), targets)
            for inputs, targets in zip(examples.inputs, examples.targets, strict=True)
        ]
    )
    torch.testing.assert_close(learner.meta_loss(tasks).loss, want.mean())
    before, after = learner.adaptation_curve(tasks, [0, 2])
    for task in range(tasks.tasks):
        assert difference([before[task]], [plain(tasks.query.inputs[task]).detach()]) < 1e-12
    assert not torch.allclose(before, after)
