"""Meta-learning with LSTMs: meta-train, adapt to unseen tasks, and measure how fast they are learned.

The names below are for Python and for plugins; each is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metalstm.api import Run as Run
    from metalstm.api import load as load
    from metalstm.api import meta_train as meta_train
    from metalstm.config.fields import bounded as bounded
    from metalstm.config.fields import one_of as one_of
    from metalstm.datasets.base import Dataset as Dataset
    from metalstm.datasets.base import DatasetSettings as DatasetSettings
    from metalstm.datasets.from_torch import class_pools as class_pools
    from metalstm.datasets.from_torch import dataset_of as dataset_of
    from metalstm.learners.base import Learner as Learner
    from metalstm.learners.base import LearnerSettings as LearnerSettings
    from metalstm.learners.base import MetaLoss as MetaLoss
    from metalstm.learners.base import Parts as Parts
    from metalstm.nn.base import Inputs as Inputs
    from metalstm.nn.base import Model as Model
    from metalstm.nn.base import ModelSettings as ModelSettings
    from metalstm.registry import register as register
    from metalstm.tasks.classes import ClassDataset as ClassDataset
    from metalstm.tasks.examples import Examples as Examples
    from metalstm.tasks.examples import TaskBatch as TaskBatch
    from metalstm.tasks.sampler import TaskShape as TaskShape

__version__ = "0.2.0"
HOMES = {
    "api": ("Run", "load", "meta_train"),
    "config.fields": ("bounded", "one_of"),
    "datasets.base": ("Dataset", "DatasetSettings"),
    "datasets.from_torch": ("class_pools", "dataset_of"),
    "learners.base": ("Learner", "LearnerSettings", "MetaLoss", "Parts"),
    "nn.base": ("Inputs", "Model", "ModelSettings"),
    "registry": ("register",),
    "tasks.classes": ("ClassDataset",),
    "tasks.examples": ("Examples", "TaskBatch"),
    "tasks.sampler": ("TaskShape",),
}
HOME_OF = {name: f"metalstm.{module}" for module, names in HOMES.items() for name in names}
__all__ = sorted(HOME_OF)


def __getattr__(name: str) -> Any:
    """Return a public name; its module is imported now."""
    if name in HOME_OF:
        return getattr(import_module(HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
