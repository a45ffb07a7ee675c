"""`metalstm-train`: meta-trains a learner, meta-tests it, and compares it with the same LSTM from scratch."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from metalstm.command import command_line, run_command, sweep_asked_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from omegaconf import DictConfig

    from metalstm.config import TrainSettings
    from metalstm.datasets.base import Dataset
    from metalstm.learners.base import Learner
    from metalstm.run.checkpoint import Checkpoint, Checkpoints
    from metalstm.run.directory import Place
    from metalstm.run.interruption import Interruption
    from metalstm.run.loop import MetaTraining
    from metalstm.run.resume import Resumed

log = logging.getLogger("metalstm.train")  # also where it is run as `python -m`


def main() -> None:
    """The command: one run, or with `-m` a sweep of them, each in a process of its own."""
    if "METALSTM_SWEEP" in os.environ:
        from metalstm.run.job import end_with_sweep

        end_with_sweep()
    sweep = sweep_asked_for()
    if sweep is None:
        run_command("train", train)
    else:
        from metalstm.sweep import run_sweep

        run_sweep(sweep)


def train(config: DictConfig) -> None:
    """One run, as the command line says; `hydra.run.dir` may name its directory."""
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from metalstm.run.directory import Place, start_log

    start_log()
    hydra = HydraConfig.get()
    path = Path(hydra.run.dir)
    place = None if path == Path() else Place(path.parent, path.name)
    begin_or_resume(config, hydra.overrides.task, command_line(), place)


def begin_or_resume(
    config: DictConfig, overrides: Sequence[str], command: list[str], place: Place | None = None
) -> Path:
    """A new run, or with `resume` one that goes on in its own directory; gives the directory.

    Args:
        config: composed of the overrides.
        overrides: as they were given.
        command: for `result.json`.
        place: of a new run; None: as the settings have it.
    """
    from metalstm.config import train_settings
    from metalstm.run.resume import resumed_settings

    if config.resume is None:
        return run(train_settings(config), None, command, place)
    resumed = resumed_settings(config, overrides)
    return run(resumed.settings, resumed, command, None)


def run(settings: TrainSettings, resumed: Resumed | None, command: list[str], place: Place | None) -> Path:
    """Meta-trains and meta-tests; see `begin_or_resume`."""
    from pathlib import Path

    import torch

    from metalstm import announcement, assembly, learner_assembly
    from metalstm.fields import flat, plain
    from metalstm.pretrained import start_from
    from metalstm.run import directory, resume
    from metalstm.run.checkpoint import LATEST, Checkpoints
    from metalstm.run.interruption import Interruption
    from metalstm.run.lock import RunLock
    from metalstm.run.metrics import read_metrics
    from metalstm.tracking.base import TrackedRun
    from metalstm.tracking.follow import Tracking, check_installed

    check_installed(settings.loggers)
    assembly.use_machine(settings.device, settings.threads)
    dataset = assembly.make_dataset(settings.dataset)
    assembly.check_tasks_fit(settings, dataset)
    learner = learner_assembly.make_learner(settings, dataset)
    pretraining = 0.0
    if settings.start is not None and (resumed is None or not begun(resumed.path)):
        pretraining = start_from(Path(settings.start), learner, dataset, torch.device(settings.device))
    # From here on a signal ends the run at a step boundary; before, there is nothing to save.
    with Interruption() as interruption:
        path = new_run(settings, dataset, learner, place) if resumed is None else resumed.path
        with RunLock(path), directory.reason_logged():
            if resumed is not None:
                resume.check_fingerprint(path, dataset, settings.allow_changed_data)
            directory.log_to_file(path / directory.LOG)
            checkpoints = Checkpoints(path / directory.CHECKPOINTS, settings.keep_checkpoints)
            checkpoint = checkpoints.newest(LATEST, torch.device(settings.device))
            if resumed is not None:
                resume.check_budget(path, settings.steps, 0 if checkpoint is None else checkpoint.step)
                check_best(checkpoints, learner, torch.device(settings.device))
            training = meta_training(settings, dataset, learner, path, checkpoints, checkpoint, interruption)
            if checkpoint is None:
                training.pretraining_seconds = pretraining
            if resumed is not None:  # and can be gone on with
                resumed.write_down()
                resume.write_config(path, settings, dataset.fingerprint)
                (path / directory.RESULT).unlink(missing_ok=True)  # of fewer steps; a run is over when it has one
            tracked = TrackedRun(path, Path(settings.output_dir), flat(plain(settings)))
            announcement.introduce(settings, dataset, training, tracked)
            with Tracking(settings.loggers, tracked, read_metrics(path)) as tracking:
                training.metrics.followers.append(tracking.record)
                try:
                    training.run()
                finally:
                    training.metrics.close()
                if settings.test_tasks > 0:
                    tracking.result(finish(settings, dataset, training, path, command))
                else:
                    log.info("next      metalstm-train resume=%s test_tasks=600", path)
    return path


def begun(path: Path) -> bool:
    """Whether a run has a checkpoint, whole or broken, and so needs no start."""
    from metalstm.run import directory
    from metalstm.run.checkpoint import LATEST, Checkpoints

    return bool(Checkpoints(path / directory.CHECKPOINTS, 1).paths(LATEST))


def new_run(settings: TrainSettings, dataset: Dataset, learner: Learner, place: Place | None) -> Path:
    """The directory of a new run, its config in it.

    Raises:
        ConfigError: there is no room for it, or no permission.
    """
    from metalstm.run import directory, resume

    place = place or usual_place(settings)
    weights = sum(weight.nbytes for weight in learner.parameters())
    directory.check_room(place.parent, 3 * weights, settings.keep_checkpoints)  # Adam's two means are as large, each
    path = directory.new_run_directory(*place)
    resume.write_config(path, settings, dataset.fingerprint)
    return path


def check_best(checkpoints: Checkpoints, learner: Learner, device: torch.device) -> None:
    """Whether the best checkpoint so far, which may be meta-tested at the end, is one of this learner.

    Raises:
        CheckpointError: it is of another.
    """
    import copy

    from metalstm.run.checkpoint import BEST, fitting

    best = checkpoints.newest(BEST, device)
    if best is not None:
        with fitting(best):
            copy.deepcopy(learner).load_state_dict(best.state["learner"])


def usual_place(settings: TrainSettings) -> Place:
    """Where a run's directory goes: by dataset, task and learner, and named by the time."""
    from pathlib import Path

    from metalstm.run.directory import Place

    task = f"{settings.ways}w{settings.shots}s"
    return Place(Path(settings.output_dir) / f"{settings.dataset.name}_{task}_{settings.learner.name}")


