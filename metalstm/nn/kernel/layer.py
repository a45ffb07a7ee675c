"""An LSTM layer over whole sequences, for many groups of weights at once, twice differentiable.

Legend: G groups (a task and a direction, each with weights of its own), S time steps, B examples, F features, H hidden.

With z_s = x_s W_x' + b + h_{s-1} W_h' the gates' inputs, `Layer` runs the recurrence (`sweeps.forward`), and

- its gradient (`LayerGradient`) is back-propagation through time: dz_s backwards (`sweeps.backward`), then single
  products over all steps, dW_x = sum_s dz_s' x_s, dW_h = sum_s dz_s' h_{s-1}, db = sum_s dz_s, dx_s = dz_s W_x;
- the gradient of that gradient in direction v is a Hessian-vector product, so it takes no tape: Pearlmutter's
  R-operator runs the recurrence's tangent forwards and the tangent of back-propagation backwards ("Fast exact
  multiplication by the Hessian", 1994).

The second derivative comes in two parts, so that the loss's own curvature takes no sweep of its own. The outer
backward pass meets `LayerGradient` first: it runs the tangent forwards and hands out the states' tangent, which is the
derivative with respect to the incoming gradient. Autograd carries that through the loss's second derivative and comes
back to `Layer` with the tangent of the incoming gradient; only then one tangent of back-propagation runs, for both
parts at once. A third derivative is refused, where the second is asked for with `create_graph=True`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metalstm.nn.kernel.compiled import sweeps_for
from metalstm.nn.kernel.passes import Sweeps, padding
from metalstm.nn.kernel.tape import Derivatives, Tangents, Tape, Wanted, of_steps


def lstm_layer(
    inputs: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    bias: Tensor,
    h_first: Tensor | None = None,
    c_first: Tensor | None = None,
    lengths: Tensor | None = None,
    last: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run one LSTM layer.

    Under `torch.autocast` the operands and results of all matrix products are rounded to its precision, with whatever
    precision the device adds them up in; states and derivatives are float32.

    Args:
        inputs: [G, S, B, F]. What lies beyond the lengths is not looked at.
        w_x: [G, 4H, F]; gates in the order i, f, g, o.
        w_h: [G, 4H, H].
        bias: [G, 4H].
        h_first, c_first: [G, B, H], the state before the first step; None: zero.
        lengths: [G, B] int64, 0 <= length <= S: how many steps of a sequence are real; None: all.
        last: return the hidden states of the last step alone.

    Returns:
        The hidden states of all time steps, [G, S, B, H], zero beyond the lengths; or those of the last real step, [G,
        B, H] (h_first where the length is 0). And the cell states after the last real step, [G, B, H].

    Raises:
        ValueError: shapes that do not go together.
        TypeError: inputs and weights of several precisions, without autocast; or lengths that are not int64.
    """
    check_shapes(inputs, w_x, w_h, bias, h_first, c_first, lengths)
    kind = inputs.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    if precision is not None:
        inputs = inputs.float()
    elif any(weight.dtype != inputs.dtype for weight in (w_x, w_h, bias)):
        raise TypeError(f"inputs are {inputs.dtype}, weights {w_x.dtype}, {w_h.dtype} and {bias.dtype}")
    if lengths is not None:
        if lengths.dtype != torch.int64:
            raise TypeError(f"lengths are {lengths.dtype}, not int64")
        inputs = inputs.masked_fill(padding(lengths, inputs.shape[1]), 0)
    states, c_last = Layer.apply(inputs.contiguous(), w_x, w_h, bias, h_first, c_first, lengths, last, precision)
    return states, c_last


def check_shapes(
    inputs: Tensor,
    w_x: Tensor,
    w_h: Tensor,
    bias: Tensor,
    h_first: Tensor | None,
    c_first: Tensor | None,
    lengths: Tensor | None,
) -> None:
    """Make sure that compiled code may trust the shapes; a `ValueError` says what does not fit."""
    (groups, _, examples, features), hidden = inputs.shape, w_h.shape[-1]
    for name, tensor, expected in (
        ("w_x", w_x, (groups, 4 * hidden, features)),
        ("w_h", w_h, (groups, 4 * hidden, hidden)),
        ("bias", bias, (groups, 4 * hidden)),
        ("h_first", h_first, (groups, examples, hidden)),
        ("c_first", c_first, (groups, examples, hidden)),
        ("lengths", lengths, (groups, examples)),
    ):
        if tensor is not None and tensor.shape != expected:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; with inputs {tuple(inputs.shape)} not {expected}"
            )


