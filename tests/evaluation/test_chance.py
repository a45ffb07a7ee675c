"""What does no better than chance is said, once, and only where the numbers bear it out."""

from __future__ import annotations

import pytest
import torch

from metalstm.evaluation.chance import ChanceWatch, gains, is_chance, mean_error
from metalstm.tasks.examples import Examples, TaskBatch


def batch(targets: torch.Tensor) -> TaskBatch:
    examples = Examples(torch.zeros(*targets.shape[:2], 1, 1), targets)
    return TaskBatch(examples, examples)


NOTHING = batch(torch.zeros(1, 2, dtype=torch.int64))


def around(mean: float, spread: float, count: int = 100) -> torch.Tensor:
    return mean + spread * torch.randn(count, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("mean", "spread", "ways", "chance"),
    [
        (0.2, 0.05, 5, True),
        (0.2, 0.0, 5, True),
        (0.3, 0.05, 5, False),
        (0.5, 0.1, 2, True),
        (0.1, 0.02, 20, False),  # twice what guessing gives
        (0.5, 1.0, 2, False),  # too wide to tell
    ],
)
def test_accuracy(mean: float, spread: float, ways: int, chance: bool) -> None:
    assert is_chance(gains("classification", around(mean, spread), ways), ways) == chance


def test_few_values_say_nothing() -> None:
    assert not is_chance(gains("classification", torch.full((9,), 0.5), 2), 2)
    assert is_chance(gains("classification", torch.full((10,), 0.5), 2), 2)


def test_the_error_of_the_mean() -> None:
    support = Examples(torch.zeros(1, 2, 1, 1), torch.tensor([[[0.0], [2.0]]]))
    query = Examples(torch.zeros(1, 2, 1, 1), torch.tensor([[[1.0], [4.0]]]))
    assert mean_error(TaskBatch(support, query)).tolist() == [4.5]
    errors = torch.full((50,), 4.5)
    assert is_chance(gains("regression", around(4.5, 0.1, 50), 1, errors), 1)
    assert not is_chance(gains("regression", around(2.0, 0.1, 50), 1, errors), 1)


@pytest.mark.parametrize(("accuracy", "times"), [(0.2, 1), (0.6, 0)])
def test_said_once_after_a_tenth_of_the_steps(accuracy: float, times: int, caplog: pytest.LogCaptureFixture) -> None:
    watch = ChanceWatch("classification", 5, 400)
    for step in range(1, 401):
        watch.see(step, accuracy, NOTHING)
        assert len(caplog.records) == (times if step >= 40 else 0)
    if times:
        said = "after 40 of 400 steps nothing is learned yet: meta-train accuracy 20.0% is that of guessing one of 5"
        assert said in caplog.text


def test_learning_late_in_the_first_tenth_counts(caplog: pytest.LogCaptureFixture) -> None:
    watch = ChanceWatch("classification", 5, 400)
    for step in range(1, 401):
        watch.see(step, 0.2 if step <= 20 else 0.6, NOTHING)
    assert not caplog.records


def test_regression_no_better_than_the_mean(caplog: pytest.LogCaptureFixture) -> None:
    tasks = batch(torch.tensor([[[0.0], [2.0]]]))  # the mean's error is 1
    watch = ChanceWatch("regression", 1, 100)
    for step in range(1, 11):
        watch.see(step, 1.01, tasks)
    assert "meta-train mse 1.01 is no better than the mean of the support targets" in caplog.text
