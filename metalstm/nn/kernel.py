"""An LSTM layer over whole sequences, for many groups of weights at once, twice differentiable.

Legend: G groups (a task and a direction, each with weights of its own), S time steps, B examples, F features, H hidden.
Layout: every sequence is [G, S, B, ...], so that a time step is a view, and so is the matrix of all steps and examples
of a group; the weight gradients are then single products over all steps.

With z_s = x_s W_x' + b + h_{s-1} W_h' the gates' inputs, `Layer` runs the recurrence of `cells.forward_cell`, and

- its gradient (`LayerGradient`) is back-propagation through time: dz_s backwards, then dW_x = sum_s dz_s' x_s,
  dW_h = sum_s dz_s' h_{s-1}, db = sum_s dz_s, dx_s = dz_s W_x;
- the gradient of that gradient in direction v is a Hessian-vector product, so it takes no tape: Pearlmutter's
  R-operator runs the recurrence's tangent forwards and the tangent of back-propagation backwards ("Fast exact
  multiplication by the Hessian", 1994). The tangent of h is the derivative with respect to the incoming gradient.

A third derivative is refused, where the second is asked for with `create_graph=True`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metalstm.nn.pointwise import cells_for


def lstm_layer(inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor) -> Tensor:
    """Runs one LSTM layer from zero states.

    Args:
        inputs: [G, S, B, F].
        w_x: [G, 4H, F]; gates in the order i, f, g, o.
        w_h: [G, 4H, H].
        bias: [G, 4H].

    Returns:
        The hidden states of all time steps, [G, S, B, H].
    """
    states: Tensor = Layer.apply(inputs.contiguous(), w_x, w_h, bias)
    return states


class Layer(torch.autograd.Function):
    """The recurrence; differentiable twice."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor) -> Tensor:
        groups, steps, examples, _ = inputs.shape
        hidden = w_h.shape[-1]
        gates = project(inputs, w_x)
        gates += bias[:, None, None]
        # Slot 0 of h and c is the state before the first step.
        h = inputs.new_empty(groups, steps + 1, examples, hidden)
        c = torch.empty_like(h)
        h[:, 0].zero_()
        c[:, 0].zero_()
        product = inputs.new_empty(groups, examples, 4 * hidden)
        recurrent = w_h.transpose(1, 2)
        cell = cells_for(inputs).forward_cell
        gate, hs, cs = gates.unbind(1), h.unbind(1), c.unbind(1)
        for s in range(steps):
            torch.bmm(hs[s], recurrent, out=product)
            cell(product, cs[s], gate[s], cs[s + 1], hs[s + 1])
        ctx.save_for_backward(inputs, w_x, w_h, bias)
        ctx.tape = (gates, h, c)
        return h[:, 1:]

    @staticmethod
    def backward(ctx: Any, d_states: Tensor) -> Any:  # type: ignore[override]
        inputs, w_x, w_h, bias = ctx.saved_tensors
        wants_inputs = ctx.needs_input_grad[0]
        again = torch.is_grad_enabled()  # create_graph=True: this gradient will itself be differentiated
        d_inputs, d_w_x, d_w_h, d_bias = LayerGradient.apply(
            d_states, inputs, w_x, w_h, bias, ctx.tape, wants_inputs, again
        )
        return d_inputs, d_w_x, d_w_h, d_bias