class Layer(torch.autograd.Function):
    """The recurrence; differentiable twice."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        w_x: Tensor,
        w_h: Tensor,
        bias: Tensor,
        h_first: Tensor | None,
        c_first: Tensor | None,
        lengths: Tensor | None,
        last: bool,
        precision: torch.dtype | None,
    ) -> tuple[Tensor, Tensor]:
        tape = Tape.blank(inputs, w_x, w_h, lengths, last)
        for states, first in ((tape.h, h_first), (tape.c, c_first)):
            states[:, 0] = 0 if first is None else first
        sweeps = sweeps_for(inputs, precision)
        sweeps.forward(
            inputs=inputs, w_x=w_x, w_h=w_h, bias=bias, lengths=lengths, gates=tape.gates, h=tape.h, c=tape.c
        )
        states, c_last = tape.select(tape.h), tape.c[:, -1]
        ctx.save_for_backward(*tape.tensors, states, c_last)
        ctx.last, ctx.left, ctx.sweeps, ctx.precision = last, tape.left, sweeps, precision
        ctx.set_materialize_grads(False)
        return states, c_last

    @staticmethod
    def backward(ctx: Any, d_states: Tensor | None, d_c_last: Tensor | None) -> Any:  # type: ignore[override]
        *tensors, states, _ = ctx.saved_tensors  # raises if one of them was written into since
        tape = Tape.of(tensors, ctx.last, ctx.left)
        wanted = ctx.needs_input_grad[:6]
        tangents = tape.take()
        if tangents:
            derivatives = second_derivative(tape, ctx.sweeps, ctx.precision, tangents, d_states, d_c_last, wanted)
        else:
            again = torch.is_grad_enabled()  # create_graph=True: this gradient will itself be differentiated
            derivatives = LayerGradient.apply(
                d_states, d_c_last, states, tape, ctx.sweeps, ctx.precision, wanted, again
            )
        return *derivatives, None, None, None


class LayerGradient(torch.autograd.Function):
    """The gradient of `Layer`; differentiable once more.

    It takes the layer's states only to stand before the layer in the outer backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        d_states: Tensor | None,
        d_c_last: Tensor | None,
        states: Tensor,
        tape: Tape,
        sweeps: Sweeps,
        precision: torch.dtype | None,
        wanted: Wanted,
        again: bool,
    ) -> tuple[Tensor | None, ...]:
        size, pieces = tape.pieces()
        # Back-propagation passes through these; they are kept where its tangent will be asked for.
        d_z = torch.empty_like(tape.gates if again else tape.gates[:, :size])
        d_h, d_c_after = (torch.empty_like(tape.c[:, 1:]) if again else None for _ in range(2))
        arriving = torch.zeros_like(tape.c[:, 0])
        d_c = torch.zeros_like(arriving) if d_c_last is None else d_c_last.clone(memory_format=torch.contiguous_format)
        total = Derivatives(tape, precision, wanted)
        for steps in pieces:
            sweeps.backward(
                gates=tape.gates,
                c=tape.c,
                w_h=tape.w_h,
                lengths=tape.lengths,
                steps=steps,
                to_start=wanted[4],
                last=tape.last,
                d_states=d_states,
                d_h=d_h,
                d_c_after=d_c_after,
                d_z=d_z,
                arriving=arriving,
                d_c=d_c,
            )
            piece = of_steps(d_z, steps)
            total.add(steps, piece, tape.inputs, tape.h, tape.w_x)
            total.add_bias(piece)
        if again:
            ctx.save_for_backward(*tape.tensors, d_z, d_h, d_c_after)
            ctx.last, ctx.left, ctx.sweeps = tape.last, tape.left, sweeps
        ctx.set_materialize_grads(False)
        total.add_first(arriving, d_c, d_states)
        return total.all()

    @staticmethod
    def backward(ctx: Any, *v: Tensor | None) -> Any:
        if torch.is_grad_enabled():  # `once_differentiable` would let `torch.autograd.grad` skip its own refusal
            raise RuntimeError("lstm_layer has no third derivative: take its second one without create_graph=True")
        *tensors, d_z, d_h, d_c_after = ctx.saved_tensors  # raises if one of them was written into since
        tape, sweeps = Tape.of(tensors, ctx.last, ctx.left), ctx.sweeps
        v_inputs, v_x, v_h, v_bias, v_h_first, v_c_first = v
        v_x = torch.zeros_like(tape.w_x) if v_x is None else v_x
        v_h = torch.zeros_like(tape.w_h) if v_h is None else v_h
        v_bias = torch.zeros_like(tape.w_h[..., 0]) if v_bias is None else v_bias
        gates_dot, h_dot, c_dot = (torch.empty_like(tensor) for tensor in (tape.gates, tape.h, tape.c))
        for states, first in ((h_dot, v_h_first), (c_dot, v_c_first)):
            states[:, 0] = 0 if first is None else first
        sweeps.tangent_forward(
            inputs=tape.inputs,
            v_inputs=v_inputs,
            w_x=tape.w_x,
            v_x=v_x,
            w_h=tape.w_h,
            v_h=v_h,
            v_bias=v_bias,
            gates=tape.gates,
            h=tape.h,
            c=tape.c,
            gates_dot=gates_dot,
            h_dot=h_dot,
            c_dot=c_dot,
        )
        tape.leave(Tangents(v_inputs, v_x, v_h, gates_dot, h_dot, c_dot, d_z, d_h, d_c_after))
        wants_states, wants_c_last = ctx.needs_input_grad[:2]
        d_states_dot = tape.select(h_dot) if wants_states else None
        d_c_last_dot = c_dot[:, -1] if wants_c_last else None
        return d_states_dot, d_c_last_dot, None, None, None, None, None, None


