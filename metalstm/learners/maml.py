"""Model-agnostic meta-learning: a start from which a few gradient steps learn a task (Finn et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from metalstm.config.fields import bounded, one_of
from metalstm.errors import Problem
from metalstm.learners import cost
from metalstm.learners.base import Learner, LearnerSettings, MetaLoss, Parts
from metalstm.learners.inner_loop.adaptation import Adaptable, WholeModel
from metalstm.learners.inner_loop.batched import Adapted, BatchedEngine, Engine, Order
from metalstm.learners.inner_loop.higher_reference import HigherEngine
from metalstm.learners.inner_loop.learned_rates import InnerRates, LearnedRates
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.learners.parts import in_parts
from metalstm.nn.base import Model
from metalstm.registry import register
from metalstm.runtime.budget import BUDGET
from metalstm.tasks.examples import Examples, TaskBatch

# Four tasks of the batched engine hold less memory than autograd holds, cell by cell, for a single task.
AT_A_TIME_ON_A_CPU = 4


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How the meta-gradient is computed: it is the same up to rounding, in another time and memory.

    Args:
        engine: `batched`, many tasks at once; `higher`, one at a time.
        task_chunk_size: how many tasks of a meta-batch are in memory at once in training; None: as many as the engine
            can take, on a CPU at most `AT_A_TIME_ON_A_CPU`.
        gradient_checkpointing: see `recompute` of `BatchedEngine`; the engine `higher` does without.
        precision: what matrix products are rounded to (`torch.autocast`); None: not rounded.
    """

    engine: str = "batched"
    task_chunk_size: int | None = None
    gradient_checkpointing: bool = False
    precision: torch.dtype | None = None

    def engine_for(self, adaptable: Adaptable, rates: InnerRates, kind: Kind) -> Engine:
        engines: dict[str, Callable[[Adaptable, InnerRates, Kind], Engine]] = {
            "batched": partial(BatchedEngine, recompute=self.gradient_checkpointing),
            "higher": HigherEngine,
        }
        return engines[self.engine](adaptable, rates, kind)


