"""How long the phases of a run take that have not begun: a few tasks of each are timed, and the rest reckoned."""

from __future__ import annotations

import time
from collections.abc import Sequence

from metalstm.evaluation.baselines import RATES, TUNING_TASKS, one_two_five, phase_names
from metalstm.evaluation.evaluate import Adapts, meta_evaluate
from metalstm.evaluation.meta_test import Evaluator
from metalstm.learners.base import Learner
from metalstm.learners.scratch import Scratch
from metalstm.nn.base import Shape
from metalstm.runtime.processes import SINGLE

FEW = 8  # tasks of the learner that are timed
DRAWING = 3.0  # seconds of figures and the report, matplotlib's start among them


def seconds_of_a_task(evaluator: Evaluator, learner: Adapts, at: Sequence[int], tasks: int = FEW) -> float:
    """Time adapting to one task and judging it after so many steps, by several together, as later they are."""
    alone = evaluator.setup._replace(processes=SINGLE)
    meta_evaluate(learner, evaluator.validation, 1, at, alone)  # the first time takes longer
    started = time.perf_counter()
    meta_evaluate(learner, evaluator.validation, tasks, at, alone)
    return (time.perf_counter() - started) / tasks / evaluator.setup.processes.count


def forecast(
    evaluator: Evaluator, learner: Learner, shape: Shape, seed: int, validations: int, validation_tasks: int
) -> dict[str, float]:
    """Return the seconds of each phase after meta-training, in order, and first of the meta-validations within it.

    Args:
        evaluator: of the meta-test.
        learner: as it is now.
        shape: of the baselines' model.
        seed: of their starts.
        validations: how many meta-validations are to come.
        validation_tasks: of each.
    """
    protocol = evaluator.protocol
    once = seconds_of_a_task(evaluator, learner, [protocol.steps])
    phases = {"meta-validation": validations * validation_tasks * once}
    if protocol.tasks == 0:
        return phases
    phases["meta-test"] = protocol.tasks * seconds_of_a_task(evaluator, learner, range(protocol.steps_shown + 1))
    if protocol.scratch_tasks:
        phases |= from_scratch(evaluator, Scratch(shape, evaluator.setup.kind, "adam", 1e-3, seed))
    return phases | {"report": DRAWING}


def from_scratch(evaluator: Evaluator, scratch: Scratch) -> dict[str, float]:
    """Return the seconds of each phase of the baselines, from what one judgement and one step take."""
    protocol = evaluator.protocol
    judged = seconds_of_a_task(evaluator, scratch, [0], TUNING_TASKS)
    step = max(0.0, seconds_of_a_task(evaluator, scratch, [0, 2], TUNING_TASKS) - 2 * judged) / 2
    same, many = protocol.scratch_inner_steps, protocol.scratch_steps
    shown, points = max(same, protocol.steps_shown), len(one_two_five(many))
    tasks = (len(RATES["sgd"]) * TUNING_TASKS, protocol.scratch_tasks, len(RATES["adam"]) * TUNING_TASKS)
    costs = (
        tasks[0] * (same * step + judged),
        tasks[1] * (shown * step + (shown + 1) * judged),
        tasks[2] * (many * step + points * judged),
        tasks[1] * (many * step + points * judged),
    )
    return dict(zip(phase_names(), costs, strict=True))
