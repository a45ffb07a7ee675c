"""The tape of an LSTM layer's forward pass, and the sums of its derivatives, piece by piece of time.

Legend: G groups, S time steps, B examples, F features, H hidden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metalstm.nn.kernel.passes import multiply, project

Wanted = tuple[bool, ...]  # which of inputs, w_x, w_h, bias, h_first and c_first need a derivative
# Numbers of a group's d_z that are gone through at a time, so that they are still in the cache when the weights'
# derivatives read them, and need not be kept for all steps. Of a group, not of all: what becomes of a group is then the
# same bit for bit, however many others are beside it.
NUMBERS_IN_A_PIECE = 2**16


class Tangents(NamedTuple):
    """Half of a second derivative, which a layer's gradient leaves for the layer in an outer backward pass."""

    v_inputs: Tensor | None  # [G, S, B, F]
    v_x: Tensor  # [G, 4H, F]
    v_h: Tensor  # [G, 4H, H]
    gates_dot: Tensor  # [G, S, B, 4H]
    h_dot: Tensor  # [G, S + 1, B, H]
    c_dot: Tensor  # [G, S + 1, B, H]
    d_z: Tensor  # [G, S, B, 4H]
    d_h: Tensor  # [G, S, B, H]
    d_c_after: Tensor  # [G, S, B, H]


