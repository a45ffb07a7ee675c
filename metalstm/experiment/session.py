"""The session: a run under way in its directory, with its lock, log, checkpoints, metrics, trackers and signals."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from metalstm.config.parse import from_the_root
from metalstm.config.text import flat, plain
from metalstm.experiment import identity, resume
from metalstm.experiment.console import conclude, introduce
from metalstm.experiment.experiment import Experiment
from metalstm.experiment.memory_budget import go_on_with_budget
from metalstm.experiment.resume import Resumed
from metalstm.experiment.warm_start import start_from
from metalstm.runs import layout, logs
from metalstm.runs.checkpoint import BEST, LATEST, Checkpoint, Checkpoints, fitting
from metalstm.runs.lock import RunLock
from metalstm.runs.metrics import Mark, MetricsFile, Records
from metalstm.runtime.processes import Processes
from metalstm.runtime.signals import Interruption
from metalstm.tracking.base import TrackedRun
from metalstm.tracking.follow import Tracking
from metalstm.training.meta_trainer import MetaTrainer


class Writing:
    """The files that the first process of a run keeps open in its directory, under its lock.

    Args:
        experiment: of the run.
        held: its lock.
        resumed: what to go on with; None: the run is new.

    Raises:
        CheckpointError: a file of the run is broken or cannot be written.
        ConfigError, DataError: the run cannot be gone on with.
    """

    def __init__(self, experiment: Experiment, held: RunLock, resumed: Resumed | None) -> None:
        settings, path = experiment.settings, held.path
        if resumed is not None:
            resume.check_fingerprint(path, experiment.dataset, settings.allow_changed_data)
        held.files[path / layout.LOG] = logs.log_to_file(path / layout.LOG)
        self.held = held
        self.resumed = resumed
        self.checkpoints = resume.checkpoints_of(path, settings, held)
        self.checkpoint = self.checkpoints.newest(LATEST, experiment.device)  # that the run goes on from
        if resumed is not None:
            resume.check_budget(path, settings.steps, 0 if self.checkpoint is None else self.checkpoint.step)
            check_best(self.checkpoints, experiment)
        mark = Mark(0)
        if self.checkpoint is not None:
            with fitting(self.checkpoint):
                mark = Mark.of(self.checkpoint.state)
        self.metrics = MetricsFile(path / layout.METRICS, mark)
        held.files[self.metrics.path] = self.metrics.file


class Session:
    """A run under way, as one of its processes sees it.

    Args:
        experiment: of the run.
        interruption: notes the signals that ask to stop.
        path: the run directory.
        writing: its files, for the process that writes them; None: nothing is written here.
    """

    def __init__(
        self, experiment: Experiment, interruption: Interruption, path: Path, writing: Writing | None = None
    ) -> None:
        self.experiment = experiment
        self.interruption = interruption
        self.path = path
        self.writing = writing
        self.pretraining_seconds = 0.0  # of the run that this one starts from
        self.report: Callable[[Mapping[str, Any]], None] = lambda result: None  # tells trackers of the result

    @classmethod
    @contextmanager
    def open(
        cls, experiment: Experiment, resumed: Resumed | None = None, directory: Path | None = None
    ) -> Iterator[Session]:
        """Hold a run's directory for as long as the context lasts.

        Args:
            experiment: of the run.
            resumed: the run to go on with; None: it is new.
            directory: of a new run; None: named by dataset, task, learner and the time.
        """
        first = experiment.processes.first
        pretraining = warm_start(experiment, resumed) if first else 0.0
        # From here on a signal ends the run at a step boundary; before, there is nothing to save.
        with Interruption(experiment.processes) as interruption:
            if not first:
                yield cls(experiment, interruption, experiment.processes.share_path(None))
                return
            path = new_run(experiment, directory) if resumed is None else resumed.path
            with RunLock(path) as held:
                session = cls(experiment, interruption, path, Writing(experiment, held, resumed))
                session.pretraining_seconds = pretraining
                yield session
                conclude(experiment, path)

    @property
    def processes(self) -> Processes:
        return self.experiment.processes

    @contextmanager
    def under_way(self, trainer: MetaTrainer) -> Iterator[None]:
        """Bring the trainer to the checkpoint in all processes, and let trackers follow while the context lasts."""
        writing, settings = self.writing, self.experiment.settings
        if writing is None:
            self.processes.broadcast(trainer)
            yield
            return
        self.restore(trainer, writing)
        tracked = TrackedRun(self.path, Path(settings.output_dir), flat(from_the_root(plain(settings))))
        introduce(self.experiment, trainer, tracked)
        self.processes.share_path(self.path)
        self.processes.broadcast(trainer)
        before = Records(self.path, writing.metrics.size)
        with (
            closing(writing.metrics),
            logs.reason_logged(),
            Tracking(settings.loggers, tracked, before) as tracking,
        ):
            writing.metrics.followers.append(tracking.record)
            self.report = tracking.result
            yield
            writing.held.check(files=True)

    def restore(self, trainer: MetaTrainer, writing: Writing) -> None:
        """Bring the trainer to where the checkpoint left it, and write down what has changed since."""
        settings, checkpoint = self.experiment.settings, writing.checkpoint
        if checkpoint is None:
            trainer.pretraining_seconds = self.pretraining_seconds
        else:
            with fitting(checkpoint):
                trainer.load_state_dict(checkpoint.state)
            writing.checkpoints.drop_best_after(trainer.step)
            if settings.memory_budget is None:
                go_on_with_budget(checkpoint.state.get("memory_budget"))
        if writing.resumed is not None:  # and can be gone on with
            writing.resumed.write_down(checkpoint, trainer)
            identity.write_config(self.path, settings, self.experiment.dataset.fingerprint)
            layout.begin_again(self.path)  # its result is of fewer steps; a run is over when it has one

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Write a line of metrics."""
        if self.writing is not None:
            self.writing.metrics.record(step, split, values)

    def save(self, kind: str, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint; one to go on from also says how long the metrics are."""
        if self.writing is not None:
            if kind == LATEST:
                self.writing.metrics.sync()
                state = self.writing.metrics.state() | state
            self.writing.checkpoints.save(kind, step, state)

    def best(self) -> Checkpoint | None:
        """Return the best checkpoint; None: it is gone, or this process does not read it."""
        return None if self.writing is None else self.writing.checkpoints.newest(BEST, self.experiment.device)

    def put_back_config(self) -> None:
        """Write the config again where it was removed under the run."""
        if self.writing is not None:
            identity.put_back_config(self.path, self.experiment.settings, self.experiment.dataset.fingerprint)

    def check(self) -> None:
        """Raise where the directory was removed, moved or replaced."""
        if self.writing is not None:
            self.writing.held.check()


def warm_start(experiment: Experiment, resumed: Resumed | None) -> float:
    """Give a run without a checkpoint the weights of the run that it starts from; return the seconds that took."""
    settings = experiment.settings
    begun = resumed is not None and resume.checkpoints_of(resumed.path, settings).paths(LATEST)  # whole or broken
    if settings.init_from is None or begun:
        return 0.0
    return start_from(Path(settings.init_from), experiment.learner, experiment.dataset, experiment.device)


def new_run(experiment: Experiment, directory: Path | None) -> Path:
    """Make the directory of a new run, with its config.

    Raises:
        ConfigError: there is no room for it, or no permission.
    """
    path = layout.new_run_directory(*place_of(experiment, directory))
    identity.write_config(path, experiment.settings, experiment.dataset.fingerprint)
    return path


def place_of(experiment: Experiment, directory: Path | None) -> tuple[Path, str | None]:
    """Return the folder of a new run's directory, and its name; None: the time.

    Raises:
        ConfigError: there is no room for its checkpoints.
    """
    settings = experiment.settings
    task = f"{settings.ways}w{settings.shots}s"
    usual = Path(settings.output_dir) / f"{settings.dataset.name}_{task}_{settings.learner.name}"
    parent, name = (usual, None) if directory is None else (directory.parent, directory.name)
    weights = sum(weight.nbytes for weight in experiment.learner.parameters())
    layout.check_room(parent, 3 * weights, settings.keep_checkpoints)  # Adam's two means are as large, each
    return parent, name


def check_best(checkpoints: Checkpoints, experiment: Experiment) -> None:
    """Refuse a best checkpoint, which may be meta-tested at the end, that is of another learner.

    Raises:
        CheckpointError: it is of another.
    """
    best = checkpoints.newest(BEST, experiment.device)
    if best is not None:
        with fitting(best):
            copy.deepcopy(experiment.learner).load_state_dict(best.state["learner"])
