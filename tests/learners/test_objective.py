"""The loss and the metric of each task, against torch's own, and examples worked out by hand."""

import pytest
import torch
from torch.nn import functional

from metalstm.learners.objective import metric_name, task_loss, task_metric

OUTPUTS = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.randint(4, (3, 5), generator=torch.Generator().manual_seed(1))
VALUES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_classification_loss_is_each_tasks_cross_entropy() -> None:
    losses = task_loss("classification", OUTPUTS, LABELS)
    want = torch.stack([functional.cross_entropy(OUTPUTS[task], LABELS[task]) for task in range(3)])
    assert losses.unique().numel() == 3
    torch.testing.assert_close(losses, want)


def test_regression_loss_is_each_tasks_mean_squared_error() -> None:
    losses = task_loss("regression", OUTPUTS, VALUES)
    want = torch.stack([functional.mse_loss(OUTPUTS[task], VALUES[task]) for task in range(3)])
    assert losses.unique().numel() == 3
    torch.testing.assert_close(losses, want)


def test_labels_may_be_a_view() -> None:
    one_task = LABELS[:1].expand(3, 5)
    strided = LABELS.T.contiguous().T
    want = task_loss("classification", OUTPUTS, LABELS)
    torch.testing.assert_close(task_loss("classification", OUTPUTS, one_task)[0], want[0])
    torch.testing.assert_close(task_loss("classification", OUTPUTS, strided), want)


def test_a_tasks_loss_depends_on_its_own_outputs() -> None:
    outputs = OUTPUTS.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(task_loss("classification", outputs, LABELS)[1], outputs)
    assert gradient.flatten(1).any(dim=1).tolist() == [False, True, False]
    torch.testing.assert_close(gradient[1], (OUTPUTS[1].softmax(-1) - functional.one_hot(LABELS[1], 4)) / 5)


def test_accuracy_is_the_fraction_of_right_answers() -> None:
    outputs = functional.one_hot(torch.tensor([[0, 1, 2, 3], [1, 1, 1, 1]]), 4).double()
    labels = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    assert task_metric("classification", outputs, labels).tolist() == [1.0, 0.25]
    assert task_metric("classification", -outputs, labels).tolist()[0] == 0.0


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_whole_curve_at_once(kind: str) -> None:
    targets = LABELS if kind == "classification" else VALUES
    curve = torch.stack([OUTPUTS, OUTPUTS.flip(1)])
    metrics = task_metric(kind, curve, targets)
    assert metrics.shape == (2, 3)
    for point, predictions in zip(metrics, curve, strict=True):
        torch.testing.assert_close(point, task_metric(kind, predictions, targets))


def test_the_metric_of_regression_is_its_loss() -> None:
    torch.testing.assert_close(task_metric("regression", OUTPUTS, VALUES), task_loss("regression", OUTPUTS, VALUES))


def test_names() -> None:
    assert (metric_name("classification"), metric_name("regression")) == ("accuracy", "mse")
