"""The commands in a few lines of Python, for notebooks and scripts: the same settings, runs and errors.

>>> from metalstm import load, meta_train
>>> run = meta_train("dataset=glyphs", "ways=5", "steps=50", "test_tasks=20", "scratch_tasks=0")
>>> print(run)
accuracy on 20 meta-test tasks of glyphs, 5-way 1-shot, 95% CI over tasks:
  maml, 3 steps  ... ± ...%
  before adapting  ... ± ...%
>>> [point["step"] for point in run.result["curve"]]
[0, 1, 2, 3, 4, 5, 6]
>>> learner = load(run)
>>> task = learner.task(0)  # the first of meta-test; or pairs of your own, or a folder
>>> adapted = learner.adapt(task.support)
>>> adapted.predict(task.query).shape  # a probability of each class
torch.Size([75, 5])
"""

from __future__ import annotations

import json
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalstm.command import in_our_words
from metalstm.composition import composed
from metalstm.errors import CheckpointError, Interrupted

if TYPE_CHECKING:
    from metalstm.adapting import TrainedLearner


class Run:
    """A run directory. Printed, it is its result as a person reads it.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def __str__(self) -> str:
        from metalstm.reporting.summary import summary

        return summary(self.result)

    @property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`; accuracies are fractions.

        Raises:
            CheckpointError: the run is not over, or this is none.
        """
        from metalstm.run.directory import RESULT

        try:
            content: dict[str, Any] = json.loads((self.path / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError.of(
                f"{self.path / RESULT} cannot be read: there is no run, or it is not over",
                f"if there is one, go on with it: resume={self.path}",
            ) from error
        return content

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The records of `metrics.jsonl`: one for each training step, and one for each meta-validation."""
        from metalstm.run.metrics import read_metrics

        return read_metrics(self.path)


def meta_train(*settings: str) -> Run:
    """As `metalstm-train`: meta-trains and meta-tests, with a progress bar and warnings alone on the screen.

    Ctrl-C, or a notebook's stop button, ends the run at the next step with a checkpoint; the KeyboardInterrupt says how
    to go on. As many runs as one likes may follow each other in a process.

    Args:
        settings: as on the command line, e.g. `"ways=5"`, `"resume=<run directory>"`.

    Raises:
        MetalstmError: what the command would have said; `ConfigError`, `DataError`, `CheckpointError`, `DivergedError`.
        KeyboardInterrupt: stopped by Ctrl-C; the run can be gone on with.
    """
    from metalstm.run.directory import screen_log
    from metalstm.run.distribution import ALONE
    from metalstm.train import begin_or_resume

    with in_our_words("train"):
        config = composed("train", settings)
        with screen_log(logging.WARNING):
            try:
                return Run(begin_or_resume(config, settings, ["metalstm-train", *settings], ALONE))
            except Interrupted as error:
                if error.exit_code == 128 + signal.SIGINT:
                    raise KeyboardInterrupt(str(error)) from error
                raise


def load(
    run: Run | str | Path,
    dataset_root: str | None = None,
    device: str = "cpu",
    allow_changed_data: bool = False,
    memory_budget: int | None = None,
) -> TrainedLearner:
    """A run's learner at its best, with its data: ready to adapt to tasks that it has never seen.

    Args:
        run: from `meta_train`, or the directory of any run.
        dataset_root: where its data is now; None: where it was.
        device: where to compute.
        allow_changed_data: whether the data may be other than what the run began with.
        memory_budget: MiB that adapting and predicting may take; None: half of what is free, 2048 at most on a CPU.

    Raises:
        MetalstmError: there is no run, no whole checkpoint, or not its data.
    """
    from metalstm.adapting import TrainedLearner

    path = run.path if isinstance(run, Run) else Path(run)
    with in_our_words("test"):
        return TrainedLearner.of_run(path, dataset_root, device, allow_changed_data, memory_budget)
