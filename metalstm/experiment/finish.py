"""What a run ends with: the meta-test of its best checkpoint, and what is written of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from metalstm.config.text import pasted, plain
from metalstm.evaluation import results
from metalstm.evaluation.forecast import forecast
from metalstm.evaluation.meta_test import Judge, MetaTested
from metalstm.experiment import build, build_learner
from metalstm.reporting.missing import draw_missing
from metalstm.reporting.summary import summary
from metalstm.runs import layout
from metalstm.runs.checkpoint import BEST, fitting

if TYPE_CHECKING:
    from collections.abc import Callable

    from metalstm.config.schema import TrainSettings
    from metalstm.datasets.base import Dataset
    from metalstm.learners.base import Learner
    from metalstm.training.meta_trainer import MetaTraining

log = logging.getLogger(__name__)


def judge_of(settings: TrainSettings, dataset: Dataset, training: MetaTraining, path: Path) -> Judge:
    """What the learner is meta-tested by; `path` is the run's."""

    def heed() -> None:
        # The last step's checkpoint is saved already; the learner holds the best one's weights now.
        training.interruption.heed("the meta-test was stopped", f"go on with {pasted('resume', path)}")

    splits = ("meta_validation", "meta_test")
    validation, test = (build.make_sampler(settings, dataset, split) for split in splits)
    protocol, device = build.test_protocol(settings), torch.device(settings.device)
    return Judge(validation, test, protocol, dataset.kind, device, heed, training.processes)


def forecast_of(
    settings: TrainSettings, dataset: Dataset, training: MetaTraining, path: Path
) -> Callable[[Learner, int], dict[str, float]]:
    """From a learner, and how many meta-validations are to come, to the seconds of the phases ahead."""
    judge, shape = judge_of(settings, dataset, training, path), build_learner.model_shape(settings, dataset)
    return lambda judged, left: forecast(judge, judged, shape, settings.seed, left, settings.validation_tasks)


def meta_tested(settings: TrainSettings, dataset: Dataset, training: MetaTraining, path: Path) -> MetaTested:
    """Meta-tests the learner that the first process has, beside the baselines; `path` is the run's."""
    training.processes.spread(training.learner)
    judge = judge_of(settings, dataset, training, path)
    return judge.judge(training.learner, build_learner.model_shape(settings, dataset), settings.seed)


def finish(
    settings: TrainSettings, dataset: Dataset, training: MetaTraining, path: Path, command: list[str]
) -> dict[str, Any]:
    """Meta-tests the best checkpoint beside the baselines; writes `result.json`, which it gives, then what is drawn."""
    best = training.checkpoints.newest(BEST, torch.device(settings.device))
    if best is None:
        log.warning("the best checkpoint is gone; the last one is tested")
    else:
        with fitting(best):
            training.learner.load_state_dict(best.state["learner"])
    beyond = settings.beyond_training(settings.steps_tested)
    if beyond is not None:
        log.info("meta-test after %d steps: %s", settings.steps_tested, beyond)
    tested = meta_tested(settings, dataset, training, path)
    result = results.result(
        plain(settings),
        command,
        dataset,
        tested,
        None if best is None else best.step,
        results.training(training.step, training.seconds, training.pretraining_seconds, settings.meta_batch_size)
        | {"peak_memory_mib": results.peak_memory_mib(torch.device(settings.device))},
        build.beside_training(settings, tested.steps),
        training.processes.count,
    )
    log.info("%s", summary(result))
    with layout.shown_if_lost(json.dumps(result)):
        if training.checkpoints.held is not None:
            training.checkpoints.held.check()
        results.write_details(path, tested)
        layout.write_json(path / layout.RESULT, result)  # last: it says that the run is over
    log.info("result    %s", path / layout.RESULT)
    log.info("drawing   the figures and the report")
    for name, file in draw_missing(path):
        log.info("%-9s %s", name, file)
    return result