def meta_training(
    settings: TrainSettings,
    dataset: Dataset,
    learner: Learner,
    path: Path,
    checkpoints: Checkpoints,
    checkpoint: Checkpoint | None,
    interruption: Interruption,
) -> MetaTraining:
    """A meta-training at its start, or where a checkpoint left it."""
    import torch

    from metalstm import assembly
    from metalstm.run import directory
    from metalstm.run.checkpoint import fitting
    from metalstm.run.loop import MetaTraining, Schedule, Validation
    from metalstm.run.metrics import MetricsFile
    from metalstm.run.outer import OuterOptimizer

    device = torch.device(settings.device)
    lines = 0
    if checkpoint is not None:
        with fitting(checkpoint):
            lines = int(checkpoint.state["metrics_lines"])
    training = MetaTraining(
        learner,
        OuterOptimizer(
            learner.parameters(),
            settings.outer_lr,
            settings.outer_schedule,
            settings.steps,
            settings.clip_norm,
            settings.learner.name,
        ),
        assembly.make_sampler(settings, dataset, "meta_train"),
        Validation(
            assembly.make_sampler(settings, dataset, "meta_validation"),
            settings.validation_tasks,
            settings.steps_tested,
            dataset.kind,
        ),
        Schedule(settings.steps, settings.log_every, settings.validate_every, settings.checkpoint_every),
        checkpoints,
        MetricsFile(path / directory.METRICS, lines),
        interruption,
        device,
        settings.seed,
        settings.averaging,
    )
    if checkpoint is not None:
        with fitting(checkpoint):
            training.load_state_dict(checkpoint.state)
    return training


def finish(
    settings: TrainSettings, dataset: Dataset, training: MetaTraining, path: Path, command: list[str]
) -> dict[str, Any]:
    """Meta-tests the best checkpoint beside the baselines; writes `result.json`, which it gives, and the figure."""
    import torch

    from metalstm import assembly, learner_assembly
    from metalstm.fields import plain
    from metalstm.files import writing
    from metalstm.reporting.figures import draw_adaptation_curve
    from metalstm.reporting.page import write_report
    from metalstm.reporting.summary import summary
    from metalstm.run import directory, results
    from metalstm.run.checkpoint import BEST, fitting
    from metalstm.run.meta_test import Judge

    device = torch.device(settings.device)
    best = training.checkpoints.newest(BEST, device)
    if best is None:
        log.warning("the best checkpoint is gone; the last one is tested")
    else:
        with fitting(best):
            training.learner.load_state_dict(best.state["learner"])
    shape = learner_assembly.model_shape(settings, dataset)

    def heed() -> None:
        # The last step's checkpoint is saved already; the learner holds the best one's weights now.
        training.interruption.heed("the meta-test was stopped", f"go on with resume={path}")

    splits = ("meta_validation", "meta_test")
    validation, test = (assembly.make_sampler(settings, dataset, split) for split in splits)
    judge = Judge(validation, test, assembly.test_protocol(settings), dataset.kind, device, heed)
    tested = judge.judge(training.learner, shape, settings.seed)
    result = results.result(
        plain(settings),
        command,
        dataset,
        tested,
        None if best is None else best.step,
        results.training(training.step, training.seconds, training.pretraining_seconds, settings.meta_batch_size)
        | {"peak_memory_mib": results.peak_memory_mib(device)},
    )
    results.write_details(path, tested)
    figure = path / "figures" / "adaptation_curve.png"
    with writing(figure):
        drawn = draw_adaptation_curve(result, figure)
    directory.write_json(path / directory.RESULT, result)  # last: it says that the run is over
    log.info("%s", summary(result))
    log.info("result    %s", path / directory.RESULT)
    write_report(path)
    if drawn:
        log.info("figure    %s", figure)
    log.info("next      metalstm-test run=%s tasks=1000", path)
    return result


if __name__ == "__main__":
    main()
