"""The typed settings of a run: their names, types and bounds, each in one place.

The values are in `configs/`; this says what they may be. A setting's bounds stand in its field's metadata. Settings
of a group (`dataset`, `model`, `learner`) are typed by its `name`, which must be in the registry here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metalstm.at_odds import at_odds
from metalstm.dataset_settings import DATASETS
from metalstm.errors import ConfigError, Problem
from metalstm.fields import bounded, none_or_some_of, one_of, path, path_names, typed
from metalstm.learner_settings import INNER_LOOP_UNTRAINED, LEARNERS


@dataclass(kw_only=True)
class LSTMSettings:
    name: str
    hidden_size: int = bounded(minimum=1)
    embedding_size: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    directions: int | None = one_of(1, 2, 4, None)
    stack: int = bounded(minimum=1)
    pooling: str = one_of("last", "mean")
    skip: bool
    layer_norm: bool
    dropout: float = bounded(minimum=0, below=1)


@dataclass(kw_only=True)
class MLPSettings:
    name: str
    width: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    dropout: float = bounded(minimum=0, below=1)


SCRATCH_STEPS = 5

GROUPS: dict[str, dict[str, type]] = {
    "dataset": DATASETS,
    "model": {"lstm": LSTMSettings, "mlp": MLPSettings},
    "learner": LEARNERS,
}


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
    averaging: float | None = bounded(above=0, below=1)
    seed: int = bounded(minimum=0, below=2**32)
    start: str | None = path()
    log_every: int = bounded(minimum=1)
    validate_every: int = bounded(minimum=1)
    validation_tasks: int = bounded(minimum=2)
    checkpoint_every: int = bounded(minimum=1)
    keep_checkpoints: int = bounded(minimum=1)
    logger: str = none_or_some_of("tensorboard", "mlflow", "wandb")
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
    resume: str | None = path()
    allow_changed_data: bool

    @property
    def loggers(self) -> list[str]:
        """The trackers that the run is followed by."""
        return [] if self.logger == "none" else self.logger.split("+")

    @property
    def steps_are_shots(self) -> bool:
        """Whether the learner only reads its support set: one more step of its adaptation is one more shot."""
        return not hasattr(self.learner, "inner_steps")

    @property
    def draws_for_each_task(self) -> bool:
        """Whether the learner draws at random for each task of a meta-batch: dropout masks, or batches."""
        return self.model.dropout > 0 or getattr(self.learner, "inner_batch", None) is not None

    @property
    def steps_tested(self) -> int:
        """Steps that the result is read after."""
        if self.test_steps is not None:
            return self.test_steps
        steps: int = self.shots if self.steps_are_shots else self.learner.inner_steps
        return steps

    @property
    def trained_with(self) -> dict[str, int | None]:
        """What tasks were like in meta-training, and inner steps, which are None where no inner loop was trained."""
        name = self.learner.name
        steps = None if self.steps_are_shots or name in INNER_LOOP_UNTRAINED else self.learner.inner_steps
        return {
            "ways": self.train_ways or self.ways,
            "shots": self.shots,
            "queries": self.train_queries,
            "steps": steps,
        }

    def beyond_training(self, steps: int) -> str | None:
        """How an adaptation of so many steps goes on after those of meta-training; None: it has no more."""
        trained = self.trained_with["steps"]
        if trained is None or steps <= trained:
            return None
        if getattr(self.learner, "learned_rates", "none").endswith("_and_steps"):
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
    dataset_root: str | None = path()
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    memory_budget: int | None = bounded(minimum=1)
    allow_changed_data: bool


# All settings that are paths, as the command lines name them.
PATHS = frozenset({"hydra.run.dir", "hydra.sweep.dir"}).union(
    *(path_names(schema) for schema in (TrainSettings, MetaTestSettings, AdaptSettings)),
    *(path_names(schema, "dataset.") for schema in DATASETS.values()),
)


# What a resumed run may change: how long, how often, where and on what, but not what is learned.
BUDGETS = frozenset(
    {
        *("steps", "log_every", "validate_every", "validation_tasks", "checkpoint_every", "keep_checkpoints"),
        *("test_tasks", "test_steps", "curve_steps", "scratch_tasks", "scratch_steps"),
        *(
            "logger",
            "device",
            "threads",
            "memory_budget",
            "output_dir",
            "resume",
            "allow_changed_data",
            "dataset.root",
            "dataset.download",
        ),
    }
)


def train_settings(config: DictConfig) -> TrainSettings:
    """The settings in a composed config; see `checked`."""
    return checked(as_mapping(config))


def checked(values: Mapping[str, Any]) -> TrainSettings:
    """Make typed settings of nested plain values.

    Raises:
        ConfigError: with every problem found: unknown and missing names, types, bounds, and settings at odds.
    """
    plain = dict(values)
    problems: list[Problem] = []
    groups = {}
    for group, registry in GROUPS.items():
        values = plain.pop(group, None)
        name = values.get("name") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not isinstance(name, str) or name not in registry:
            known = ", ".join(registry)
            problems.append(Problem(f"{group}.name={name} is unknown", f"choose {group}=one of {known}"))
            continue
        groups[group] = typed(registry[name], values, f"{group}.", problems)
    settings: TrainSettings = typed(TrainSettings, plain, "", problems, groups)
    if not problems:
        problems += at_odds(settings)
    if problems:
        raise ConfigError(*problems)
    return settings


def meta_test_settings(config: DictConfig) -> MetaTestSettings:
    """As `train_settings`, for `metalstm-test`."""
    problems: list[Problem] = []
    settings: MetaTestSettings = typed(MetaTestSettings, as_mapping(config), "", problems)
    if problems:
        raise ConfigError(*problems)
    return settings


def adapt_settings(config: DictConfig) -> AdaptSettings:
    """As `train_settings`, for `metalstm-adapt`."""
    problems: list[Problem] = []
    settings: AdaptSettings = typed(AdaptSettings, as_mapping(config), "", problems)
    if problems:
        raise ConfigError(*problems)
    return settings


def from_the_root(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings, nested or by their dotted names, with every path from the root: the same from whatever folder."""
    return {
        name: from_the_root(value, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else os.path.abspath(os.path.expanduser(str(value)))
        if prefix + name in PATHS and value not in (None, "", "???")
        else value
        for name, value in settings.items()
    }


def as_mapping(config: DictConfig) -> dict[str, Any]:
    """The config's values with interpolations resolved; `???` stays where a value is missing."""
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except RecursionError as error:
        raise ConfigError.of(
            "the config is nested too deep", "start from the YAML files of metalstm.configs"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError.of("the config is not a mapping", "start from the YAML files of metalstm.configs")
    return {str(name): value for name, value in values.items()}
