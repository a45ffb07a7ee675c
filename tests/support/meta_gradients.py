"""One outer step of every learner, by one process or by several: `python meta_gradients.py FOLDER` under `torchrun`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from hydra import compose, initialize_config_module
from torch import Tensor

from metalstm import registry
from metalstm.config.parse import train_settings
from metalstm.experiment.build_learner import make_learner
from metalstm.experiment.experiment import Experiment
from metalstm.experiment.session import Session
from metalstm.experiment.train import meta_trainer
from metalstm.runtime.processes import Processes
from metalstm.runtime.signals import Interruption
from metalstm.runtime.torchrun import processes_together

TASK = ["ways=3", "train_queries=2", "queries=2", "dataset.classes=36", "model.hidden_size=8", "model.directions=1"]
STEP = ["meta_batch_size=5", "steps=1", "validation_tasks=2", "clip_norm=null"]
TRAINED = sorted(set(registry.names("learner")) - {"scratch"})


def meta_gradients(processes: Processes) -> dict[str, list[Tensor]]:
    """By learner, the meta-gradient and the weights after the step."""
    torch.set_num_threads(1)
    found = {}
    for name in TRAINED:
        with initialize_config_module("metalstm.configs", version_base="1.3"):
            settings = train_settings(compose("train", [f"learner={name}", *TASK, *STEP]))
        dataset = settings.dataset.load()
        learner = make_learner(settings, dataset)
        experiment = Experiment(settings, dataset, learner, processes)
        with Interruption(processes) as interruption:
            meta_trainer(experiment, Session(experiment, interruption, Path("nowhere"))).run()
        parameters = [parameter for parameter in learner.parameters() if parameter.grad is not None]
        gradients = [parameter.grad.flatten() for parameter in parameters if parameter.grad is not None]
        found[name] = [torch.cat(gradients), torch.cat([parameter.detach().flatten() for parameter in parameters])]
    return found


if __name__ == "__main__":
    with processes_together() as together:
        torch.save(meta_gradients(together), Path(sys.argv[1], f"{together.rank}.pt"))
