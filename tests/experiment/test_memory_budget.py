"""Runs within a memory budget: the same results, the same choice after a resume, and a refusal before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.evaluation.evaluate import EvaluationSetup, longest, meta_evaluate, within_budget
from metalstm.experiment import memory_budget
from metalstm.learners.base import Learner
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML
from metalstm.learners.scratch import Scratch
from metalstm.nn.kernel import tape
from metalstm.nn.lstm import ModelShape
from metalstm.runtime import budget
from metalstm.runtime.budget import BUDGET, MIB, usable
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape
from support.commands import only_run, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

CPU = torch.device("cpu")
SHAPE = ModelShape(4, 3, 16)
TASKS = 5


@pytest.fixture(scope="module")
def sampler() -> TaskSampler:
    """Tasks of sequences of several lengths."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 30, (6, 8), generator=generator)
    lengths[0, 0] = 40
    pool = ClassDataset(torch.randn(6, 8, 40, 4, generator=generator), list("abcdef"), lengths=lengths)
    return TaskSampler(pool, TaskShape(3, 2, 4), 1, 0, "meta_test")


def learner_of(name: str) -> Learner:
    if name == "scratch":
        return Scratch(SHAPE, "classification", "adam", 0.05, 0)
    return MAML(WholeModel(SHAPE.build(torch.Generator().manual_seed(0))), "classification", 3, 0.5)


@pytest.mark.parametrize("name", ["maml", "scratch"])
def test_an_evaluation_is_the_same_bit_for_bit(
    name: str, sampler: TaskSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "NUMBERS_IN_A_PIECE", 2**10)  # several pieces, as long sequences have
    learner, found, parts = learner_of(name), [], []
    one = learner.bytes_in_evaluation(longest(sampler, 0))
    for limit in (None, 2 * one, one):
        monkeypatch.setattr(BUDGET, "limit", limit)
        parts.append([len(part) for part in within_budget(learner, sampler, range(TASKS))])
        shown: list[Any] = []
        watch = lambda _, predictions, shown=shown: shown.append(predictions)  # noqa: E731
        meta_evaluate(learner, sampler, TASKS, [0, 3], EvaluationSetup("classification", CPU), watch=watch)
        found.append(torch.cat(shown, dim=1))
    assert parts == [[5], [2, 2, 1], [1] * 5]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert (found[0][1] - found[0][0]).abs().max() > 1e-2


def test_the_longest_sequence_counts(sampler: TaskSampler) -> None:
    short = next(number for number in range(20) if sampler(number).query.inputs.shape[2] < 40)
    assert longest(sampler, short).query.inputs.shape == (1, 12, 40, 4)


def test_a_task_larger_than_the_default_is_given_room(sampler: TaskSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of("maml")
    whole = learner.bytes_in_training(longest(sampler, 1))
    monkeypatch.setattr(BUDGET, "limit", 1)
    monkeypatch.setattr(memory_budget, "free_memory", lambda: 3 * whole)
    memory_budget.settle_budget(learner, sampler, given=False)
    assert BUDGET.limit == whole


def test_a_learner_that_can_read_in_slices_is_never_refused(in_process: Any) -> None:
    arguments = ["learner=protonet", "test_tasks=4", "scratch_tasks=2", "memory_budget=1", "shots=2"]
    assert in_process("train", *tiny(**{"learner.inner_steps": None}), *arguments).code == 0


def test_what_cannot_fit_is_refused_before_training(in_process: Any) -> None:
    ended = in_process("train", *tiny(), "model.hidden_size=128", "memory_budget=1")
    assert ended.code == 2
    assert "error: meta-training on one task, " in ended.err
    assert "sequences of 28 steps" in ended.err
    assert "memory_budget=1 MiB" in ended.err
    assert "a first-order learner such as fomaml, or memory_budget>=" in ended.err
    assert not list(Path.cwd().glob("outputs/*"))


def result_without_times(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((path / "result.json").read_text())
    return {name: result[name] for name in ("curve", "baselines")}


def test_the_result_of_a_run(
    in_process: Any,
) -> None:
    found = []
    for budget_mib in ("null", "1"):
        arguments = [f"memory_budget={budget_mib}"]
        ended = in_process("train", *tiny(), *arguments, f"output_dir=with_{budget_mib}", "test_tasks=6")
        assert ended.code == 0, ended.err
        found.append(result_without_times(only_run(Path(f"with_{budget_mib}"))))
    assert found[0] == found[1]


def test_a_resumed_run_keeps_its_budget(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "free_memory", lambda: 100 * MIB)
    assert in_process("train", *tiny(steps=2, test_tasks=0), "output_dir=out").code == 0
    assert BUDGET.limit == usable(50 * MIB)
    monkeypatch.setattr(budget, "free_memory", lambda: 2**40)
    resume = f"resume={only_run(Path('out'))}"
    assert in_process("train", resume, "steps=3").code == 0
    assert BUDGET.limit == usable(50 * MIB)
    ended = in_process("train", resume, "steps=4", "memory_budget=70")
    assert BUDGET.limit == usable(70 * MIB)
    assert "with another memory_budget the run is no longer bit for bit the one never stopped" in ended.out + ended.err


def test_less_is_free_than_a_run_began_with(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(BUDGET, "limit", None)
    monkeypatch.setattr(memory_budget, "free_memory", lambda: 100 * MIB)
    memory_budget.go_on_with_budget(usable(200 * MIB))
    assert "began with a memory budget of 200 MiB, but 100 MiB are free; memory_budget=50 uses less" in caplog.text
