"""The meta-gradient by metalstm: all tasks at once."""

from __future__ import annotations

from typing import Literal, cast

import torch

from bench.problem import INNER_LR, Array, Problem
from bench.system import System
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML, Computing
from metalstm.nn.lstm import Directions, LSTMModel, ModelShape
from metalstm.runtime.malloc import keep_freed_memory
from metalstm.tasks.examples import Examples, TaskBatch


def model_shape(problem: Problem) -> ModelShape:
    case = problem.case
    directions = cast(Directions, case.directions)
    return ModelShape(case.features, case.ways, case.hidden, case.layers, directions, "last", layer_norm=False)


def start_model(problem: Problem) -> LSTMModel:
    """The model with the problem's weights."""
    model = LSTMModel(model_shape(problem), torch.Generator())
    model.load_state_dict({name: torch.from_numpy(weight) for name, weight in problem.weights.items()})
    return model


class MetalstmSystem(System):
    def __init__(self, problem: Problem) -> None:
        self.facts = {}
        keep_freed_memory()  # as metalstm-train does; in a process that they share, the other torch systems gain too
        self.case = problem.case
        self.model = start_model(problem)
        order: Literal["first", "second"] = "second" if problem.case.order in ("second", "recomputed") else "first"
        self.learner = MAML(
            WholeModel(self.model),
            "classification",
            problem.case.inner_steps,
            INNER_LR,
            order=order,
            computing=Computing(
                task_chunk_size=problem.case.task_chunk_size,
                gradient_checkpointing=problem.case.order == "recomputed",
            ),
        )
        self.tasks = TaskBatch(
            Examples(torch.from_numpy(problem.support_inputs), targets=torch.from_numpy(problem.support_targets)),
            Examples(torch.from_numpy(problem.query_inputs), targets=torch.from_numpy(problem.query_targets)),
        )

    def step(self) -> None:
        if self.case.order == "none":
            self.learner.adaptation_curve(self.tasks, [self.case.inner_steps])
            return
        self.learner.zero_grad()
        self.learner.meta_loss(self.tasks).loss.backward()

    def gradients(self) -> dict[str, Array]:
        return {name: weight.grad.numpy().copy() for name, weight in self.model.named_parameters()}
