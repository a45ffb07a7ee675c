"""Drawing tasks costs next to nothing beside learning from them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape


def median_seconds(work: Callable[[int], object], runs: int) -> float:
    times = []
    for number in range(runs):
        started = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@pytest.mark.parametrize(("ways", "shots"), [(5, 1), (20, 5)])
def test_sampling_costs_less_than_two_percent_of_a_training_step(ways: int, shots: int) -> None:
    # As many classes as Omniglot has for meta-training.
    pool = ClassDataset(torch.randint(256, (4400, 20, 28, 28), dtype=torch.uint8), [str(i) for i in range(4400)])
    sampler = TaskSampler(pool, TaskShape(ways, shots, 5), 4, 0, "meta_train")
    model = LSTMModel(ModelShape(28, ways, directions=4), torch.Generator().manual_seed(0))
    learner = MAML(WholeModel(model), "classification", 3, 0.1, "per_parameter_per_step")

    def train(step: int) -> None:
        learner.zero_grad()
        learner.meta_loss(sampler(step)).loss.backward()

    train(0)
    sampling = median_seconds(sampler, 20)
    step = median_seconds(train, 3)
    assert sampling < 0.02 * step, f"{sampling:.5f} s of {step:.5f} s"