class MAML(Learner):
    """Meta-learns the weights that the inner loop starts from, and its rates if they are learned.

    Args:
        adaptable: what adapts, of which model.
        kind: classification or regression.
        inner_steps: gradient steps on the support set in training.
        inner_lr: their rate, or where learned rates start.
        learned_rates: which rates are learned, see `rates`.
        order: `second` differentiates through the inner gradients, `first` takes them as constants (FOMAML).
        computing: how the meta-gradient is computed.
    """

    queries_kept = 1  # passes over the query set that the outer gradient goes through

    def __init__(
        self,
        adaptable: Adaptable,
        kind: Kind,
        inner_steps: int,
        inner_lr: float,
        learned_rates: LearnedRates = "none",
        order: Literal["first", "second"] = "second",
        computing: Computing | None = None,
    ) -> None:
        super().__init__()
        self.adaptable = adaptable
        self.model = adaptable.model
        self.rates = InnerRates(adaptable.weight_shapes(), inner_lr, inner_steps, learned_rates)
        self.kind = kind
        self.inner_steps = inner_steps
        self.order = order
        self.computing = Computing() if computing is None else computing
        self.engine = self.computing.engine_for(adaptable, self.rates, kind)

    @property
    def adapted_model(self) -> Model:
        return self.model

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        """Return the query loss after adapting, averaged over tasks: Finn et al. 2017, Algorithm 2, line 8."""
        at_a_time = self.most_tasks(tasks.support.inputs.device) or tasks.tasks

        def outcome(part: TaskBatch) -> MetaLoss:
            with self.rounding(part.support.inputs.device):
                losses, outputs = self.query_losses(part, generator, progress)
            return MetaLoss(losses.mean(), self.metrics(losses, outputs, part))

        return in_parts(outcome, self, tasks, at_a_time)

    def most_tasks(self, device: torch.device) -> int | None:
        """How many tasks are in memory at once in training; None: any number."""
        if self.computing.task_chunk_size is not None:
            return self.computing.task_chunk_size
        if self.engine.most_tasks is not None or device.type != "cpu":
            return self.engine.most_tasks
        return AT_A_TIME_ON_A_CPU

    def query_losses(
        self, tasks: TaskBatch, generator: torch.Generator | None, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Each task's loss on its query set after adapting, [T], and the predictions it stands on, [T, Q, O]."""
        order = self.saving_memory(tasks, self.order)
        for predict in self.engine.adapt(tasks.support, self.inner_steps, order, generator):
            adapted = predict
        outputs = adapted(self.engine.encode(tasks.query, generator))
        return task_loss(self.kind, outputs, tasks.query.targets), outputs

    def bytes_in_training(self, tasks: TaskBatch, least: bool = False) -> int:
        """As of `Learner`. First order: one pass after another; second: the inner steps' and the query's together."""
        if not self.differentiates_reading:
            return super().bytes_in_training(tasks, least)
        return self.bytes_in_second_order(tasks, recompute=least, queries=1 if least else None)

    @property
    def differentiates_reading(self) -> bool:
        """Whether the outer gradient goes through inner steps that read their sequences again."""
        return self.order == "second" and self.adaptable.reads_again and self.engine.most_tasks is None

    def bytes_in_second_order(self, tasks: TaskBatch, recompute: bool, queries: int | None = None) -> int:
        """Return the memory of one task; `queries`: how many of its queries are read at a time, None: all."""
        others = self.queries_kept * cost.bytes_of_pass(self.model, tasks.query, "once", queries)
        fixed = cost.bytes_of_inputs(self.model, tasks) + cost.bytes_of_weights(self.model)
        weights = 2 * self.inner_steps * cost.bytes_of(self.model.parameters())
        recompute = recompute or self.computing.gradient_checkpointing
        steps = cost.bytes_of_inner_steps(self.model, tasks.support, self.inner_steps, others, recompute)
        return fixed + weights + steps

    def saving_memory(self, tasks: TaskBatch, order: Order) -> Order:
        """Return the order, with inner steps computed again where the budget does not hold them all."""
        if order != "second" or not self.differentiates_reading:
            return order
        needed = tasks.tasks * self.bytes_in_second_order(tasks, recompute=False)
        return order if BUDGET.allows(needed) else "recomputed"

    def rounding(self, device: torch.device) -> torch.autocast:
        # Without its cache of rounded weights: those of the inner loop are new at every step.
        precision = self.computing.precision
        return torch.autocast(device.type, precision, enabled=precision is not None, cache_enabled=False)

    def metrics(self, losses: Tensor, outputs: Tensor, tasks: TaskBatch) -> dict[str, Tensor]:
        return task_metrics(self.kind, losses, outputs, tasks.query.targets)

    def adapt(self, support: Examples, steps: int, adapted: Adapted | None = None) -> Iterator[Adapted]:
        start = None if adapted is None else adapted.weights
        return self.engine.adapt(support, steps, "none", start=start)

    def encode(self, query: Examples) -> Any:
        return self.engine.encode(query)

    def predict(self, adapted: Adapted, query: Any) -> Tensor:
        return adapted(query)

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """As `Learner.adaptation_curve`, of as many tasks at a time as the engine takes."""
        curve = super().adaptation_curve
        return torch.cat([curve(part, at) for part in tasks.split(self.engine.most_tasks)], dim=1)


LEARNED_RATES = ("none", "per_parameter", "per_parameter_per_step", "per_layer_per_step")


@dataclass(kw_only=True)
class ByGradientSettings(LearnerSettings):
    """The settings that learners by gradient steps share."""

    mixed_precision: ClassVar[bool] = True

    inner_steps: int = bounded(minimum=1)
    inner_lr: float = bounded(above=0)
    learned_rates: str = one_of(*LEARNED_RATES)
    task_chunk_size: int | None = bounded(minimum=1)

    @property
    def rates_of_steps(self) -> bool:
        return self.learned_rates.endswith("_per_step")

    def inner_loop(self, parts: Parts) -> dict[str, Any]:
        """Return the settings as arguments of `MAML`: what the learner is, and how it is computed."""
        given = self.values() | {"precision": parts.precision}
        computing = Computing(
            **{field.name: given.pop(field.name) for field in fields(Computing) if field.name in given}
        )
        return given | {"kind": parts.kind, "computing": computing}


@register("learner", "maml")
@dataclass(kw_only=True)
class MAMLSettings(ByGradientSettings):
    """The settings of MAML."""

    order: str = one_of("first", "second")
    engine: str = one_of("batched", "higher")
    gradient_checkpointing: bool

    def problems(self, run: Any) -> Iterator[Problem]:
        if self.engine == "higher":
            yield from beyond_higher(self.gradient_checkpointing, run)

    def build(self, parts: Parts) -> MAML:
        return MAML(WholeModel(parts.model()), **self.inner_loop(parts))


def beyond_higher(recompute: bool, settings: Any) -> Iterator[Problem]:
    """Yield the settings that the engine `higher` does not have."""
    if not settings.model.takes_higher:
        yield Problem(
            f"model={settings.model.name}, but learner.engine=higher adapts the LSTM alone",
            "use learner.engine=batched, or model=lstm",
        )
    if settings.model.dropout > 0:
        yield Problem(
            f"model.dropout={settings.model.dropout}, but learner.engine=higher has no dropout",
            "use learner.engine=batched, or model.dropout=0",
        )
    if recompute:
        yield Problem(
            "learner.gradient_checkpointing=true, but learner.engine=higher remembers every inner step",
            "use learner.engine=batched, or learner.gradient_checkpointing=false",
        )
    if settings.precision != "float32":
        yield Problem(
            f"precision={settings.precision}, but learner.engine=higher is the reference in float32",
            "use learner.engine=batched, or precision=float32",
        )
