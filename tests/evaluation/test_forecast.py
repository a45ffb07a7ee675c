"""How long a run takes: what is timed, and what is reckoned from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from metalstm.datasets.series.sinusoid import SinusoidFamily
from metalstm.evaluation import forecast
from metalstm.evaluation.baselines import phase_names
from metalstm.evaluation.evaluate import EvaluationSetup
from metalstm.evaluation.meta_test import Evaluator, Protocol
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.sampler import TaskSampler, TaskShape

SHAPE = ModelShape(1, 1, 3)
STEP, JUDGED = 2.0, 0.5  # seconds of a task


@pytest.fixture
def evaluator() -> Evaluator:
    protocol = Protocol(60, 3, 6, "step", scratch_inner_steps=3, scratch_tasks=10, scratch_steps=100)
    sampler = TaskSampler(SinusoidFamily(1), TaskShape(1, 2, 2), 1, 0, "meta_test")
    return Evaluator(sampler, sampler, protocol, EvaluationSetup("regression", torch.device("cpu")), lambda: None)


@pytest.fixture
def learner() -> Any:
    return MAML(WholeModel(LSTMModel(SHAPE, torch.Generator().manual_seed(0))), "regression", 3, 0.1)


def test_all_phases_are_reckoned(evaluator: Evaluator, learner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(evaluator: Evaluator, learner: Any, at: Sequence[int], tasks: int = 8) -> float:
        return at[-1] * STEP + len(at) * JUDGED

    monkeypatch.setattr(forecast, "seconds_of_a_task", timed)
    once, shown, many = 3 * STEP + JUDGED, 6 * STEP + 7 * JUDGED, 100 * STEP + 8 * JUDGED  # 0 1 2 5 10 20 50 100
    scratch = [6 * 20 * once, 10 * shown, 5 * 20 * many, 10 * many]
    assert forecast.forecast(evaluator, learner, SHAPE, 0, 4, 50) == {
        "meta-validation": 4 * 50 * once,
        "meta-test": 60 * shown,
        **dict(zip(phase_names(), scratch, strict=True)),
        "report": forecast.DRAWING,
    }
    none = evaluator._replace(protocol=evaluator.protocol._replace(tasks=0))
    assert forecast.forecast(none, learner, SHAPE, 0, 4, 50) == {"meta-validation": 4 * 50 * once}


def test_what_is_timed_leaves_the_learner_as_it_was(evaluator: Evaluator, learner: Any) -> None:
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    random = torch.get_rng_state()
    found = forecast.forecast(evaluator, learner, SHAPE, 0, 4, 50)
    assert min(found.values()) >= 0
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in learner.state_dict().items())
