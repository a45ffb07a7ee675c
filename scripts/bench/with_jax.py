"""The meta-gradient by jax: `jit(grad(mean(vmap)))`, the LSTM a `scan`. For a process without torch.

Legend: T tasks, B examples, S time steps, F features, H hidden, D directions, O outputs.
"""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import numpy as np

from bench.problem import INNER_LR, Array, Case, Problem
from bench.system import System

Weights = dict[str, jax.Array]  # one task's, as in `Problem.weights`


class JaxSystem(System):
    """Compiled ahead of time; `compile_s` is what that took, tracing included."""

    def __init__(self, problem: Problem) -> None:
        self.case = problem.case
        self.arguments = jax.device_put(({**problem.weights}, *problem[2:]))
        started = time.perf_counter()
        self.meta_gradient = jax.jit(jax.grad(self.meta_loss)).lower(*self.arguments).compile()
        self.facts = {"compile_s": time.perf_counter() - started}

    def step(self) -> None:
        self.latest: Weights = jax.block_until_ready(self.meta_gradient(*self.arguments))

    def meta_loss(self, start: Weights, *tasks: jax.Array) -> jax.Array:
        return jax.vmap(self.query_loss, in_axes=(None, 0, 0, 0, 0))(start, *tasks).mean()

    def query_loss(
        self,
        weights: Weights,
        support_inputs: jax.Array,
        support_targets: jax.Array,
        inputs: jax.Array,
        targets: jax.Array,
    ) -> jax.Array:
        """One task's loss on its query set after adapting: scalar."""
        for _ in range(self.case.inner_steps):
            gradients = jax.grad(self.loss)(weights, support_inputs, support_targets)
            weights = {name: weight - INNER_LR * gradients[name] for name, weight in weights.items()}
        return self.loss(weights, inputs, targets)

    def loss(self, weights: Weights, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        log_probabilities = jax.nn.log_softmax(predict(self.case, weights, inputs))
        return -jnp.take_along_axis(log_probabilities, targets[:, None], axis=1).mean()

    def gradients(self) -> dict[str, Array]:
        return {name: np.asarray(gradient) for name, gradient in self.latest.items()}


def predict(case: Case, weights: Weights, inputs: jax.Array) -> jax.Array:
    """[B, S, F] to [B, O]."""
    rows, columns = inputs.transpose(1, 0, 2), inputs.transpose(2, 0, 1)
    readings = (rows,) if case.directions == 1 else (rows, rows[::-1], columns, columns[::-1])
    states = jnp.stack(readings)  # [D, S, B, F]
    for layer in range(case.layers):
        bias = weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
        states = jax.vmap(lstm)(states, weights[f"weight_ih_l{layer}"], weights[f"weight_hh_l{layer}"], bias)
    last = states[:, -1].transpose(1, 0, 2).reshape(inputs.shape[0], -1)
    return last @ weights["head_weight"].T + weights["head_bias"]


def lstm(inputs: jax.Array, w_x: jax.Array, w_h: jax.Array, bias: jax.Array) -> jax.Array:
    """One direction of one layer: [S, B, F] to the states of all steps [S, B, H]."""

    def cell(before: tuple[jax.Array, jax.Array], z: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        h, c = before
        i, f, g, o = jnp.split(z + h @ w_h.T, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((inputs.shape[1], w_h.shape[1]))
    return jax.lax.scan(cell, (zeros, zeros), inputs @ w_x.T + bias)[1]
