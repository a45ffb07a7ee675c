"""The settings of each learner: names, types and bounds; `configs/learner/` says what they are for."""

from __future__ import annotations

from dataclasses import dataclass

from metalstm.config.fields import bounded, one_of

LEARNED_RATES = ("none", "weights", "weights_and_steps", "layers_and_steps")
OPTIMIZERS = ("sgd", "adam")


@dataclass(kw_only=True)
class ByGradientSettings:
    name: str
    inner_steps: int = bounded(minimum=1)
    inner_lr: float = bounded(above=0)
    learned_rates: str = one_of(*LEARNED_RATES)
    tasks_at_a_time: int | None = bounded(minimum=1)


@dataclass(kw_only=True)
class ANILSettings(ByGradientSettings):
    order: str = one_of("first", "second")


@dataclass(kw_only=True)
class ProtoMAMLSettings(ByGradientSettings):
    adapts: str = one_of("head", "all")
    metric_scale: float | None = bounded(above=0)
    order: str = one_of("first", "second")
    recompute: bool


@dataclass(kw_only=True)
class MAMLSettings(ByGradientSettings):
    order: str = one_of("first", "second")
    engine: str = one_of("batched", "higher")
    recompute: bool


@dataclass(kw_only=True)
class MAMLPlusPlusSettings(ByGradientSettings):
    engine: str = one_of("batched", "higher")
    recompute: bool
    multi_step_until: float = bounded(minimum=0, maximum=1)
    second_order_from: float = bounded(minimum=0, maximum=1)


@dataclass(kw_only=True)
class ReptileSettings:
    name: str
    inner_steps: int = bounded(minimum=1)
    optimizer: str = one_of(*OPTIMIZERS)
    inner_lr: float = bounded(above=0)
    inner_batch: int | None = bounded(minimum=1)


@dataclass(kw_only=True)
class MemorySettings:
    name: str
    hidden_size: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    support: str = one_of("sequential", "pooled")
    labels: str = one_of("joined", "offset")
    read: str = one_of("state", "content")
    passes: int = bounded(minimum=1)


@dataclass(kw_only=True)
class OPLSTMSettings:
    name: str
    inner_steps: int = bounded(minimum=1)
    hidden_size: int = bounded(minimum=1)


@dataclass(kw_only=True)
class LSTMOptimizerSettings:
    name: str
    inner_steps: int = bounded(minimum=1)
    hidden_size: int = bounded(minimum=1)
    inner_lr: float = bounded(above=0, below=1)
    order: str = one_of("first", "second")


@dataclass(kw_only=True)
class FineTuneSettings:
    name: str
    adapts: str = one_of("head", "all")
    inner_steps: int = bounded(minimum=1)
    optimizer: str = one_of(*OPTIMIZERS)
    inner_lr: float | None = bounded(above=0)


@dataclass(kw_only=True)
class ScratchSettings:
    name: str
    inner_steps: int = bounded(minimum=1)
    optimizer: str = one_of(*OPTIMIZERS)
    inner_lr: float | None = bounded(above=0)


@dataclass(kw_only=True)
class ProtoNetSettings:
    name: str
    metric_scale: float | None = bounded(above=0)


LEARNERS: dict[str, type] = {
    "maml": MAMLSettings,
    "fomaml": MAMLSettings,
    "anil": ANILSettings,
    "meta_sgd": MAMLSettings,
    "mamlpp": MAMLPlusPlusSettings,
    "proto_maml": ProtoMAMLSettings,
    "reptile": ReptileSettings,
    "memory": MemorySettings,
    "op_lstm": OPLSTMSettings,
    "lstm_optimizer": LSTMOptimizerSettings,
    "finetune": FineTuneSettings,
    "protonet": ProtoNetSettings,
    "scratch": ScratchSettings,
}

# Learners whose answers are made of the support set, so that they take any number of classes once trained.
ANY_WAYS = frozenset({"proto_maml", "protonet", "finetune", "scratch"})
# Learners that take inner steps, but not in meta-training.
INNER_LOOP_UNTRAINED = frozenset({"finetune", "scratch"})
