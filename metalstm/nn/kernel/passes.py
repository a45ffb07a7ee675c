"""The four sweeps of an LSTM layer through time, in plain torch: forwards, backwards, and the tangents of both.

A sweep runs all time steps of all groups and writes into buffers that the caller made. Legend: G groups (a task and a
direction, each with weights of its own), S time steps, B examples, F features, H hidden. Sequences are [G, S, B, ...],
so that a time step is a view; `h` and `c` are [G, S + 1, B, H], and slot 0 is the state before the first step. Gates
lie side by side in the order i, f, g, o.

`sweeps.c` has the same four, fused, for float32 on a CPU; `metalstm.nn.kernel.compiled` chooses.

Sequences may end early: `lengths` [G, B] holds how many steps are real. A step beyond the end forgets nothing, takes
nothing in and shows nothing (i = 0, f = 1, o = 0), so that c is carried to the last slot, h is zero, and every
derivative there vanishes without another word in the equations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from metalstm.nn.kernel.cells import backward_cell, forward_cell, tangent_backward_cell, tangent_forward_cell


class Sweeps(NamedTuple):
    """A way to run the four sweeps; all arguments go by name."""

    forward: Callable[..., None]
    backward: Callable[..., None]
    tangent_forward: Callable[..., None]
    tangent_backward: Callable[..., None]


def plain_sweeps(precision: torch.dtype | None = None) -> Sweeps:
    """Return the sweeps of this file.

    Args:
        precision: what the operands and results of matrix products are rounded to; all else keeps the inputs'
            precision. None: not rounded.
    """
    return Sweeps(
        *(partial(sweep, precision=precision) for sweep in (forward, backward, tangent_forward, tangent_backward))
    )


def forward(
    *,
    inputs: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    bias: Tensor,
    lengths: Tensor | None,
    gates: Tensor,
    h: Tensor,
    c: Tensor,
    precision: torch.dtype | None,
) -> None:
    """Run the recurrence: z_s = x_s W_x' + b + h_{s-1} W_h', then `cells.forward_cell`.

    Args:
        inputs: [G, S, B, F]; finite beyond the lengths.
        w_x, w_h, bias: [G, 4H, F], [G, 4H, H], [G, 4H].
        lengths: [G, B], or None: S everywhere.
        gates: [G, S, B, 4H]; receives the activations.
        h, c: [G, S + 1, B, H]; slot 0 is given, the others receive the states.
        precision: see `plain_sweeps`.
    """
    gates.copy_(project(inputs, w_x, precision) + bias[:, None, None])
    if lengths is not None:
        rest_beyond(lengths, gates)
    for s in range(gates.shape[1]):
        forward_cell(multiply(h[:, s], w_h.mT, precision), c[:, s], gates[:, s], c[:, s + 1], h[:, s + 1])


def backward(
    *,
    gates: Tensor,
    c: Tensor,
    w_h: Tensor,
    lengths: Tensor | None,
    steps: tuple[int, int],
    to_start: bool,
    last: bool,
    d_states: Tensor | None,
    d_h: Tensor | None,
    d_c_after: Tensor | None,
    d_z: Tensor,
    arriving: Tensor,
    d_c: Tensor,
    precision: torch.dtype | None,
) -> None:
    """Back-propagation through time: dh_{s-1} = dz_s W_h, then `cells.backward_cell`.

    Args:
        gates, c, w_h, lengths: as in `forward`, after it.
        steps: the first step and the one after the last, to go through backwards; all steps are gone through in pieces.
        to_start: whether `arriving` is wanted before step 0.
        last: d_states is that of the last states alone.
        d_states: the states' own derivative, [G, S, B, H], or [G, B, H] if `last`; what lies beyond the lengths is not
            looked at. None: zero.
        d_h, d_c_after: [G, S, B, H]; receive the whole derivative with respect to h of each step, and what flows back
            into its C from later steps. None: not kept.
        d_z: [G, Z, B, 4H]; receives the derivative with respect to the gates' inputs, that of step s in slot s % Z.
        arriving, d_c: [G, B, H]; hold what later steps bring to h and c of the last of these steps, receive what these
            bring to the step before the first.
        precision: see `plain_sweeps`.
    """
    for s in reversed(range(*steps)):
        slot = s % d_z.shape[1]
        arriving += own_part(d_states, s, last, lengths, gates.shape[1])
        if d_h is not None and d_c_after is not None:
            d_h[:, s], d_c_after[:, s] = arriving, d_c
        backward_cell(gates[:, s], c[:, s + 1], c[:, s], arriving, d_c, d_z[:, slot])
        if s > 0 or to_start:
            arriving.copy_(multiply(d_z[:, slot], w_h, precision))


def tangent_forward(
    *,
    inputs: Tensor,
    v_inputs: Tensor | None,
    w_x: Tensor,
    v_x: Tensor,
    w_h: Tensor,
    v_h: Tensor,
    v_bias: Tensor,
    gates: Tensor,
    h: Tensor,
    c: Tensor,
    gates_dot: Tensor,
    h_dot: Tensor,
    c_dot: Tensor,
    precision: torch.dtype | None,
) -> None:
    """Compute the tangent of `forward` where inputs and weights move in the direction v.

    Args:
        inputs, w_x, w_h, gates, h, c: as in `forward`, after it.
        v_inputs: like inputs; zero beyond the lengths; None: zero.
        v_x, v_h, v_bias: like the weights.
        gates_dot: [G, S, B, 4H]; receives the activations' tangents.
        h_dot, c_dot: [G, S + 1, B, H]; slot 0 is given, the others receive the states' tangents.
        precision: see `plain_sweeps`.
    """
    from_inputs = project(inputs, v_x, precision) + project(h[:, :-1], v_h, precision) + v_bias[:, None, None]
    if v_inputs is not None:
        from_inputs += project(v_inputs, w_x, precision)
    gates_dot.copy_(from_inputs)
    for s in range(gates.shape[1]):
        tangent_forward_cell(
            multiply(h_dot[:, s], w_h.mT, precision),
            *(gates[:, s], c[:, s + 1], c[:, s], c_dot[:, s], gates_dot[:, s], c_dot[:, s + 1], h_dot[:, s + 1]),
        )


def tangent_backward(
    *,
    gates: Tensor,
    c: Tensor,
    w_h: Tensor,
    v_h: Tensor,
    lengths: Tensor | None,
    steps: tuple[int, int],
    to_start: bool,
    last: bool,
    gates_dot: Tensor,
    c_dot: Tensor,
    d_z: Tensor,
    d_h: Tensor,
    d_c_after: Tensor,
    d_states_dot: Tensor | None,
    d_z_dot: Tensor,
    arriving_dot: Tensor,
    d_c_dot: Tensor,
    precision: torch.dtype | None,
) -> None:
    """Compute the tangent of `backward`, which comes after those of `forward` and of the loss.

    Args:
        gates, c, w_h, lengths, steps, to_start, last, d_h, d_c_after: as in `backward`, after it.
        v_h, gates_dot, c_dot: as in `tangent_forward`, after it.
        d_z: [G, S, B, 4H], of all steps.
        d_states_dot: the tangent of d_states: the curvature of the loss. None: zero.
        d_z_dot: [G, Z, B, 4H]; receives the tangent of d_z, that of step s in slot s % Z.
        arriving_dot, d_c_dot: the tangents of arriving and d_c, as they go through `backward`.
        precision: see `plain_sweeps`.
    """
    for s in reversed(range(*steps)):
        slot = s % d_z_dot.shape[1]
        arriving_dot += own_part(d_states_dot, s, last, lengths, gates.shape[1])
        tangent_backward_cell(
            *(gates[:, s], c[:, s + 1], c[:, s], gates_dot[:, s], c_dot[:, s + 1], c_dot[:, s]),
            *(d_h[:, s], d_c_after[:, s], arriving_dot, d_c_dot, d_z_dot[:, slot]),
        )
        if s > 0 or to_start:
            arriving_dot.copy_(multiply(d_z[:, s], v_h, precision) + multiply(d_z_dot[:, slot], w_h, precision))


def own_part(d_states: Tensor | None, s: int, last: bool, lengths: Tensor | None, steps: int) -> Tensor | float:
    """Return what the states' own derivative brings to step s, [G, B, H]."""
    if d_states is None:
        return 0.0
    if not last:
        return d_states[:, s] if lengths is None else torch.where((lengths > s).unsqueeze(-1), d_states[:, s], 0)
    if lengths is None:
        return d_states if s == steps - 1 else 0.0
    return torch.where((lengths == s + 1).unsqueeze(-1), d_states, 0)


