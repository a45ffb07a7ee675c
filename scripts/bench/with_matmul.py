"""The matrix products that metalstm's meta-gradient stands on, by `torch.bmm`, and nothing else.

No lower bound: a kernel that keeps weights and states in the cache from one time step to the next can do with less than
single calls, for all the pointwise work that comes on top. That bound is the products' FLOPs at the machine's peak.

Legend: G groups (a task and a direction), S time steps, B examples, F features, H hidden, D directions, O outputs.

Per inner step and layer there are four sweeps (`metalstm.nn.kernel.passes`; the curvature shares the last). With x the
layer's inputs, dz the derivative with respect to the gates' inputs, V the tangents of the weights W, and a dot for the
tangent of what stands before it:

| sweep | each time step | all steps at once | above the first layer as well |
|---|---|---|---|
| forward | h W_h' | x W_x' | |
| backward | dz W_h | dz' x, dz' h | dz W_x |
| tangent forward | h. W_h' | x V_x', h V_h' | x. W_x' |
| tangent backward | dz V_h, dz. W_h | dz.' x, dz.' h, dz' h. | dz' x., dz V_x, dz. W_x |

and after the last one a forward and a backward sweep over the query set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bench.problem import Case, Problem
from bench.system import System

PEAK_SIZE = 1024
PEAK_TRIES = 20


class Product(NamedTuple):
    """`times` products [groups, rows, depth] x [groups, depth, columns], one after the other."""

    kind: Literal["step", "project", "sum"]  # of one time step; of all steps; summed over all steps: left' right
    times: int
    groups: int
    rows: int
    depth: int
    columns: int

    @property
    def flop(self) -> int:
        return 2 * self.times * self.groups * self.rows * self.depth * self.columns


def meta_gradient_products(case: Case) -> Iterator[Product]:
    """All matrix products of one second-order meta-gradient, inner steps first."""
    support, query = case.ways * case.shots, case.ways * case.queries
    for _ in range(case.inner_steps):
        yield from pass_products(case, support, tangents=False)
        yield from pass_products(case, support, tangents=True)
    yield from pass_products(case, query, tangents=False)


def pass_products(case: Case, examples: int, tangents: bool) -> Iterator[Product]:
    """The products of a forward and a backward pass over some examples of every task, or of the tangents of both."""
    for layer in range(case.layers):
        yield from layer_products(case, examples, layer, tangents)
    joined = case.directions * case.hidden
    head = 2 if tangents else 1  # the product rule: each product of two things that move becomes two
    yield Product("project", head, case.tasks, examples, joined, case.ways)  # the outputs
    yield Product("project", head, case.tasks, examples, case.ways, joined)  # what the features get
    yield Product("sum", head, case.tasks, joined, examples, case.ways)  # the weight's gradient


def layer_products(case: Case, examples: int, layer: int, tangents: bool) -> Iterator[Product]:
    groups, steps, hidden = case.tasks * case.directions, case.length, case.hidden
    gates, width, inputs_move = 4 * hidden, hidden if layer else case.features, layer > 0
    rows = steps * examples
    # The tangent of a product is one product if only the weights move, two if the inputs move as well; h always moves.
    of_inputs = 2 if tangents and inputs_move else 1
    yield Product("project", of_inputs, groups, rows, width, gates)
    if tangents:
        yield Product("project", 1, groups, rows, hidden, gates)
    yield Product("step", steps, groups, examples, hidden, gates)
    # Nothing wants what arrives at h before the first step.
    yield Product("step", (steps - 1) * (2 if tangents else 1), groups, examples, gates, hidden)
    yield Product("sum", of_inputs, groups, gates, rows, width)
    yield Product("sum", 2 if tangents else 1, groups, gates, rows, hidden)
    if inputs_move:
        yield Product("project", of_inputs, groups, rows, gates, width)


class MatmulSystem(System):
    """Replays the products with `torch.bmm` into outputs that are there already, one set of buffers for equal ones."""

    def __init__(self, problem: Problem) -> None:
        products = list(meta_gradient_products(problem.case))
        makers = {product: replay(product, problem.case.length) for product in set(products)}
        self.calls = [makers[product] for product in products]
        flop_per_second = peak()
        gflop = sum(product.flop for product in products) / 1e9
        self.facts = {
            "gflop": gflop,
            "peak_gflop_per_s": flop_per_second / 1e9,
            "at_peak_s": gflop * 1e9 / flop_per_second,
        }

    def step(self) -> None:
        for call in self.calls:
            call()

    def gradients(self) -> None:
        return None


def replay(product: Product, steps: int) -> Callable[[], None]:
    """A function that computes a product, its operands laid out as metalstm's are: [G, S, B, ...] and weights."""
    _, times, groups, rows, depth, columns = product
    out = torch.empty(groups, rows, columns)
    if product.kind == "step":
        sequences = torch.randn(groups, steps, rows, depth)
        lefts = [sequences[:, s % steps] for s in range(times)]
    elif product.kind == "project":
        lefts = [torch.randn(groups, rows, depth)] * times
    else:
        lefts = [torch.randn(groups, depth, rows).mT] * times
    right = torch.randn(groups, depth, columns)
    return partial(multiply_all, lefts, right, out)


def multiply_all(lefts: list[Tensor], right: Tensor, out: Tensor) -> None:
    for left in lefts:
        torch.bmm(left, right, out=out)


def peak() -> float:
    """FLOP per second of the fastest of a few large float32 products."""
    left, right = torch.randn(2, PEAK_SIZE, PEAK_SIZE).unbind()
    out = torch.empty(PEAK_SIZE, PEAK_SIZE)
    seconds = []
    for _ in range(PEAK_TRIES):
        started = time.perf_counter()
        torch.mm(left, right, out=out)
        seconds.append(time.perf_counter() - started)
    return 2 * PEAK_SIZE**3 / min(seconds)
