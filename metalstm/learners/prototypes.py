"""Class means of features, and how near a query is to them. Legend: T tasks, B examples, W features."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional


def prototypes(features: Tensor, labels: Tensor, ways: int) -> Tensor:
    """Return the mean of each class's features: [T, B, W] and labels [T, B] to [T, ways, W] (Snell et al. 2017)."""
    members = functional.one_hot(labels, ways).to(features.dtype)  # [T, B, ways]
    counts = members.sum(dim=1).clamp(min=1).unsqueeze(-1)
    return members.mT @ features / counts


def distance_scale(width: int, scale: float | None = None) -> float:
    """Return what squared distances are multiplied by, before a softmax: `scale` / W; None: sqrt(W) / W.

    Features that a layer norm has left have squared distances of about W, too far apart for a softmax that is to learn;
    Snell et al. 2017 take them as they are, of features of other sizes, Oreshkin et al. 2018 scale them.
    """
    return (math.sqrt(width) if scale is None else scale) / width