def rest_beyond(lengths: Tensor, gates: Tensor) -> None:
    """Set the gates' inputs [G, S, B, 4H] of the steps beyond the end to what keeps c and shows nothing."""
    i, f, g, o = gates.chunk(4, dim=-1)
    beyond = padding(lengths, gates.shape[1])
    for gate, resting in ((i, -torch.inf), (f, torch.inf), (g, 0.0), (o, -torch.inf)):
        gate.masked_fill_(beyond, resting)


def padding(lengths: Tensor, steps: int) -> Tensor:
    """Which steps lie beyond the end: [G, S, B, 1] for lengths [G, B]."""
    return (torch.arange(steps, device=lengths.device).unsqueeze(1) >= lengths.unsqueeze(1)).unsqueeze(-1)


def multiply(left: Tensor, right: Tensor, precision: torch.dtype | None) -> Tensor:
    """Return the product [G, M, K] times [G, K, N] as a tensor like `left`, rounded to `precision` on the way."""
    if precision is None:
        return torch.bmm(left, right)
    return torch.bmm(left.to(precision), right.to(precision)).to(left.dtype)


def project(sequences: Tensor, weight: Tensor, precision: torch.dtype | None) -> Tensor:
    """[G, S, B, K] times [G, L, K] transposed, for all steps at once: [G, S, B, L]."""
    groups, steps, examples, _ = sequences.shape
    return multiply(sequences.flatten(1, 2), weight.mT, precision).view(groups, steps, examples, -1)
