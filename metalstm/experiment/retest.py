"""Meta-test a run once more, on as many tasks and after as many steps as asked for.

To choose settings by, it judges on meta-validation instead: then no choice has seen a task of meta-test. With
`protocol=lifelong` the tasks arrive one after another.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metalstm.config.checks import any_ways
from metalstm.config.parse import meta_test_settings
from metalstm.config.schema import MetaTestSettings, TrainSettings
from metalstm.config.text import command_line, plain
from metalstm.errors import ConfigError
from metalstm.evaluation import results
from metalstm.evaluation.lifelong import MODES, run_stream
from metalstm.evaluation.meta_test import Evaluator, leaves_rate_open
from metalstm.experiment.experiment import beside_training
from metalstm.experiment.fit import check_tasks_fit
from metalstm.experiment.identity import run_settings
from metalstm.experiment.restore import Trained, trained_run
from metalstm.files.writing import check_writable
from metalstm.reporting.lifelong import summary as lifelong_summary
from metalstm.reporting.missing import draw_matrices
from metalstm.reporting.summary import summary
from metalstm.runs import layout, logs
from metalstm.runtime.progress import Progress
from metalstm.runtime.signals import Interruption
from metalstm.tasks.streams import Streams

log = logging.getLogger(__name__)


def meta_test_run(config: DictConfig) -> None:
    """Read a run directory, meta-test its best checkpoint, print the result and write it under `tests/`."""
    given = meta_test_settings(config)
    path = Path(given.run)
    of_run = run_settings(path, given.plugins)
    asked = asked_shape(of_run, given)
    check_place(path)
    steps = asked.steps_tested if given.steps is None else given.steps
    check_steps(asked, steps)
    logs.start_log()
    trained = trained_run(
        path,
        given.dataset_root,
        given.allow_changed_data,
        given.plugins,
        ways=asked.ways,
        shots=asked.shots,
        queries=asked.queries,
        test_tasks=given.tasks,
        test_steps=steps,
        curve_steps=2 * steps if given.curve_steps is None else given.curve_steps,
        scratch_tasks=0,
        device=given.device,
        threads=given.threads,
        memory_budget=given.memory_budget,
    )
    experiment = trained.experiment
    picks = {"meta_validation"} if leaves_rate_open(experiment.learner) else set()
    check_tasks_fit(experiment.settings, experiment.dataset, sorted(picks | {given.split}))
    say_changes(of_run, asked, steps)
    beside = beside_training(of_run, steps)
    with Interruption() as interruption:
        evaluator = experiment.evaluator(
            lambda: interruption.raise_if_interrupted("the meta-test was stopped", "start it again"), given.split
        )
        if given.protocol == "lifelong":
            lifelong(trained, given, evaluator, beside)
        else:
            few_shot(trained, evaluator, beside)


def check_place(run: Path) -> None:
    """Whether the result can be written into a run's directory.

    Raises:
        ConfigError: it cannot.
    """
    try:
        check_writable(run / layout.TESTS)
    except OSError as error:
        raise ConfigError.of(
            f"the result would be written into {run / layout.TESTS}, but that fails: {error.strerror or error}",
            "make room and give permission there, or test a copy of the run",
        ) from error


def asked_shape(settings: TrainSettings, given: MetaTestSettings) -> TrainSettings:
    """Return the run's settings, for tasks of the shape asked for.

    Raises:
        ConfigError: the learner takes no other number of classes than it was trained for.
    """
    name = settings.learner.name
    if given.ways not in (None, settings.ways) and not settings.learner.any_ways:
        raise ConfigError.of(
            f"ways={given.ways}, but learner={name} has an output for each of {settings.ways} classes",
            f"leave ways out, or test a run of learner=one of {any_ways()}",
        )
    ways = settings.ways if given.ways is None else given.ways
    shots = settings.shots if given.shots is None else given.shots
    queries = settings.queries if given.queries is None else given.queries
    return dataclasses.replace(settings, ways=ways, shots=shots, queries=queries)


def check_steps(asked: TrainSettings, steps: int) -> None:
    """Whether the learner can take so many steps.

    Raises:
        ConfigError: a step is a shot, and there are fewer.
    """
    if asked.steps_are_shots and steps > asked.shots:
        raise ConfigError.of(
            f"steps={steps}, but a step of learner={asked.learner.name} is one more shot, and there are "
            f"shots={asked.shots}",
            f"use steps<={asked.shots}, or leave it out",
        )


def say_changes(of_run: TrainSettings, asked: TrainSettings, steps: int) -> None:
    """Says in what the meta-test is not as the run's training and its own meta-test."""
    for name in ("ways", "shots", "queries"):
        before, now = getattr(of_run, name), getattr(asked, name)
        if now != before:
            log.info("changed: %s from %d to %d", name, before, now)
    beyond = of_run.beyond_training(steps)
    if beyond is not None:
        log.info("changed: steps from %d in meta-training to %d; %s", of_run.trained_with["steps"], steps, beyond)


def origin(trained: Trained, beside: Mapping[str, Any]) -> results.Origin:
    """Return the run that a result is of."""
    experiment = trained.experiment
    return results.Origin(plain(experiment.settings), command_line(), experiment.dataset, trained.best_step, beside)


def few_shot(trained: Trained, evaluator: Evaluator, beside: Mapping[str, Any]) -> None:
    """Every task by itself, as at the end of a run."""
    experiment, settings = trained.experiment, trained.experiment.settings
    tested = evaluator.evaluate(experiment.learner, experiment.shape, settings.seed)
    training = results.training(trained.steps, trained.seconds, trained.pretraining_seconds, settings.meta_batch_size)
    result = results.result(origin(trained, beside), tested, training)
    log.info("%s", summary(result))
    with layout.shown_if_lost(json.dumps(result)):
        file = layout.new_run_directory(trained.path / layout.TESTS) / layout.RESULT
        results.write_details(file.parent, tested)
        layout.write_json(file, result)
    log.info("result    %s", file)


def lifelong(trained: Trained, given: MetaTestSettings, evaluator: Evaluator, beside: Mapping[str, Any]) -> None:
    """Streams of tasks that arrive one after another, in each of the modes."""
    experiment, test = trained.experiment, evaluator.test
    streams = Streams(test.source, test.shape, given.stream_tasks, given.tasks_per_group, test.seed, test.split)
    evaluator.pick_rate(experiment.learner)
    modes = {}
    for mode in MODES:
        progress = Progress(mode, given.streams, every=max(1, given.streams // 4))

        def after(done: int, progress: Progress = progress) -> None:
            progress.advance(done)
            evaluator.between()

        with progress:
            modes[mode] = run_stream(experiment.learner, streams, given.streams, mode, evaluator, after)
    steps, unit = evaluator.protocol.steps, evaluator.protocol.step_unit
    result = results.lifelong_result(origin(trained, beside), streams, given.streams, steps, unit, modes)
    log.info("%s", lifelong_summary(result))
    with layout.shown_if_lost(json.dumps(result)):
        file = layout.new_run_directory(trained.path / layout.TESTS) / layout.LIFELONG
        layout.write_json(file, result)
    log.info("result    %s", file)
    for figure in draw_matrices(file, trained.path):
        log.info("figure    %s", figure)
