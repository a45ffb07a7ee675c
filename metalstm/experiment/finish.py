"""The end of a run: the meta-test of its best checkpoint, the result, and what is drawn of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from metalstm.config.text import pasted, plain
from metalstm.evaluation import results
from metalstm.evaluation.forecast import forecast
from metalstm.evaluation.meta_test import Evaluator
from metalstm.experiment.experiment import beside_training
from metalstm.experiment.session import Session
from metalstm.learners.base import Learner
from metalstm.reporting.missing import draw_missing
from metalstm.reporting.summary import summary
from metalstm.runs import layout
from metalstm.runs.checkpoint import fitting
from metalstm.training.meta_trainer import MetaTrainer

log = logging.getLogger(__name__)


def judge_of(session: Session) -> Evaluator:
    """Return what the run's learner is meta-tested by."""

    def raise_if_interrupted() -> None:
        # The last step's checkpoint is saved already; the learner holds the best one's weights now.
        fix = f"go on with {pasted('resume', session.path)}"
        session.interruption.raise_if_interrupted("the meta-test was stopped", fix)

    return session.experiment.evaluator(raise_if_interrupted)


def forecast_of(session: Session) -> Callable[[Learner, int], dict[str, float]]:
    """Return a function of a learner and the meta-validations to come that gives the seconds of the phases ahead."""
    evaluator, shape, settings = judge_of(session), session.experiment.shape, session.experiment.settings
    return lambda judged, left: forecast(evaluator, judged, shape, settings.seed, left, settings.validation_tasks)


def meta_test(session: Session, trainer: MetaTrainer, command: Sequence[str]) -> None:
    """Meta-test the best checkpoint beside the baselines; the first process writes the result, then draws it.

    Args:
        session: of the run.
        trainer: whose learner is tested.
        command: that was given, for `result.json`.
    """
    experiment, settings = session.experiment, session.experiment.settings
    best = session.best()
    if best is not None:
        with fitting(best):
            trainer.learner.load_state_dict(best.state["learner"])
    elif session.writing is not None:
        log.warning("the best checkpoint is gone; the last one is tested")
    beyond = settings.beyond_training(settings.steps_tested)
    if beyond is not None:
        log.info("meta-test after %d steps: %s", settings.steps_tested, beyond)
    experiment.processes.broadcast(trainer.learner)
    tested = judge_of(session).evaluate(trainer.learner, experiment.shape, settings.seed)
    if session.writing is None:
        return
    origin = results.Origin(
        plain(settings),
        command,
        experiment.dataset,
        None if best is None else best.step,
        beside_training(settings, tested.steps),
        experiment.processes.count,
    )
    training = results.training(trainer.step, trainer.seconds, trainer.pretraining_seconds, settings.meta_batch_size)
    training["peak_memory_mib"] = results.peak_memory_mib(experiment.device)
    result = results.result(origin, tested, training)
    write(session, result, lambda: results.write_details(session.path, tested))


def write(session: Session, result: dict[str, Any], write_details: Callable[[], None]) -> None:
    """Write `result.json`, which says that the run is over, after its details; then draw figures and report."""
    log.info("%s", summary(result))
    with layout.shown_if_lost(json.dumps(result)):
        session.check()
        write_details()
        layout.write_json(session.path / layout.RESULT, result)
    log.info("result    %s", session.path / layout.RESULT)
    log.info("drawing   the figures and the report")
    for name, file in draw_missing(session.path):
        log.info("%-9s %s", name, file)
    session.report(result)
