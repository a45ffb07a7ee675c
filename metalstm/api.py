"""The commands in a few lines of Python, for notebooks and scripts: the same settings, runs and errors.

>>> from metalstm import load, meta_train
>>> run = meta_train("dataset=glyphs", "ways=5", "steps=50", "test_tasks=20", "scratch_tasks=0")
>>> print(run)
accuracy on 20 meta-test tasks of glyphs, 5-way 1-shot, 95% CI over tasks:
  maml, 3 steps  ... ± ...%
  before adapting  ... ± ...%
  maml, 95% CI over ... classes  ± ...%
>>> [point["step"] for point in run.result["curve"]]
[0, 1, 2, 3, 4, 5, 6]
>>> learner = load(run)
>>> task = learner.task(0)  # the first of meta-test; or pairs of your own, or a folder
>>> adapted = learner.adapt(task.support)
>>> adapted.predict(task.query).shape  # a probability of each class
torch.Size([75, 5])
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from metalstm.cli.arguments import run_choices
from metalstm.cli.boundary import lazily
from metalstm.config.compose import composed
from metalstm.config.hydra_errors import as_ours, config_problem, in_our_words
from metalstm.config.text import pasted, quoted, shown
from metalstm.errors import CheckpointError, ConfigError, Interrupted
from metalstm.files.paths import expanded
from metalstm.files.reading import Unreadable, read_json
from metalstm.reporting.summary import summary
from metalstm.runs.layout import RESULT
from metalstm.runs.logs import screen_log
from metalstm.runs.metrics import Records

if TYPE_CHECKING:
    from metalstm.predictor import TrainedLearner


class Run:
    """A run directory. Printed, it is its result as a person reads it.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path, "run", ConfigError)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __str__(self) -> str:

        return summary(self.result)

    @property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`; accuracies are fractions.

        Raises:
            CheckpointError: the run is not over, or this is none.
        """
        try:
            content: dict[str, Any] = read_json(self.path / RESULT)
        except Unreadable as error:
            raise CheckpointError.of(
                f"{self.path / RESULT} cannot be read ({error}): there is no run, or it is not over",
                f"if there is one, go on with it: {pasted('resume', self.path)}",
            ) from error
        return content

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The records of `metrics.jsonl`: one for each training step, and one for each meta-validation."""
        return list(Records(self.path))


def meta_train(*settings: str, **named: Any) -> Run:
    """As `metalstm-train`: meta-trains and meta-tests, with a progress bar and warnings alone on the screen.

    Ctrl-C, or a notebook's stop button, ends the run at the next step with a checkpoint; the KeyboardInterrupt says how
    to go on. As many runs as one likes may follow each other in a process; torch's number of threads, default dtype and
    random state are afterwards as they were.

    Args:
        settings: as on the command line, e.g. `"ways=5"`, `"resume=<run directory>"`.
        named: the same by name, as values of Python: `ways=5`, `dataset="omniglot"`, `clip_norm=None`, `resume=run`,
            `**{"model.hidden_size": 8}`.

    Raises:
        MetalstmError: what the command would have said; `ConfigError`, `DataError`, `CheckpointError`, `DivergedError`.
        KeyboardInterrupt: stopped by Ctrl-C; the run can be gone on with.

    Example:
        `meta_train(dataset="folder", ways=5, **{"dataset.root": Path("my photos")})`
    """
    given = [*map(checked, settings), *(as_override(name, value) for name, value in named.items())]

    begin_or_resume = lazily("metalstm.experiment.train:begin_or_resume")
    with in_our_words("train"), lazily("metalstm.runtime.torch_state:own_torch")():
        config = composed_for_python([*run_choices(given), *given])
        with screen_log(logging.WARNING):
            try:
                return Run(begin_or_resume(config, given, ["metalstm-train", *given]))
            except Interrupted as error:
                if error.exit_code == 128 + signal.SIGINT:
                    raise KeyboardInterrupt(str(error)) from error
                raise


def composed_for_python(given: list[str]) -> DictConfig:
    """Return the config of these settings.

    Raises:
        ConfigError: Hydra refuses them, by errors of any kind.
    """
    try:
        return composed("train", given)
    except Exception as raised:
        raise as_ours(raised, "train") or ConfigError(config_problem(raised, "train")) from raised


def checked(setting: Any) -> str:
    """Return a setting as on the command line.

    Raises:
        ConfigError: it is no text.
    """
    if not isinstance(setting, str):
        raise ConfigError.of(
            f"{setting!r} is a {type(setting).__name__}, but a setting is a text or has a name",
            'give "ways=5", or ways=5',
        )
    return setting


def as_override(name: str, value: Any) -> str:
    """Return a setting given by its name, as the command line writes it.

    Raises:
        ConfigError: the value is none that a setting can have.
    """
    if hasattr(value, "item") and not getattr(value, "shape", None):  # a number of numpy's or torch's
        value = value.item()
    if isinstance(value, Run):
        value = value.path
    if isinstance(value, (str, PurePath)):
        return f"{name}={quoted(str(value))}"
    if value is None or isinstance(value, (bool, int, float)):
        return f"{name}={shown(value)}"
    raise ConfigError.of(
        f"{name}={value!r} is a {type(value).__name__}, but a setting has one value: a number, a text, true or false, "
        "or nothing",
        f"give {name} one of these; for several, call meta_train once for each",
    )


def load(
    run: Run | str | Path,
    dataset_root: str | Path | None = None,
    device: str = "cpu",
    allow_changed_data: bool = False,
    memory_budget: int | None = None,
    plugins: Sequence[str] = (),
) -> TrainedLearner:
    """Return a run's learner at its best, with its data: ready to adapt to tasks that it has never seen.

    Args:
        run: from `meta_train`, or the directory of any run.
        dataset_root: where its data is now; None: where it was.
        device: where to compute.
        allow_changed_data: whether the data may be other than what the run began with.
        memory_budget: MiB that adapting and predicting may take; None: half of what is free, 2048 at most on a CPU.
        plugins: modules or files with the run's own components, where they have moved; none: those that it names.

    Raises:
        MetalstmError: there is no run, no whole checkpoint, or not its data.
    """
    if not isinstance(run, (Run, str, PurePath)):
        raise ConfigError.of(f"run={run!r} is no run", "give what meta_train returned, or a run directory")
    path = run.path if isinstance(run, Run) else Run(run).path
    budget = (
        None if memory_budget is None else lazily("metalstm.predictor:counted")("memory_budget", memory_budget, least=1)
    )
    root = None if dataset_root is None else str(dataset_root)
    with in_our_words("test"):
        of_run = lazily("metalstm.predictor:TrainedLearner.of_run")
        learner: TrainedLearner = of_run(path, root, str(device), allow_changed_data, budget, plugins)
        return learner