class Tape(NamedTuple):
    """The tensors of a layer's forward pass, shared with the gradients that are taken from it."""

    inputs: Tensor  # [G, S, B, F]
    w_x: Tensor  # [G, 4H, F]
    w_h: Tensor  # [G, 4H, H]
    lengths: Tensor | None  # [G, B]
    gates: Tensor  # [G, S, B, 4H]
    h: Tensor  # [G, S + 1, B, H]
    c: Tensor  # [G, S + 1, B, H]
    last: bool
    left: list[tuple[int, Tangents]]  # with the backward pass that they belong to

    @classmethod
    def blank(cls, inputs: Tensor, w_x: Tensor, w_h: Tensor, lengths: Tensor | None, last: bool) -> Tape:
        groups, steps, examples, _ = inputs.shape
        hidden = w_h.shape[-1]
        gates = inputs.new_empty(groups, steps, examples, 4 * hidden)
        h, c = (inputs.new_empty(groups, steps + 1, examples, hidden) for _ in range(2))
        return cls(inputs, w_x, w_h, lengths, gates, h, c, last, [])

    @classmethod
    def of(cls, tensors: Sequence[Tensor], last: bool, left: list[tuple[int, Tangents]]) -> Tape:
        """Return the tape with these `tensors`."""
        inputs, w_x, w_h, lengths, gates, h, c = tensors
        return cls(inputs, w_x, w_h, lengths, gates, h, c, last, left)

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """Its first fields. A node of the graph saves them as tensors, so that they go when autograd lets it go."""
        return self.inputs, self.w_x, self.w_h, self.lengths, self.gates, self.h, self.c

    def select(self, h: Tensor) -> Tensor:
        """Return the part of h [G, S + 1, B, H] that the layer shows."""
        if not self.last:
            return h[:, 1:]
        if self.lengths is None:
            return h[:, -1]
        slot = self.lengths[:, None, :, None].expand(-1, 1, -1, h.shape[-1])
        return h.gather(1, slot).squeeze(1)

    def pieces(self) -> tuple[int, list[tuple[int, int]]]:
        """How many steps are gone through at a time, and from where to where, backwards."""
        _, steps, examples, gates = self.gates.shape
        count = min(steps, max(1, steps * examples * gates // NUMBERS_IN_A_PIECE))
        size = math.ceil(steps / max(count, 1))
        return size, [(first, min(first + size, steps)) for first in reversed(range(0, steps, max(size, 1)))]

    def leave(self, tangents: Tangents) -> None:
        self.left.append((this_backward_pass(), tangents))

    def take(self) -> list[Tangents]:
        """Return and remove the tangents of this backward pass; keep those of a pass around it."""
        now = this_backward_pass()
        mine = [tangents for when, tangents in self.left if when == now]
        self.left[:] = [(when, tangents) for when, tangents in self.left if when != now]
        return mine


def this_backward_pass() -> int:
    """Return the number of autograd's backward pass under way."""
    number: int = torch._C._current_graph_task_id()
    return number


class Derivatives:
    """The derivatives with respect to a layer's arguments; None where they are not wanted."""

    def __init__(self, tape: Tape, precision: torch.dtype | None, wanted: Wanted) -> None:
        self.tape, self.precision = tape, precision
        # Those of w_x and w_h are summed up transposed, [G, F, 4H]: products with few columns are slow.
        arguments = (tape.inputs, tape.w_x.mT, tape.w_h.mT, tape.w_h[..., 0], tape.c[:, 0], tape.c[:, 0])
        zeros = (
            torch.zeros(like.shape, dtype=like.dtype, device=like.device) if wants else None
            for like, wants in zip(arguments, wanted, strict=True)
        )
        self.inputs, self.w_x_transposed, self.w_h_transposed, self.bias, self.h_first, self.c_first = zeros

    def add(self, steps: tuple[int, int], d_z: Tensor, inputs: Tensor | None, h: Tensor, w_x: Tensor) -> None:
        """Add dx_s = dz_s W_x, dW_x = sum_s dz_s' x_s and dW_h = sum_s dz_s' h_{s-1} of some steps.

        Args:
            steps: the first of them and the one after the last.
            d_z: [G, their number, B, 4H].
            inputs: [G, S, B, F]; None: zero.
            h: [G, S + 1, B, H].
            w_x: [G, 4H, F].
        """
        these = slice(*steps)
        if self.inputs is not None:
            self.inputs[:, these] += project(d_z, w_x.mT, self.precision)
        if self.w_x_transposed is not None and inputs is not None:
            self.add_outer_products(self.w_x_transposed, inputs[:, these], d_z)
        if self.w_h_transposed is not None:
            self.add_outer_products(self.w_h_transposed, h[:, these], d_z)

    def add_outer_products(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """Add the sum over steps and examples of [G, steps, B, L] times [G, steps, B, K] to [G, L, K]."""
        left, right = left.flatten(1, 2).mT, right.flatten(1, 2)
        if self.precision is None:
            total.baddbmm_(left, right)
        else:
            total += multiply(left, right, self.precision)

    def add_bias(self, d_z: Tensor) -> None:
        """Add db = sum_s dz_s of some steps."""
        if self.bias is not None:
            self.bias += d_z.sum(dim=(1, 2))

    def add_first(self, d_h: Tensor, d_c: Tensor, d_states: Tensor | None) -> None:
        """Add what arrives at the state before the first step.

        Args:
            d_h, d_c: [G, B, H], through the first step.
            d_states: of the last states, which are h_first itself where a sequence has no step.
        """
        if self.h_first is not None:
            self.h_first += d_h
            if self.tape.last and self.tape.lengths is not None and d_states is not None:
                self.h_first += torch.where((self.tape.lengths == 0).unsqueeze(-1), d_states, 0)
        if self.c_first is not None:
            self.c_first += d_c

    def all(self) -> tuple[Tensor | None, ...]:
        """With respect to inputs, w_x, w_h, bias, h_first and c_first."""
        w_x, w_h = (
            None if transposed is None else transposed.mT.contiguous()
            for transposed in (self.w_x_transposed, self.w_h_transposed)
        )
        return self.inputs, w_x, w_h, self.bias, self.h_first, self.c_first


def of_steps(d_z: Tensor, steps: tuple[int, int]) -> Tensor:
    """Return the part of d_z [G, Z, B, 4H], which holds step s in slot s % Z, that belongs to a piece of steps."""
    first, after = steps
    slot = first % d_z.shape[1]
    return d_z[:, slot : slot + after - first]