class LayerGradient(torch.autograd.Function):
    """The gradient of `Layer`; differentiable once more."""

    @staticmethod
    def forward(
        ctx: Any,
        d_states: Tensor,
        inputs: Tensor,
        w_x: Tensor,
        w_h: Tensor,
        bias: Tensor,
        tape: tuple[Tensor, Tensor, Tensor],
        wants_inputs: bool,
        again: bool,
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        gates, h, c = tape
        groups, steps, examples, hidden = d_states.shape
        d_z = torch.empty_like(gates)
        # What back-propagation passes through, kept where its tangent will be asked for.
        kept = steps if again else 1
        d_h = d_states.new_empty(groups, kept, examples, hidden)
        d_c_after = torch.empty_like(d_h)
        d_c = d_states.new_zeros(groups, examples, hidden)
        product = torch.zeros_like(d_c)
        cell = cells_for(d_states).backward_cell
        gate, cs, d_zs, d_hs = gates.unbind(1), c.unbind(1), d_z.unbind(1), d_h.unbind(1)
        for s in reversed(range(steps)):
            slot = s if again else 0
            torch.add(product, d_states[:, s], out=d_hs[slot])
            if again:
                d_c_after[:, s] = d_c
            cell(gate[s], cs[s + 1], cs[s], d_hs[slot], d_c, d_zs[s])
            if s > 0:
                torch.bmm(d_zs[s], w_h, out=product)
        d_w_x = over_all_steps(d_z, inputs)
        d_w_h = over_all_steps(d_z, h[:, :-1])
        d_bias = d_z.sum(dim=(1, 2))
        d_inputs = project(d_z, w_x.transpose(1, 2)) if wants_inputs else None
        if again:
            ctx.save_for_backward(inputs, w_x, w_h)
            ctx.tape = (gates, h, c, d_z, d_h, d_c_after)
        return d_inputs, d_w_x, d_w_h, d_bias

    @staticmethod
    def backward(ctx: Any, v_inputs: Tensor | None, v_w_x: Tensor, v_w_h: Tensor, v_bias: Tensor) -> Any:  # type: ignore[override]
        if torch.is_grad_enabled():  # `once_differentiable` would let `torch.autograd.grad` skip its own refusal
            raise RuntimeError("lstm_layer has no third derivative: take its second one without create_graph=True")
        inputs, w_x, w_h = ctx.saved_tensors
        gates, h, c, d_z, d_h, d_c_after = ctx.tape
        groups, steps, examples, hidden = d_h.shape
        cells = cells_for(d_h)

        # Tangents forwards.
        gates_dot = project(inputs, v_w_x)
        add_project(gates_dot, h[:, :-1], v_w_h)
        gates_dot += v_bias[:, None, None]
        if v_inputs is not None:
            add_project(gates_dot, v_inputs.contiguous(), w_x)
        h_dot, c_dot = torch.empty_like(h), torch.empty_like(c)
        h_dot[:, 0].zero_()
        c_dot[:, 0].zero_()
        product = gates.new_empty(groups, examples, 4 * hidden)
        recurrent = w_h.transpose(1, 2)
        gate, cs, gate_dots, h_dots, c_dots = (x.unbind(1) for x in (gates, c, gates_dot, h_dot, c_dot))
        for s in range(steps):
            torch.bmm(h_dots[s], recurrent, out=product)
            cells.tangent_forward_cell(
                product, gate[s], cs[s + 1], cs[s], c_dots[s], gate_dots[s], c_dots[s + 1], h_dots[s + 1]
            )

        # Tangents of back-propagation, backwards.
        d_h_dot = project(d_z, v_w_h.transpose(1, 2))  # slot s: what step s sends back to h of step s - 1
        d_z_dot = torch.empty_like(d_z)
        d_c_dot = d_h.new_zeros(groups, examples, hidden)
        arriving = torch.zeros_like(d_c_dot)
        product = torch.empty_like(d_c_dot)
        d_hs, d_cs_after, d_z_dots, d_h_dots = (x.unbind(1) for x in (d_h, d_c_after, d_z_dot, d_h_dot))
        for s in reversed(range(steps)):
            cells.tangent_backward_cell(
                *(gate[s], cs[s + 1], cs[s], gate_dots[s], c_dots[s + 1], c_dots[s]),
                *(d_hs[s], d_cs_after[s], arriving, d_c_dot, d_z_dots[s]),
            )
            if s > 0:
                torch.bmm(d_z_dots[s], w_h, out=product)
                torch.add(product, d_h_dots[s], out=arriving)

        g_w_x = over_all_steps(d_z_dot, inputs)
        if v_inputs is not None:
            g_w_x += over_all_steps(d_z, v_inputs.contiguous())
        g_w_h = over_all_steps(d_z_dot, h[:, :-1])
        g_w_h += over_all_steps(d_z, h_dot[:, :-1])
        g_bias = d_z_dot.sum(dim=(1, 2))
        g_inputs = None
        if ctx.needs_input_grad[1]:
            g_inputs = project(d_z_dot, w_x.transpose(1, 2))
            add_project(g_inputs, d_z, v_w_x.transpose(1, 2))
        return h_dot[:, 1:], g_inputs, g_w_x, g_w_h, g_bias, None, None, None


def rows(sequences: Tensor) -> Tensor:
    """[G, S, B, K] as the matrices [G, S * B, K] of all steps and examples; always a view."""
    groups, steps, examples, width = sequences.shape
    return sequences.view(groups, steps * examples, width)


def project(sequences: Tensor, weight: Tensor) -> Tensor:
    """[G, S, B, K] times [G, L, K] transposed, for all steps at once: [G, S, B, L]."""
    product: Tensor = torch.bmm(rows(sequences), weight.transpose(1, 2))
    return product.view(*sequences.shape[:3], product.shape[-1])


def add_project(total: Tensor, sequences: Tensor, weight: Tensor) -> None:
    """Adds `project(sequences, weight)` to `total` [G, S, B, L] in place."""
    rows(total).baddbmm_(rows(sequences), weight.transpose(1, 2))


def over_all_steps(left: Tensor, right: Tensor) -> Tensor:
    """[G, S, B, L] and [G, S, B, K] to [G, L, K]: the sum over steps and examples of their outer products."""
    return torch.bmm(rows(left).transpose(1, 2), rows(right))
