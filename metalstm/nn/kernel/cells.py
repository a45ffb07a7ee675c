"""The pointwise parts of an LSTM step and of its first and second derivatives.

Each function works on one time step of all groups at once and writes its results into buffers, so that a compiler can
fuse it into a single pass over memory. Legend: G groups (a task and a direction), B examples, H hidden; a `gates`
tensor [G, B, 4H] holds the four gates i, f, g (the candidate C~) and o side by side, in `torch.nn.LSTM`'s order.
Dotted quantities (`_dot`) are directional derivatives (tangents) in the sense of Pearlmutter 1994.
"""

from __future__ import annotations

import torch
from torch import Tensor


def forward_cell(product: Tensor, c_before: Tensor, gates: Tensor, c: Tensor, h: Tensor) -> None:
    """One step: C = f C' + i C~ and h = o tanh(C).

    Args:
        product: [G, B, 4H], h' W_h.
        c_before: [G, B, H], C'.
        gates: [G, B, 4H]; holds x W_x + b, receives the activations sig(i), sig(f), tanh(g), sig(o).
        c, h: [G, B, H]; receive the new states.
    """
    i, f, g, o = (gates + product).chunk(4, dim=-1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    new_c = f * c_before + i * g
    c.copy_(new_c)
    h.copy_(o * new_c.tanh())
    gates.copy_(torch.cat((i, f, g, o), dim=-1))


def backward_cell(gates: Tensor, c: Tensor, c_before: Tensor, d_h: Tensor, d_c: Tensor, d_z: Tensor) -> None:
    """Compute the derivative of one step (back-propagation through time).

    Args:
        gates: [G, B, 4H], activations.
        c, c_before: [G, B, H], the cell state after and before the step.
        d_h: [G, B, H], the whole derivative with respect to h of this step.
        d_c: [G, B, H]; holds what flows back into C from later steps, receives what flows on to C'.
        d_z: [G, B, 4H]; receives the derivative with respect to the gates' inputs.
    """
    i, f, g, o = gates.chunk(4, dim=-1)
    tanh_c = c.tanh()
    whole = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_c.copy_(whole * f)
    d_i = whole * g * i * (1 - i)
    d_f = whole * c_before * f * (1 - f)
    d_g = whole * i * (1 - g * g)
    d_o = d_h * tanh_c * o * (1 - o)
    d_z.copy_(torch.cat((d_i, d_f, d_g, d_o), dim=-1))


def tangent_forward_cell(
    product: Tensor,
    gates: Tensor,
    c: Tensor,
    c_before: Tensor,
    c_dot_before: Tensor,
    gates_dot: Tensor,
    c_dot: Tensor,
    h_dot: Tensor,
) -> None:
    """Compute the tangent of one step.

    Args:
        product: [G, B, 4H], h_dot' W_h.
        gates, c, c_before: as in `backward_cell`.
        c_dot_before: [G, B, H], the tangent of C'.
        gates_dot: [G, B, 4H]; holds the rest of the tangent of the gates' inputs, receives the activations' tangents.
        c_dot, h_dot: [G, B, H]; receive the new states' tangents.
    """
    i, f, g, o = gates.chunk(4, dim=-1)
    z_i, z_f, z_g, z_o = (gates_dot + product).chunk(4, dim=-1)
    i_dot, f_dot, g_dot, o_dot = z_i * i * (1 - i), z_f * f * (1 - f), z_g * (1 - g * g), z_o * o * (1 - o)
    new_c_dot = f_dot * c_before + f * c_dot_before + i_dot * g + i * g_dot
    tanh_c = c.tanh()
    c_dot.copy_(new_c_dot)
    h_dot.copy_(o_dot * tanh_c + o * (1 - tanh_c * tanh_c) * new_c_dot)
    gates_dot.copy_(torch.cat((i_dot, f_dot, g_dot, o_dot), dim=-1))


def tangent_backward_cell(
    gates: Tensor,
    c: Tensor,
    c_before: Tensor,
    gates_dot: Tensor,
    c_dot: Tensor,
    c_dot_before: Tensor,
    d_h: Tensor,
    d_c_after: Tensor,
    d_h_dot: Tensor,
    d_c_dot: Tensor,
    d_z_dot: Tensor,
) -> None:
    """Compute the tangent of `backward_cell`.

    Args:
        gates, c, c_before: as in `backward_cell`.
        gates_dot, c_dot, c_dot_before: their tangents.
        d_h, d_c_after: [G, B, H], what `backward_cell` was given: the whole derivative with respect to h, and what
            flowed back into C from later steps.
        d_h_dot: [G, B, H], the tangent of d_h.
        d_c_dot: [G, B, H]; holds the tangent of d_c_after, receives the tangent of what flows on to C'.
        d_z_dot: [G, B, 4H]; receives the tangent of d_z.
    """
    i, f, g, o = gates.chunk(4, dim=-1)
    i_dot, f_dot, g_dot, o_dot = gates_dot.chunk(4, dim=-1)
    tanh_c = c.tanh()
    slope = 1 - tanh_c * tanh_c  # of tanh at C
    tanh_c_dot = slope * c_dot
    whole = d_c_after + d_h * o * slope
    whole_dot = d_c_dot + (d_h_dot * o + d_h * o_dot) * slope - 2 * d_h * o * tanh_c * tanh_c_dot
    d_c_dot.copy_(whole_dot * f + whole * f_dot)
    z_i = (whole_dot * g + whole * g_dot) * i * (1 - i) + whole * g * (1 - 2 * i) * i_dot
    z_f = (whole_dot * c_before + whole * c_dot_before) * f * (1 - f) + whole * c_before * (1 - 2 * f) * f_dot
    z_g = (whole_dot * i + whole * i_dot) * (1 - g * g) - 2 * whole * i * g * g_dot
    z_o = (d_h_dot * tanh_c + d_h * tanh_c_dot) * o * (1 - o) + d_h * tanh_c * (1 - 2 * o) * o_dot
    d_z_dot.copy_(torch.cat((z_i, z_f, z_g, z_o), dim=-1))
