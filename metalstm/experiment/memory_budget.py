"""Whether a meta-training fits into the memory budget, said before it starts."""

from __future__ import annotations

import logging

from metalstm.errors import ConfigError
from metalstm.evaluation.evaluate import longest
from metalstm.learners.base import Learner
from metalstm.runtime.budget import BUDGET, MIB, free_memory, needed, usable
from metalstm.tasks.sampler import TaskSampler

log = logging.getLogger(__name__)


def settle_budget(learner: Learner, sampler: TaskSampler, given: bool) -> None:
    """Make the budget large enough for one task of meta-training, where nobody has said how large it is.

    Args:
        learner: to train.
        sampler: of meta-train.
        given: whether the budget is a setting.

    Raises:
        ConfigError: one task does not fit, whatever is done to save memory.
    """
    limit = BUDGET.limit
    if limit is None:
        return
    task = longest(sampler, 1)
    if not given:
        limit = BUDGET.limit = max(limit, min(learner.bytes_in_training(task), usable(free_memory() // 2)))
    least = learner.bytes_in_training(task, least=True)
    if least <= limit:
        return
    support, query = (part.inputs.shape[1] for part in task[:2])
    steps = max(part.inputs.shape[2] for part in task[:2])
    there, wanted = needed(limit) // MIB, -(-needed(least) // MIB)
    raise ConfigError.of(
        f"meta-training on one task, {support} support and {query} query sequences of {steps} steps, takes about "
        f"{wanted} MiB, but {'memory_budget=' if given else 'half of what is free is '}{there} MiB",
        "use shorter sequences (as dataset.max_steps or model.stack allow), fewer ways, shots or queries, a smaller "
        f"model.hidden_size, a first-order learner such as fomaml, or memory_budget>={wanted} where there is as much",
    )


def go_on_with_budget(limit: int | None) -> None:
    """Take the memory budget that a run began with: another would change the last bits of its numbers."""
    BUDGET.limit = limit
    if limit is not None and needed(limit) > (free := free_memory()):
        log.warning(
            "the run began with a memory budget of %d MiB, but %d MiB are free; memory_budget=%d uses less",
            *(needed(limit) // MIB, free // MIB, free // 2 // MIB),
        )
