"""The loss that is minimised and the metric that is reported, task by task.

Legend: T tasks, B examples, O outputs.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional

Kind = Literal["classification", "regression"]


def task_loss(kind: Kind, outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy or mean squared error of each task, averaged over its examples: [T, B, O] to [T]."""
    if kind == "regression":
        return (outputs - targets).square().mean(dim=(1, 2))
    return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets).mean(1)


def metric_name(kind: Kind) -> str:
    return "accuracy" if kind == "classification" else "mse"


def task_metric(kind: Kind, outputs: Tensor, targets: Tensor) -> Tensor:
    """Accuracy (a fraction) or mean squared error of each task: [..., T, B, O] to [..., T]."""
    if kind == "regression":
        return (outputs - targets).square().mean(dim=(-2, -1))
    return (outputs.argmax(dim=-1) == targets).float().mean(dim=-1)


def task_metrics(kind: Kind, losses: Tensor, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Return what is written down of a meta-batch, by name, [T] each, from losses [T] and outputs [T, B, O]."""
    return {"loss": losses.detach(), metric_name(kind): task_metric(kind, outputs.detach(), targets)}


def is_better(kind: Kind, value: float, than: float) -> bool:
    """Higher accuracy, lower error; any number is better than NaN."""
    if than != than:
        return value == value
    return value > than if kind == "classification" else value < than
