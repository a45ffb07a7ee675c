"""The typed settings of a run: their names, types and bounds, each in one place.

The values are in `configs/`; this says what they may be. A setting's bounds stand in its field's metadata. Settings
of a group (`dataset`, `model`, `learner`) are typed by its `name`, which must be in the registry here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metalstm.config.fields import MAY_BE_EMPTY, bounded, none_or_some_of, one_of, path

SCRATCH_STEPS = 5


@dataclass(kw_only=True)
class TrainSettings:
    """All settings of `metalstm-train`; `configs/train.yaml` says what each is for."""

    dataset: Any
    model: Any
    learner: Any
    ways: int = bounded(minimum=1)
    train_ways: int | None = bounded(minimum=2)
    shots: int = bounded(minimum=1)
    queries: int = bounded(minimum=1)
    train_queries: int = bounded(minimum=1)
    steps: int = bounded(minimum=1)
    meta_batch_size: int = bounded(minimum=1)
    outer_lr: float = bounded(above=0, below=1e37)  # Adam's first step is ten times as large, and float32
    outer_schedule: str = one_of("constant", "cosine")
    clip_norm: float | None = bounded(above=0)
    ema_decay: float | None = bounded(above=0, below=1)
    seed: int = bounded(minimum=0, below=2**32)
    init_from: str | None = path()
    log_every: int = bounded(minimum=1)
    validate_every: int = bounded(minimum=1)
    validation_tasks: int = bounded(minimum=2)
    checkpoint_every: int = bounded(minimum=1)
    keep_checkpoints: int = bounded(minimum=1)
    logger: str = none_or_some_of("tracker")
    test_tasks: int = bounded(minimum=0)
    test_steps: int | None = bounded(minimum=0)
    curve_steps: int | None = bounded(minimum=0)
    scratch_tasks: int = bounded(minimum=0)
    scratch_steps: int = bounded(minimum=1)
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    memory_budget: int | None = bounded(minimum=1)
    precision: str = one_of("float32", "bfloat16", "float16")
    output_dir: str = path()
    plugins: list[str] = field(metadata=MAY_BE_EMPTY)
    resume: str | None = path()
    allow_changed_data: bool

    @property
    def loggers(self) -> list[str]:
        """The trackers that the run is followed by."""
        return [] if self.logger == "none" else self.logger.split("+")

    @property
    def steps_are_shots(self) -> bool:
        """Whether the learner only reads its support set: one more step of its adaptation is one more shot."""
        shots: bool = self.learner.steps_are_shots
        return shots

    @property
    def draws_for_each_task(self) -> bool:
        """Whether the learner draws at random for each task of a meta-batch: dropout masks, or batches."""
        return bool(self.model.dropout > 0 or self.learner.draws_batches)

    @property
    def steps_tested(self) -> int:
        """Steps that the result is read after."""
        if self.test_steps is not None:
            return self.test_steps
        steps: int = self.shots if self.steps_are_shots else self.learner.inner_steps
        return steps

    @property
    def trained_with(self) -> dict[str, int | None]:
        """Shape of the tasks of meta-training, and its inner steps; None where no inner loop was trained."""
        trained = self.learner.trains_inner_loop and not self.steps_are_shots
        steps = self.learner.inner_steps if trained else None
        return {
            "ways": self.train_ways or self.ways,
            "shots": self.shots,
            "queries": self.train_queries,
            "steps": steps,
        }

    def beyond_training(self, steps: int) -> str | None:
        """Describe the inner steps beyond those of meta-training; None: there are none."""
        trained = self.trained_with["steps"]
        if trained is None or steps <= trained:
            return None
        if self.learner.rates_of_steps:
            return f"steps after {trained} take the rates learned for step {trained}"
        return f"steps after {trained} go as those before"

    @property
    def steps_shown(self) -> int:
        """Steps that the adaptation curve shows, never fewer than the result is read after."""
        if self.steps_are_shots:
            return self.shots
        steps = 2 * self.steps_tested if self.curve_steps is None else self.curve_steps
        return max(steps, self.steps_tested)

    @property
    def scratch_inner_steps(self) -> int:
        """Inner steps of the baseline that takes as many as the learner, or a few where it takes none."""
        return SCRATCH_STEPS if self.steps_are_shots else max(1, self.steps_tested)


@dataclass(kw_only=True)
class MetaTestSettings:
    """All settings of `metalstm-test`; `configs/test.yaml` says what each is for."""

    run: str = path()
    split: str = one_of("meta_test", "meta_validation")
    protocol: str = one_of("few_shot", "lifelong")
    ways: int | None = bounded(minimum=1)
    shots: int | None = bounded(minimum=1)
    queries: int | None = bounded(minimum=1)
    tasks: int = bounded(minimum=2)
    steps: int | None = bounded(minimum=0)
    curve_steps: int | None = bounded(minimum=0)
    streams: int = bounded(minimum=2)
    stream_tasks: int = bounded(minimum=2)
    tasks_per_group: int | None = bounded(minimum=1)
    plugins: list[str] = field(metadata=MAY_BE_EMPTY)
    dataset_root: str | None = path()
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    memory_budget: int | None = bounded(minimum=1)
    allow_changed_data: bool


@dataclass(kw_only=True)
class AdaptSettings:
    """All settings of `metalstm-adapt`; `configs/adapt.yaml` says what each is for."""

    run: str = path()
    support: str | None = path()
    query: str | None = path()
    out: str = path()
    overwrite: bool
    steps: int | None = bounded(minimum=0)
    export: str | None = path()
    plugins: list[str] = field(metadata=MAY_BE_EMPTY)
    dataset_root: str | None = path()
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    memory_budget: int | None = bounded(minimum=1)
    allow_changed_data: bool
