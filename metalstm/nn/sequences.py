"""Sequences, laid out otherwise: stacked, reversed, by columns, averaged, embedded.

Legend: T tasks, D directions, G groups (a task and a direction), B examples, S time steps, F features, V tokens that
there are, K tokens of a step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def mean_over_time(sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the mean of the real steps: [G, S, B, F] and their [G, B] lengths to [G, B, F]."""
    if lengths is None:
        return sequences.mean(dim=1)
    over = torch.arange(sequences.shape[1], device=sequences.device).unsqueeze(1) >= lengths.unsqueeze(1)  # [G, S, B]
    return sequences.masked_fill(over.unsqueeze(-1), 0).sum(dim=1) / lengths.unsqueeze(-1)


def stacked(sequences: Tensor, count: int, lengths: Tensor | None = None) -> Tensor:
    """Sequences [..., S, F] by `count` steps at a time, side by side; zeros after the end of each, [...] long.

    Returns:
        [..., S / count rounded up, count * F].
    """
    steps = sequences.shape[-2]
    if lengths is not None:
        over = torch.arange(steps, device=sequences.device) >= lengths.unsqueeze(-1)
        sequences = sequences.masked_fill(over.unsqueeze(-1), 0)
    whole = nn.functional.pad(sequences, (0, 0, 0, -steps % count))
    stacks: Tensor = whole.unflatten(-2, (-1, count)).flatten(-2)
    return stacks


def stacks_of(lengths: Tensor, count: int) -> Tensor:
    """How many stacks sequences of these lengths are."""
    return (lengths + count - 1).div(count, rounding_mode="floor")


def columns_of(rows: Tensor) -> Tensor:
    """Square images [..., S, F] by columns: the same shape, a step being a column from top to bottom.

    A step's F numbers are those of its S pixels, one after another: one of each, or three where they have colours.

    Raises:
        ValueError: F is no multiple of S.
    """
    steps, features = rows.shape[-2:]
    if features % steps:
        raise ValueError(f"{steps} steps of {features} numbers are no square images, which have columns")
    columns: Tensor = rows.unflatten(-1, (steps, -1)).transpose(-3, -2).flatten(-2)
    return columns


def embedded(tokens: Tensor, table: Tensor) -> Tensor:
    """Return the mean embedding of each step's tokens but 0, times the root of F; zero where there is none.

    Args:
        tokens: [T * D, S, B, K] int64, 0 <= token < V.
        table: [T, V, F], each task's embeddings.

    Returns:
        [T * D, S, B, F].
    """
    tasks, vocabulary, features = table.shape
    by_task = tokens.reshape(tasks, -1)
    first = vocabulary * torch.arange(tasks, device=tokens.device).unsqueeze(1)
    each = nn.functional.embedding(by_task + first, table.reshape(-1, features)).view(*tokens.shape, features)
    real = (tokens > 0).unsqueeze(-1)
    return math.sqrt(features) * (each * real).sum(dim=-2) / real.sum(dim=-2).clamp(min=1)


def backwards(sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """[G, S, B, F], each of its [G, B] real length, in reverse; what lies beyond the end stays there."""
    if lengths is None:
        return sequences.flip(1)
    step = torch.arange(sequences.shape[1], device=sequences.device).unsqueeze(1)  # [S, 1]
    ends = lengths.unsqueeze(1)  # [G, 1, B]
    source = torch.where(step < ends, ends - 1 - step, step)  # [G, S, B]
    return sequences.gather(1, source.unsqueeze(-1).expand_as(sequences))
