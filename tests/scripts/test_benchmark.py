"""The benchmark: what it compares is the same thing, and what it counts and fits is right."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from metalstm.config.extras import install
from support.places import SCRIPTS

if TYPE_CHECKING:
    from bench.problem import Case

THREADS = 1
needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed (pip install '.[benchmark]')"
)
KINDS = {
    "one direction": {},
    "four directions": {"directions": 4},
    "two layers": {"layers": 2},
}


@pytest.fixture
def tiny() -> Callable[..., Case]:
    """A function from the fields that differ to a case that takes milliseconds."""
    from bench.problem import QUICK

    def case(**changes: Any) -> Case:
        return replace(QUICK, **changes)

    return case


def run_benchmark(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["higher", "torch_func", pytest.param("jax", marks=needs_jax)])
def test_systems_agree(tiny: Callable[..., Case], name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")  # the time goes into compiling
    from bench.measure import check_agreement
    from bench.problem import make_problem
    from bench.system import prepare

    problem = make_problem(tiny(**KINDS[kind]))
    systems = {each: prepare(each, problem, THREADS) for each in ("metalstm", name)}
    check_agreement(systems)
    theirs = systems[name].gradients()
    systems[name].close()
    assert theirs is not None
    assert set(theirs) == set(problem.weights)
    assert set(systems[name].facts) == ({"compile_s"} if name == "jax" else set())


def test_one_wrong_weight_stops_the_benchmark(tiny: Callable[..., Case]) -> None:
    from bench.measure import TOLERANCE, check_agreement
    from bench.problem import BenchmarkError, make_problem
    from bench.system import prepare
    from bench.with_torch_func import TorchFuncSystem

    class Perturbed(TorchFuncSystem):
        def gradients(self) -> dict[str, np.ndarray]:
            gradients = super().gradients()
            gradients["bias_hh_l0"] *= 1 + 2 * TOLERANCE
            return gradients

    problem = make_problem(tiny())
    systems = {"metalstm": prepare("metalstm", problem, THREADS), "other": Perturbed(problem)}
    with pytest.raises(BenchmarkError, match="other and metalstm disagree on the meta-gradient of bias_hh_l0"):
        check_agreement(systems)


def test_first_order_would_be_noticed(tiny: Callable[..., Case]) -> None:
    """The problem is one where the second order matters."""
    from bench.measure import check_agreement
    from bench.problem import BenchmarkError, make_problem
    from bench.system import prepare

    first, second = (prepare("metalstm", make_problem(tiny(order=order)), THREADS) for order in ("first", "second"))
    with pytest.raises(BenchmarkError, match="disagree"):
        check_agreement({"metalstm": second, "first order": first})


def test_flops_of_the_products(tiny: Callable[..., Case]) -> None:
    """One layer, counted by hand: a recurrence's products one a step, the input's derivative never."""
    from bench.with_matmul import meta_gradient_products

    case = tiny(ways=3, shots=2, queries=4, tasks=5, hidden=7, directions=4, length=6, features=6, inner_steps=2)
    support, query, groups, gates = 3 * 2, 3 * 4, 5 * 4, 4 * 7

    def lstm(examples: int, of_inputs: int, of_states: int, recurrent: int, recurrent_back: int) -> int:
        per_step = 2 * groups * examples * gates
        return per_step * (6 * (of_inputs * 6 + of_states * 7) + (6 * recurrent + 5 * recurrent_back) * 7)

    def head(examples: int, products: int) -> int:
        return 2 * products * 5 * examples * (4 * 7) * 3

    # All steps: W_x forwards and its gradient (F), W_h's gradient (H); tangents: V_h forwards and two gradients (3 H).
    plain = {examples: lstm(examples, 2, 1, 1, 1) + head(examples, 3) for examples in (support, query)}
    tangents = lstm(support, 2, 3, 1, 2) + head(support, 6)
    assert sum(product.flop for product in meta_gradient_products(case)) == (
        2 * (plain[support] + tangents) + plain[query]
    )


def test_second_layer_differentiates_its_inputs(tiny: Callable[..., Case]) -> None:
    from bench.with_matmul import layer_products

    case = tiny(layers=2, hidden=6, features=6)  # as many features as hidden, so that only the derivative differs
    first, second = (sum(p.flop for p in layer_products(case, 4, layer, tangents=False)) for layer in (0, 1))
    assert second - first == 2 * case.tasks * case.length * 4 * 24 * 6
    first, second = (sum(p.flop for p in layer_products(case, 4, layer, tangents=True)) for layer in (0, 1))
    assert second - first == 4 * 2 * case.tasks * case.length * 4 * 24 * 6  # x. W_x', dz' x., dz V_x, dz. W_x


def test_replayed_products_have_their_shapes(tiny: Callable[..., Case]) -> None:
    from bench.with_matmul import meta_gradient_products, replay

    for product in set(meta_gradient_products(tiny(layers=2))):
        call = replay(product, steps=6)
        lefts, right, out = call.args
        call()
        assert len(lefts) == product.times
        assert np.allclose(lefts[-1] @ right, out, atol=1e-5)


def test_quick_run_writes_what_is_promised(tmp_path: Path) -> None:
    names = ["metalstm", "higher", "matmul"]  # the others' rows are no different, but for jax's `compile_s`
    done = run_benchmark("--quick", "--rounds", "2", "--threads", "1", "--out", tmp_path, "--systems", *names)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "benchmark.json").read_text())
    assert set(report) == {"environment", "command", "rows"}
    assert {"python", "torch", "jax", "higher", "threads", "cpu"} <= set(report["environment"])
    assert report["command"].startswith("scripts/bench/bench.sh --systems ")
    assert report["command"].endswith(" --rounds 2 --threads 1 --quick")  # nothing of the folder
    promised = {"setting", "system", "hidden", "directions", "layers", "order", "median_s", "min_s", "max_s", "runs"}
    extra = {"matmul": {"gflop", "peak_gflop_per_s", "at_peak_s"}}
    for row in report["rows"]:
        assert set(row) == promised | {"peak_mib"} | extra.get(row["system"], set())
        assert row["runs"] == 2
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["peak_mib"] is None if row["system"] == "matmul" else row["peak_mib"] >= 0
    assert sorted(row["system"] for row in report["rows"]) == sorted(names)
    table = (tmp_path / "benchmark.md").read_text().splitlines()
    assert table[0].startswith(f"`{report['command']}` on ")
    assert sum(line.startswith("| quick") for line in table) == 1


def test_missing_jax_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.problem import BenchmarkError
    from bench.system import require_jax

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=re.escape(install("benchmark"))):
        require_jax()


def test_peak_counts_what_a_step_takes(tiny: Callable[..., Case]) -> None:
    """Eight times the tasks take about eight times the memory, once that is well above a page."""
    from bench.measure import peak_mib

    cases = (tiny(tasks=tasks, task_chunk_size=tasks, hidden=64) for tasks in (32, 256))
    small, large = (peak_mib("metalstm", case, THREADS) for case in cases)
    assert 5 < large / small < 11


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_exponent_of_a_power_law(power: float) -> None:
    from bench.growth import exponent

    sizes = [1, 2, 5, 20, 100]
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power, abs=1e-4)
    assert exponent(sizes, [0, 0, 0, 0, 1]) is None
    assert exponent(sizes, [0, 2, 5, 20, 100]) == pytest.approx(1, abs=1e-4)


def test_growth_draws_every_series(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install '.[figures]')")
    from bench.growth_figure import draw

    axes = ["tasks", "task_chunk_size", "inner_steps", "length", "hidden"]
    series = [(axis, order) for axis in axes for order in ("second", "first")]
    report = {
        "base": {"ways": 5, "shots": 1, "tasks": 8, "hidden": 64, "inner_steps": 5, "length": 28},
        "points": [
            {"axis": axis, "order": order, "size": size, "median_s": 0.1 * size, "peak_mib": 3.0 * size}
            for axis, order in series
            for size in (1, 2, 4)
        ],
        "exponents": [{"axis": axis, "order": order, "median_s": 1.0, "peak_mib": None} for axis, order in series],
    }
    draw(report, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_memory_within_a_budget_and_by_count(tmp_path: Path) -> None:
    done = run_benchmark("--memory", "--quick", "--threads", "1", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "memory.json").read_text())["rows"]
    assert [row["budget_mib"] for row in rows] == [None, 2048] * 2
    assert all(0.3 < row["estimate_mib"] / row["peak_mib"] < 3 for row in rows)
    assert (tmp_path / "memory.md").read_text().count("| by count |") == 2
