"""`metalstm-train`: meta-trains a learner, meta-tests it, and compares it with the same LSTM from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from omegaconf import DictConfig

    from metalstm.config.schema import TrainSettings
    from metalstm.datasets.base import Dataset
    from metalstm.experiment.resume import Resumed
    from metalstm.learners.base import Learner
    from metalstm.runs.checkpoint import Checkpoint, Checkpoints
    from metalstm.runs.layout import Place
    from metalstm.runtime.processes import Processes
    from metalstm.runtime.signals import Interruption
    from metalstm.training.meta_trainer import MetaTraining


def train_command(config: DictConfig) -> None:
    """Carry out `metalstm-train`: a run of the processes that `torchrun` has started, or of this one alone.

    `hydra.run.dir` may name its directory.
    """
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from metalstm.config.text import command_line
    from metalstm.runs.layout import Place
    from metalstm.runtime.processes import processes_together

    hydra = HydraConfig.get()
    path = Path(hydra.run.dir)
    place = None if path == Path() else Place(path.parent, path.name)
    with processes_together() as processes:
        begin_or_resume(config, hydra.overrides.task, command_line(), processes, place)


def begin_or_resume(
    config: DictConfig, overrides: Sequence[str], command: list[str], processes: Processes, place: Place | None = None
) -> Path:
    """A new run, or with `resume` one that goes on in its own directory; gives the directory.

    Args:
        config: composed of the overrides.
        overrides: as they were given.
        command: for `result.json`.
        processes: that do it together.
        place: of a new run; None: as the settings have it.
    """
    from metalstm.config.parse import as_mapping, train_settings
    from metalstm.config.text import flat
    from metalstm.experiment.agreement import check_same_settings
    from metalstm.experiment.resume import resumed_settings
    from metalstm.experiment.start import check_shares

    def chosen() -> tuple[TrainSettings, Resumed | None]:
        if config.resume is None:
            return train_settings(config), None
        resumed = resumed_settings(config, overrides)
        return resumed.settings, resumed

    check_same_settings(processes, flat(as_mapping(config)))
    settings, resumed = processes.from_first(chosen)
    check_shares(settings, processes)
    return run(settings, resumed, command, processes, place)


def run(
    settings: TrainSettings, resumed: Resumed | None, command: list[str], processes: Processes, place: Place | None
) -> Path:
    """Meta-trains and meta-tests; see `begin_or_resume`."""
    from metalstm.datasets import loading
    from metalstm.experiment import build
    from metalstm.experiment.agreement import check_same_data, check_same_weights
    from metalstm.experiment.memory_budget import settle_budget
    from metalstm.experiment.resume import found_again
    from metalstm.experiment.start import learner_of
    from metalstm.runtime import device
    from metalstm.tracking.follow import check_installed

    if processes.first:
        check_installed(settings.loggers)
    processes.take_device(settings.device)
    device.use_machine(settings.device, settings.threads, settings.memory_budget)
    with processes.one_of_each_host_first(), found_again(None if resumed is None else resumed.path, "dataset.root"):
        dataset = loading.make_dataset(settings.dataset)
    check_same_data(processes, dataset)
    learner = learner_of(settings, dataset)
    check_same_weights(processes, learner)
    settle_budget(learner, build.make_sampler(settings, dataset, "meta_train"), settings.memory_budget is not None)
    if processes.first:
        return lead(settings, resumed, dataset, learner, command, processes, place)
    return follow(settings, dataset, learner, processes)


def follow(settings: TrainSettings, dataset: Dataset, learner: Learner, processes: Processes) -> Path:
    """A process's share of what the first one leads; it sees nothing of the directory that it gives."""
    from pathlib import Path

    from metalstm.experiment import finish
    from metalstm.runs import layout
    from metalstm.runs.checkpoint import NoCheckpoints
    from metalstm.runtime.heartbeat import REMEDY
    from metalstm.runtime.signals import Interruption

    with Interruption(processes) as interruption:
        path = REMEDY.run = processes.from_first(Path)
        checkpoints = NoCheckpoints(path / layout.CHECKPOINTS, settings.keep_checkpoints)
        training = meta_training(settings, dataset, learner, None, checkpoints, None, interruption)
        processes.spread(training)
        training.run()
        if settings.test_tasks > 0:
            finish.meta_tested(settings, dataset, training, path)
    return path


