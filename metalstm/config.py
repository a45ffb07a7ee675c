"""The typed settings of a run: their names, types and bounds, each in one place.

The values are in `configs/`; this says what they may be. A setting's bounds stand in its field's metadata. Settings
of a group (`dataset`, `model`, `learner`) are typed by its `name`, which must be in the registry here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metalstm.dataset_settings import DATASETS, REGRESSION
from metalstm.errors import ConfigError, Problem
from metalstm.fields import bounded, one_of, typed
from metalstm.learner_settings import ANY_WAYS, LEARNERS


@dataclass(kw_only=True)
class LSTMSettings:
    name: str
    hidden_size: int = bounded(minimum=1)
    embedding_size: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    directions: int | None = one_of(1, 2, 4, None)
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
    seed: int = bounded(minimum=0, below=2**32)
    start: str | None
    log_every: int = bounded(minimum=1)
    validate_every: int = bounded(minimum=1)
    validation_tasks: int = bounded(minimum=2)
    checkpoint_every: int = bounded(minimum=1)
    keep_checkpoints: int = bounded(minimum=1)
    test_tasks: int = bounded(minimum=2)
    test_steps: int | None = bounded(minimum=0)
    curve_steps: int | None = bounded(minimum=0)
    scratch_tasks: int = bounded(minimum=0)
    scratch_steps: int = bounded(minimum=1)
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    precision: str = one_of("float32", "bfloat16", "float16")
    output_dir: str
    resume: str | None
    allow_changed_data: bool

    @property
    def steps_are_shots(self) -> bool:
        """Whether the learner only reads its support set: one more step of its adaptation is one more shot."""
        return not hasattr(self.learner, "inner_steps")

    @property
    def steps_tested(self) -> int:
        """Steps that the result is read after."""
        if self.test_steps is not None:
            return self.test_steps
        steps: int = self.shots if self.steps_are_shots else self.learner.inner_steps
        return steps

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

    run: str
    split: str = one_of("meta_test", "meta_validation")
    protocol: str = one_of("few_shot", "lifelong")
    tasks: int = bounded(minimum=2)
    steps: int | None = bounded(minimum=0)
    curve_steps: int | None = bounded(minimum=0)
    streams: int = bounded(minimum=2)
    stream_tasks: int = bounded(minimum=2)
    tasks_per_group: int | None = bounded(minimum=1)
    dataset_root: str | None
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    allow_changed_data: bool


@dataclass(kw_only=True)
class AdaptSettings:
    """All settings of `metalstm-adapt`; `configs/adapt.yaml` says what each is for."""

    run: str
    support: str | None
    query: str | None
    out: str
    steps: int | None = bounded(minimum=0)
    export: str | None
    dataset_root: str | None
    device: str
    threads: int | None = bounded(minimum=1, maximum=1024)  # many more end the process
    allow_changed_data: bool


# What a resumed run may change: how long, how often, where and on what, but not what is learned.
BUDGETS = frozenset(
    {
        *("steps", "log_every", "validate_every", "validation_tasks", "checkpoint_every", "keep_checkpoints"),
        *("test_tasks", "test_steps", "curve_steps", "scratch_tasks", "scratch_steps"),
        *("device", "threads", "output_dir", "resume", "allow_changed_data", "dataset.root", "dataset.download"),
    }
)


def train_settings(config: DictConfig) -> TrainSettings:
    """The settings in a composed config.

    Raises:
        ConfigError: with every problem found: unknown and missing names, types, bounds, and settings at odds.
    """
    plain = as_mapping(config)
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


def at_odds(settings: TrainSettings) -> Iterator[Problem]:
    """Settings that are in bounds, each by itself, but do not go together."""
    name = settings.dataset.name
    regression = name in REGRESSION
    if regression and settings.ways != 1:
        yield Problem(
            f"ways={settings.ways}, but a task of dataset '{name}' is one function",
            "use ways=1; shots is the k of k-shot regression",
        )
    if not regression and settings.ways < 2:
        yield Problem(f"ways={settings.ways}, but telling classes apart takes 2", "use ways>=2")
    if regression and getattr(settings.model, "directions", None) not in (None, 1, 2):
        yield Problem(
            f"model.directions={settings.model.directions} reads columns, but dataset '{name}' has no images",
            "use model.directions=1 or 2",
        )
    if settings.train_ways is not None:
        yield from at_odds_with_train_ways(settings, regression)
    if settings.learner.name == "fomaml" and settings.learner.order != "first":
        yield Problem(
            f"learner.order={settings.learner.order}, but learner=fomaml is first order",
            "use learner=maml, or leave learner.order out",
        )
    if getattr(settings.learner, "engine", None) == "higher":
        yield from beyond_higher(settings)
    if (
        settings.learner.name == "memory"
        and settings.learner.support == "pooled"
        and settings.learner.labels == "offset"
    ):
        yield Problem(
            "learner.labels=offset, but with learner.support=pooled no example comes after another",
            "use learner.labels=joined, or learner.support=sequential",
        )
    if settings.precision != "float32" and not hasattr(settings.learner, "tasks_at_a_time"):
        yield Problem(
            f"precision={settings.precision}, but learner={settings.learner.name} computes in float32",
            "use precision=float32, or learner=maml",
        )
    if settings.steps_are_shots and settings.steps_tested > settings.shots:
        yield Problem(
            f"test_steps={settings.test_steps}, but a step of learner={settings.learner.name} is one more shot, and "
            f"there are shots={settings.shots}",
            f"use test_steps<={settings.shots}, or leave it out",
        )
    if settings.scratch_tasks == 1:
        yield Problem("scratch_tasks=1, but an interval takes 2 tasks", "use scratch_tasks>=2, or 0 for no baseline")
    if settings.scratch_tasks > settings.test_tasks:
        yield Problem(
            f"scratch_tasks={settings.scratch_tasks}, but there are test_tasks={settings.test_tasks}",
            f"use scratch_tasks<={settings.test_tasks}",
        )


def at_odds_with_train_ways(settings: TrainSettings, regression: bool) -> Iterator[Problem]:
    """Settings that tasks of other ways in meta-training do not go with."""
    name = settings.learner.name
    if regression:
        yield Problem(
            f"train_ways={settings.train_ways}, but a task of dataset '{settings.dataset.name}' is one function",
            "leave train_ways out",
        )
    elif name not in ANY_WAYS:
        yield Problem(
            f"train_ways={settings.train_ways}, but learner={name} has an output for each of {settings.ways} classes",
            f"leave train_ways out, or use learner=one of {', '.join(sorted(ANY_WAYS))}",
        )


def beyond_higher(settings: TrainSettings) -> Iterator[Problem]:
    """Settings that the engine `higher` does not know."""
    if settings.model.name != "lstm":
        yield Problem(
            f"model={settings.model.name}, but learner.engine=higher adapts the LSTM alone",
            "use learner.engine=batched, or model=lstm",
        )
    if settings.model.dropout > 0:
        yield Problem(
            f"model.dropout={settings.model.dropout}, but learner.engine=higher has no dropout",
            "use learner.engine=batched, or model.dropout=0",
        )
    if settings.learner.recompute:
        yield Problem(
            "learner.recompute=true, but learner.engine=higher remembers every inner step",
            "use learner.engine=batched, or learner.recompute=false",
        )
    if settings.precision != "float32":
        yield Problem(
            f"precision={settings.precision}, but learner.engine=higher is the reference in float32",
            "use learner.engine=batched, or precision=float32",
        )
