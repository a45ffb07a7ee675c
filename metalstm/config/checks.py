"""Settings that are each in bounds, but do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metalstm import registry
from metalstm.errors import Problem

if TYPE_CHECKING:
    from metalstm.config.schema import TrainSettings


def at_odds(settings: TrainSettings) -> Iterator[Problem]:
    """Yield settings that are in bounds, each by itself, but do not go together."""
    name = settings.dataset.name
    regression = settings.dataset.kind == "regression"
    if regression and settings.ways != 1:
        yield Problem(
            f"ways={settings.ways}, but a task of dataset '{name}' is one function",
            "use ways=1; shots is the k of k-shot regression",
        )
    if not regression and settings.ways < 2:
        yield Problem(f"ways={settings.ways}, but telling classes apart takes 2", "use ways>=2")
    if settings.train_ways is not None:
        yield from at_odds_with_train_ways(settings, regression)
    for component in (settings.dataset, settings.model, settings.learner):
        yield from component.problems(settings)
    if settings.precision != "float32" and not settings.learner.mixed_precision:
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
    """Yield settings that tasks of other ways in meta-training do not go with."""
    name = settings.learner.name
    if regression:
        yield Problem(
            f"train_ways={settings.train_ways}, but a task of dataset '{settings.dataset.name}' is one function",
            "leave train_ways out",
        )
    elif not settings.learner.any_ways:
        yield Problem(
            f"train_ways={settings.train_ways}, but learner={name} has an output for each of {settings.ways} classes",
            f"leave train_ways out, or use learner=one of {any_ways()}",
        )


def any_ways() -> str:
    """Return the names of the learners that take any number of classes once trained, for a message."""
    return ", ".join(
        sorted(name for name in registry.names("learner") if registry.settings_class("learner", name).any_ways)
    )