def lead(
    settings: TrainSettings,
    resumed: Resumed | None,
    dataset: Dataset,
    learner: Learner,
    command: list[str],
    processes: Processes,
    place: Place | None,
) -> Path:
    """The whole run, by the process that reads and writes its directory."""
    from contextlib import closing
    from pathlib import Path

    import torch

    from metalstm.config.parse import from_the_root
    from metalstm.config.text import flat, plain
    from metalstm.experiment import finish, identity, resume
    from metalstm.experiment.console import conclude, introduce
    from metalstm.experiment.resume import check_budget
    from metalstm.experiment.start import begun, check_best, new_run
    from metalstm.experiment.warm_start import start_from
    from metalstm.runs import layout, logs
    from metalstm.runs.checkpoint import LATEST
    from metalstm.runs.lock import RunLock
    from metalstm.runs.metrics import Records
    from metalstm.runtime.heartbeat import REMEDY
    from metalstm.runtime.signals import Interruption
    from metalstm.tracking.base import TrackedRun
    from metalstm.tracking.follow import Tracking

    device = torch.device(settings.device)
    pretraining = 0.0
    if settings.start is not None and (resumed is None or not begun(resumed.path)):
        pretraining = start_from(Path(settings.start), learner, dataset, device)
    # From here on a signal ends the run at a step boundary; before, there is nothing to save.
    with Interruption(processes) as interruption:
        path = new_run(settings, dataset, learner, place) if resumed is None else resumed.path
        with RunLock(path) as held:
            if resumed is not None:
                resume.check_fingerprint(path, dataset, settings.allow_changed_data)
            held.files[path / layout.LOG] = logs.log_to_file(path / layout.LOG)
            checkpoints = resume.checkpoints_of(path, settings, held)
            checkpoint = checkpoints.newest(LATEST, device)
            if resumed is not None:
                check_budget(path, settings.steps, 0 if checkpoint is None else checkpoint.step)
                check_best(checkpoints, learner, device)
            training = meta_training(settings, dataset, learner, path, checkpoints, checkpoint, interruption)
            training.forecast = finish.forecast_of(settings, dataset, training, path)
            if checkpoint is None:
                training.pretraining_seconds = pretraining
            if resumed is not None:  # and can be gone on with
                resumed.write_down(checkpoint, training)
                identity.write_config(path, settings, dataset.fingerprint)
                layout.begin_again(path)  # its result is of fewer steps; a run is over when it has one
            tracked = TrackedRun(path, Path(settings.output_dir), flat(from_the_root(plain(settings))))
            introduce(settings, dataset, training, tracked)
            REMEDY.run = processes.from_first(lambda: path)
            processes.spread(training)
            before = Records(path, training.metrics.size)
            with (
                closing(training.metrics),
                logs.reason_logged(),
                Tracking(settings.loggers, tracked, before) as tracking,
            ):
                held.files[training.metrics.path] = training.metrics.file
                training.metrics.followers.append(tracking.record)
                training.run()
                identity.put_back_config(path, settings, dataset.fingerprint)
                if settings.test_tasks > 0:
                    tracking.result(finish.finish(settings, dataset, training, path, command))
                held.check(files=True)
            conclude(settings, dataset, path)
    return path


def meta_training(
    settings: TrainSettings,
    dataset: Dataset,
    learner: Learner,
    path: Path | None,
    checkpoints: Checkpoints,
    checkpoint: Checkpoint | None,
    interruption: Interruption,
) -> MetaTraining:
    """A meta-training at its start, or where a checkpoint left it; of a process that does not write, `path` is None."""
    import torch

    from metalstm.experiment import build
    from metalstm.experiment.memory_budget import go_on_with_budget
    from metalstm.runs import layout
    from metalstm.runs.checkpoint import fitting
    from metalstm.runs.metrics import Mark, MetricsFile, NoMetrics
    from metalstm.training.meta_trainer import MetaTraining, Schedule, Validation
    from metalstm.training.outer_optimizer import OuterOptimizer

    processes = interruption.processes
    mark = Mark(0)
    if checkpoint is not None:
        with fitting(checkpoint):
            mark = Mark.of(checkpoint.state)
    training = MetaTraining(
        learner,
        OuterOptimizer(
            learner.parameters(),
            settings.outer_lr,
            settings.outer_schedule,
            settings.steps,
            settings.clip_norm,
            settings.learner.name,
            processes,
        ),
        build.make_sampler(settings, dataset, "meta_train", processes),
        Validation(
            build.make_sampler(settings, dataset, "meta_validation"),
            settings.validation_tasks,
            settings.steps_tested,
            dataset.kind,
        ),
        Schedule(settings.steps, settings.log_every, settings.validate_every, settings.checkpoint_every),
        checkpoints,
        NoMetrics() if path is None else MetricsFile(path / layout.METRICS, mark),
        interruption,
        torch.device(settings.device),
        settings.averaging,
        processes.stream("learner") if settings.draws_for_each_task else "learner",
        processes,
    )
    if checkpoint is not None:
        with fitting(checkpoint):
            training.load_state_dict(checkpoint.state)
        if settings.memory_budget is None:
            go_on_with_budget(checkpoint.state.get("memory_budget"))
    return training
