"""The mistakes that are easiest to make: the tests of parity would notice each of them."""

import pytest
import torch
from torch import Tensor

from metalstm.learners.inner_loop import batched
from metalstm.nn import lstm
from metalstm.nn.kernel import cells, layer, passes
from support.learners import make_maml, make_tasks, meta_gradient
from support.tensors import difference


@pytest.mark.parametrize("inner_steps", [1, 3, 5])
def test_first_order_is_another_gradient(inner_steps: int) -> None:
    tasks = make_tasks()
    first, second = (meta_gradient(make_maml(inner_steps, order=order), tasks) for order in ("first", "second"))
    for name, value in second.items():
        assert difference([first[name]], [value]) > 0.02, name


def test_second_order_left_out_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tasks = make_tasks()
    want = meta_gradient(make_maml(3, engine="higher"), tasks)
    learner = make_maml(3)
    true_grad = torch.autograd.grad
    with monkeypatch.context() as patched:
        patched.setattr(batched.torch.autograd, "grad", lambda loss, weights, create_graph: true_grad(loss, weights))
        loss = learner.meta_loss(tasks).loss
    got = torch.autograd.grad(loss, list(learner.parameters()))
    assert difference(got, want.values()) > 0.02


@pytest.mark.parametrize("swapped", [(1, 0, 2, 3), (0, 3, 2, 1), (0, 2, 1, 3)], ids=["i_f", "f_o", "f_g"])
def test_swapped_gates_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, swapped: tuple[int, ...],
) -> None:  # fmt: skip
    def forward_cell(product: Tensor, c_before: Tensor, gates: Tensor, c: Tensor, h: Tensor) -> None:
        wrong_gates, wrong_product = (
            torch.cat([x.chunk(4, -1)[gate] for gate in swapped], -1) for x in (gates, product)
        )
        cells.forward_cell(wrong_product, c_before, wrong_gates, c, h)
        gates.copy_(wrong_gates)

    tasks = make_tasks()
    want = meta_gradient(make_maml(3, engine="higher"), tasks)
    monkeypatch.setattr(passes, "forward_cell", forward_cell)  # what float64 runs
    assert difference(meta_gradient(make_maml(3), tasks).values(), want.values()) > 0.1


def test_curvature_left_out_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def second_derivative(*rest: object) -> tuple[Tensor | None, ...]:
        *before, _, d_c_last_dot, wanted = rest
        return true_second_derivative(*before, None, d_c_last_dot, wanted)

    tasks = make_tasks()
    want = meta_gradient(make_maml(3, engine="higher"), tasks)
    true_second_derivative = layer.second_derivative
    monkeypatch.setattr(layer, "second_derivative", second_derivative)
    assert difference(meta_gradient(make_maml(3), tasks).values(), want.values()) > 0.02


def test_ends_of_sequences_left_out_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def lstm_layer(inputs: Tensor, *weights: Tensor, lengths: Tensor, last: bool) -> tuple[Tensor, Tensor]:
        return layer.lstm_layer(inputs.nan_to_num(), *weights, last=last)

    tasks = make_tasks(ragged=True)
    want = meta_gradient(make_maml(3, engine="higher"), tasks)
    monkeypatch.setattr(lstm, "lstm_layer", lstm_layer)
    assert difference(meta_gradient(make_maml(3), tasks).values(), want.values()) > 0.02


def test_rates_of_another_step_would_be_noticed() -> None:
    tasks = make_tasks()
    want = meta_gradient(make_maml(3, learned_rates="per_parameter_per_step", engine="higher"), tasks)
    learner = make_maml(3, learned_rates="per_parameter_per_step")
    with torch.no_grad():
        for rate in learner.rates.parameters():
            rate.copy_(rate[[1, 2, 0]])
    assert difference(meta_gradient(learner, tasks).values(), want.values()) > 0.02