def second_derivative(
    tape: Tape,
    sweeps: Sweeps,
    precision: torch.dtype | None,
    tangents: list[Tangents],
    d_states_dot: Tensor | None,
    d_c_last_dot: Tensor | None,
    wanted: Wanted,
) -> tuple[Tensor | None, ...]:
    """Back-propagates an outer loss through the gradients that were taken from a layer, and through the layer itself.

    Args:
        tape: of the layer.
        sweeps, precision: how it runs.
        tangents: one of each gradient; the layer's own derivative is added to the first.
        d_states_dot, d_c_last_dot: the outer loss's derivatives with respect to the layer's results, which by symmetry
            are the tangents of what the gradient was computed from.
        wanted: which of the layer's six arguments need a derivative.

    Returns:
        The derivatives with respect to inputs, w_x, w_h, bias, h_first and c_first.
    """
    total = Derivatives(tape, precision, wanted)
    size, pieces = tape.pieces()
    d_z_dot = torch.empty_like(tape.gates[:, :size])
    for t in tangents:
        arriving_dot = torch.zeros_like(tape.c[:, 0])
        d_c_dot = (
            torch.zeros_like(arriving_dot)
            if d_c_last_dot is None
            else d_c_last_dot.clone(memory_format=torch.contiguous_format)
        )
        for steps in pieces:
            sweeps.tangent_backward(
                gates=tape.gates,
                c=tape.c,
                w_h=tape.w_h,
                v_h=t.v_h,
                lengths=tape.lengths,
                steps=steps,
                to_start=wanted[4],
                last=tape.last,
                gates_dot=t.gates_dot,
                c_dot=t.c_dot,
                d_z=t.d_z,
                d_h=t.d_h,
                d_c_after=t.d_c_after,
                d_states_dot=d_states_dot,
                d_z_dot=d_z_dot,
                arriving_dot=arriving_dot,
                d_c_dot=d_c_dot,
            )
            piece = of_steps(d_z_dot, steps)
            total.add(steps, piece, tape.inputs, tape.h, tape.w_x)
            total.add(steps, of_steps(t.d_z, steps), t.v_inputs, t.h_dot, t.v_x)
            total.add_bias(piece)
        total.add_first(arriving_dot, d_c_dot, d_states_dot)
        d_states_dot = d_c_last_dot = None
    return total.all()
