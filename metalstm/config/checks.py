"""Settings that are each in bounds, but do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metalstm.dataset_settings import REGRESSION
from metalstm.errors import Problem
from metalstm.learner_settings import ANY_WAYS

if TYPE_CHECKING:
    from metalstm.config.schema import TrainSettings


def at_odds(settings: TrainSettings) -> Iterator[Problem]:
    """Settings that are in bounds, each by itself, but do not go together."""
    name = settings.dataset.name
    regression = name in REGRESSION
    if regression and settings.ways != 1:
        yield Problem(
            f"ways={settings.ways}, but a task of dataset '{name}' is one function",
            "use ways=1; shots is the k of k-shot regression",
        )
    if not regression and settings.ways < 2:
        yield Problem(f"ways={settings.ways}, but telling classes apart takes 2", "use ways>=2")
    if regression and getattr(settings.model, "directions", None) not in (None, 1, 2):
        yield Problem(
            f"model.directions={settings.model.directions} reads columns, but dataset '{name}' has no images",
            "use model.directions=1 or 2",
        )
    if settings.train_ways is not None:
        yield from at_odds_with_train_ways(settings, regression)
    if settings.learner.name == "fomaml" and settings.learner.order != "first":
        yield Problem(
            f"learner.order={settings.learner.order}, but learner=fomaml is first order",
            "use learner=maml, or leave learner.order out",
        )
    if getattr(settings.learner, "engine", None) == "higher":
        yield from beyond_higher(settings)
    if (
        settings.learner.name == "memory"
        and settings.learner.support == "pooled"
        and settings.learner.labels == "offset"
    ):
        yield Problem(
            "learner.labels=offset, but with learner.support=pooled no example comes after another",
            "use learner.labels=joined, or learner.support=sequential",
        )
    if settings.precision != "float32" and not hasattr(settings.learner, "tasks_at_a_time"):
        yield Problem(
            f"precision={settings.precision}, but learner={settings.learner.name} computes in float32",
            "use precision=float32, or learner=maml",
        )
    if settings.steps_are_shots and settings.steps_tested > settings.shots:
        yield Problem(
            f"test_steps={settings.test_steps}, but a step of learner={settings.learner.name} is one more shot, and "
            f"there are shots={settings.shots}",
            f"use test_steps<={settings.shots}, or leave it out",
        )
    if settings.scratch_tasks == 1:
        yield Problem("scratch_tasks=1, but an interval takes 2 tasks", "use scratch_tasks>=2, or 0 for no baseline")
    if settings.test_tasks == 1:
        yield Problem("test_tasks=1, but an interval takes 2 tasks", "use test_tasks>=2, or 0 for no meta-test yet")
    if settings.scratch_tasks > settings.test_tasks > 1:
        yield Problem(
            f"scratch_tasks={settings.scratch_tasks}, but there are test_tasks={settings.test_tasks}",
            f"use scratch_tasks<={settings.test_tasks}",
        )


def at_odds_with_train_ways(settings: TrainSettings, regression: bool) -> Iterator[Problem]:
    """Settings that tasks of other ways in meta-training do not go with."""
    name = settings.learner.name
    if regression:
        yield Problem(
            f"train_ways={settings.train_ways}, but a task of dataset '{settings.dataset.name}' is one function",
            "leave train_ways out",
        )
    elif name not in ANY_WAYS:
        yield Problem(
            f"train_ways={settings.train_ways}, but learner={name} has an output for each of {settings.ways} classes",
            f"leave train_ways out, or use learner=one of {', '.join(sorted(ANY_WAYS))}",
        )


def beyond_higher(settings: TrainSettings) -> Iterator[Problem]:
    """Settings that the engine `higher` does not know."""
    if settings.model.name != "lstm":
        yield Problem(
            f"model={settings.model.name}, but learner.engine=higher adapts the LSTM alone",
            "use learner.engine=batched, or model=lstm",
        )
    if settings.model.dropout > 0:
        yield Problem(
            f"model.dropout={settings.model.dropout}, but learner.engine=higher has no dropout",
            "use learner.engine=batched, or model.dropout=0",
        )
    if settings.learner.recompute:
        yield Problem(
            "learner.recompute=true, but learner.engine=higher remembers every inner step",
            "use learner.engine=batched, or learner.recompute=false",
        )
    if settings.precision != "float32":
        yield Problem(
            f"precision={settings.precision}, but learner.engine=higher is the reference in float32",
            "use learner.engine=batched, or precision=float32",
        )
