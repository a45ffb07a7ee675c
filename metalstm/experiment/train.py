"""A run, from its settings to its result: meta-training, then meta-test of the best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from metalstm.config.parse import as_mapping, train_settings
from metalstm.config.schema import TrainSettings
from metalstm.config.text import command_line, flat
from metalstm.errors import ConfigError
from metalstm.experiment.agreement import check_same_settings
from metalstm.experiment.experiment import Experiment
from metalstm.experiment.finish import forecast_of, meta_test
from metalstm.experiment.resume import Resumed, resumed_settings
from metalstm.experiment.session import Session
from metalstm.runs import layout
from metalstm.runtime.processes import SINGLE, Processes
from metalstm.runtime.torchrun import processes_together
from metalstm.training.meta_trainer import MetaTrainer, Plan, Schedule, Validation
from metalstm.training.outer_optimizer import OuterOptimizer


def train(
    settings: TrainSettings,
    *,
    command: Sequence[str],
    resumed: Resumed | None = None,
    processes: Processes = SINGLE,
    directory: Path | None = None,
) -> Path:
    """Meta-train and meta-test; return the run directory.

    Args:
        settings: of the run.
        command: that was given, for `result.json`.
        resumed: the run to go on with; None: it is new.
        processes: that share the run.
        directory: of a new run; None: named by dataset, task, learner and the time.
    """
    experiment = Experiment.build(settings, processes, None if resumed is None else resumed.path)
    with Session.open(experiment, resumed, directory) as session:
        trainer = meta_trainer(experiment, session)
        with session.under_way(trainer):
            trainer.run()
            session.put_back_config()
            if settings.test_tasks > 0:
                meta_test(session, trainer, command)
    return session.path


def meta_trainer(experiment: Experiment, session: Session) -> MetaTrainer:
    """Return the trainer of an experiment, at its start."""
    settings, processes = experiment.settings, experiment.processes
    outer = OuterOptimizer(
        experiment.learner.parameters(),
        settings.outer_lr,
        settings.outer_schedule,
        settings.steps,
        settings.clip_norm,
        settings.learner.name,
        processes,
    )
    plan = Plan(
        sampler=experiment.sampler("meta_train", shard=True),
        validation=Validation(
            sampler=experiment.sampler("meta_validation"),
            tasks=settings.validation_tasks,
            inner_steps=settings.steps_tested,
            kind=experiment.dataset.kind,
        ),
        schedule=Schedule(settings.steps, settings.log_every, settings.validate_every, settings.checkpoint_every),
        device=experiment.device,
        ema_decay=settings.ema_decay,
        stream=processes.stream("learner") if settings.draws_for_each_task else "learner",
    )
    trainer = MetaTrainer(experiment.learner, outer, plan, session)
    if processes.first:
        trainer.forecast = forecast_of(session)
    return trainer


def train_command(config: DictConfig) -> None:
    """Carry out `metalstm-train`, in the processes that `torchrun` has started, or in this one alone."""
    hydra = HydraConfig.get()
    directory = layout.named_by_hydra(hydra.run.dir)
    with processes_together() as processes:
        begin_or_resume(config, hydra.overrides.task, command_line(), processes, directory)


def begin_or_resume(
    config: DictConfig,
    overrides: Sequence[str],
    command: Sequence[str],
    processes: Processes = SINGLE,
    directory: Path | None = None,
) -> Path:
    """Begin a new run, or with `resume` go on with one in its own directory; return the directory.

    Args:
        config: composed of the overrides.
        overrides: as they were given.
        command: for `result.json`.
        processes: that share the run.
        directory: of a new run; see `train`.
    """
    check_same_settings(processes, flat(as_mapping(config)))
    settings, resumed = processes.from_first(lambda: chosen_run(config, overrides))
    check_shards(settings, processes)
    return train(settings, command=command, resumed=resumed, processes=processes, directory=directory)


def chosen_run(config: DictConfig, overrides: Sequence[str]) -> tuple[TrainSettings, Resumed | None]:
    """Return the settings of a run, and the run to go on with; None: it is new."""
    if config.resume is None:
        return train_settings(config), None
    resumed = resumed_settings(config, overrides)
    return resumed.settings, resumed


def check_shards(settings: TrainSettings, processes: Processes) -> None:
    """Use at most `meta_batch_size` processes.

    Raises:
        ConfigError: there are more of them.
    """
    if processes.count > settings.meta_batch_size:
        error = ConfigError.of(
            f"meta_batch_size={settings.meta_batch_size}, but each of {processes.count} processes needs a task",
            f"use meta_batch_size>={processes.count}, or start no more than {settings.meta_batch_size}",
        )
        processes.refuse(error)
