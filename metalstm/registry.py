"""The one door for components: a group and a name lead to the settings class in the component's own file.

A component's settings make it: `load` a dataset, `shape` a model, `build` a learner. Its module is imported when it is
asked for, and not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

COMPONENTS: dict[str, dict[str, str]] = {
    "dataset": {
        "glyphs": "metalstm.datasets.images.glyphs:GlyphsSettings",
        "omniglot": "metalstm.datasets.images.omniglot:OmniglotSettings",
        "sinusoid": "metalstm.datasets.series.sinusoid:SinusoidSettings",
        "speech_commands": "metalstm.datasets.audio.speech_commands:SpeechCommandsSettings",
        "pendulum": "metalstm.datasets.series.pendulum:PendulumSettings",
        "clinc150": "metalstm.datasets.text.clinc150:Clinc150Settings",
        "movietweetings": "metalstm.datasets.text.movietweetings:MovieTweetingsSettings",
        "cifar_fs": "metalstm.datasets.images.cifar_fs:CifarFSSettings",
        "folder": "metalstm.datasets.own.folder:FolderSettings",
        "terrain": "metalstm.datasets.series.terrain:TerrainSettings",
        "ecg": "metalstm.datasets.series.ecg:EcgSettings",
    },
    "model": {
        "lstm": "metalstm.nn.lstm:LSTMSettings",
        "mlp": "metalstm.nn.mlp:MLPSettings",
    },
    "learner": {
        "maml": "metalstm.learners.maml:MAMLSettings",
        "fomaml": "metalstm.learners.maml:MAMLSettings",
        "anil": "metalstm.learners.maml:ANILSettings",
        "meta_sgd": "metalstm.learners.maml:MAMLSettings",
        "mamlpp": "metalstm.learners.mamlpp:MAMLPlusPlusSettings",
        "proto_maml": "metalstm.learners.maml:ProtoMAMLSettings",
        "reptile": "metalstm.learners.reptile:ReptileSettings",
        "memory": "metalstm.learners.memory:MemorySettings",
        "op_lstm": "metalstm.learners.op_lstm:OPLSTMSettings",
        "lstm_optimizer": "metalstm.learners.lstm_optimizer:LSTMOptimizerSettings",
        "finetune": "metalstm.learners.finetune:FineTuneSettings",
        "protonet": "metalstm.learners.protonet:ProtoNetSettings",
        "scratch": "metalstm.learners.scratch:ScratchSettings",
    },
}
GROUPS = tuple(COMPONENTS)


def names(group: str) -> list[str]:
    """Return the names of a group's components; nothing is imported."""
    return list(COMPONENTS[group])


def settings_class(group: str, name: str) -> Any:
    """Import a component and return the class of its settings.

    Raises:
        KeyError: there is no such group or name.
    """
    module, _, kind = COMPONENTS[group][name].partition(":")
    return getattr(import_module(module), kind)


def settings_classes(group: str) -> dict[str, Any]:
    """Import all components of a group and return the classes of their settings, by name."""
    return {name: settings_class(group, name) for name in names(group)}
