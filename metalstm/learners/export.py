"""A model's weights as a safetensors file for torch's own layers, and a card that says how to load them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metalstm.config.extras import install
from metalstm.errors import ConfigError
from metalstm.learners.base import Learner
from metalstm.learners.inner_loop.batched import Adapted
from metalstm.learners.inner_loop.higher_reference import HigherEngine
from metalstm.learners.maml import MAML
from metalstm.nn.base import HEAD, Weights
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.torch_lstm import to_plain
from metalstm.tasks.examples import Examples


class Export(NamedTuple):
    """The exported weights and their model card."""

    weights: bytes
    card: str


def need_safetensors() -> None:
    """Raise ConfigError where safetensors is not installed."""
    try:
        import safetensors.torch  # noqa: F401
    except ImportError as error:
        raise ConfigError.of(
            "export takes the package safetensors, which is not installed", install("export")
        ) from error


def check_exportable(learner: Learner, name: str) -> LSTMModel:
    """Return the model whose weights can be exported.

    Raises:
        ConfigError: the learner has none, or not of an LSTM.
    """
    model = learner.adapted_model
    if model is None:
        raise ConfigError.of(
            f"export, but learner={name} does not keep what it learns in the weights of one model",
            "leave export out, or train one that does, e.g. learner=maml",
        )
    if not isinstance(model, LSTMModel):
        raise ConfigError.of("export, but the run's model is no LSTM", "leave export out, or train model=lstm")
    return model


def export(
    learner: Learner, name: str, support: Examples | None, steps: int, labels: Sequence[str], source: str, file: Path
) -> Export:
    """Return the weights after adapting; where there is no support set, those that adapting starts from.

    Args:
        learner: whose.
        name: its name.
        support: of one task.
        steps: of adapting.
        labels: what the outputs stand for, in order; none: they stand for nothing yet.
        source: the run.
        file: the weights' name, for the card.

    Raises:
        ConfigError: the learner has no such weights.
    """
    from safetensors.torch import save

    model = check_exportable(learner, name)
    weights = model.start(1)
    if support is not None:
        weights |= adapted_weights(learner, support, steps)
        weights |= {part: weights[part][:, : len(labels)] for part in HEAD}
    plain = to_plain(model.shape, {part: weight[0].detach() for part, weight in weights.items()})
    tensors = {part: weight.float().cpu().contiguous().clone() for part, weight in plain.items() if weight.numel()}
    outputs = len(tensors["head.bias"]) if "head.bias" in tensors else 0
    metadata = {"format": "pt", "labels": json.dumps(list(labels)), "steps": str(steps if support is not None else 0)}
    state = "start weights, before adapting" if support is None else f"weights after {steps} steps on a support set"
    return Export(save(tensors, metadata), card(model.shape, outputs, labels, f"{name}: {state}, of {source}", file))


def adapted_weights(learner: Learner, support: Examples, steps: int) -> Weights:
    """Return the model's weights after so many steps on the support set of one task; not those that stay as they are.

    Raises:
        ConfigError: the engine has weights of other names.
    """
    adapted = learner.adapted_to(support, steps)
    if not isinstance(adapted, Adapted):
        weights: Weights = adapted
        return weights
    if isinstance(learner, MAML) and isinstance(learner.engine, HigherEngine):
        raise ConfigError.of("export, but the engine `higher` has no such weights", "train with learner.engine=batched")
    return adapted.weights


def card(shape: ModelShape, outputs: int, labels: Sequence[str], what: str, file: Path) -> str:
    """How to load the weights, in Markdown."""
    axes = 2 if shape.directions == 4 else 1
    lines = [
        "import torch",
        "from safetensors.torch import load_file",
        "",
        f'weights = load_file("{file.name}")',
        "",
        "",
        "def part(name):",
        '    return {key[len(name) + 1 :]: value for key, value in weights.items() if key.startswith(name + ".")}',
        "",
        "",
    ]
    if shape.vocabulary:
        lines += [
            f"embedding = torch.nn.Embedding({shape.vocabulary}, {shape.features})",
            'embedding.load_state_dict(part("embedding"))',
        ]
    arguments = f"{shape.step_features}, {shape.hidden_size}, {shape.layers}, batch_first=True"
    arguments += ", bidirectional=True" if shape.both_ways else ""
    for axis in range(axes):
        name = "lstm" if axes == 1 else ("rows", "columns")[axis]
        lines += [f"{name} = torch.nn.LSTM({arguments})", f'{name}.load_state_dict(part("lstms.{axis}"))']
    if shape.layer_norm:
        sizes = {"norm": shape.feature_size - shape.skipped} | ({"norm_inputs": shape.skipped} if shape.skip else {})
        for norm, size in sizes.items():
            lines += [f"{norm} = torch.nn.LayerNorm({size})", f'{norm}.load_state_dict(part("{norm}"))']
    if outputs:
        lines += [f"head = torch.nn.Linear({shape.feature_size}, {outputs})", 'head.load_state_dict(part("head"))']
    if (
        shape == ModelShape(shape.features, shape.outputs, shape.hidden_size, shape.layers, layer_norm=False)
        and outputs
    ):
        lines += ["", "_, (h, _) = lstm(inputs)  # [B, S, F]", "logits = head(h[-1])  # [B, outputs]"]
    pooled = "its last state" if shape.pooling == "last" else "the mean of its states"
    reading = [f"Each LSTM reads a sequence; {pooled} of each direction, of the last layer, is what it has read"]
    reading += [f"a step is {shape.stack} steps of the input, side by side"] if shape.stack > 1 else []
    reading += ["rows first, then columns (the transposed image)"] if axes == 2 else []
    reading += (
        [f"a step is {math.sqrt(shape.features):.6g} times the mean of its tokens' embeddings, token 0 left out"]
        if shape.vocabulary
        else []
    )
    reading += ["the layer norm stands before the head"] if shape.layer_norm else []
    if shape.skip:
        mean = "the mean of the steps, after a layer norm of its own" if shape.layer_norm else "the mean of the steps"
        reading += [f"after these states the head reads {mean}"]
    named = (
        ", ".join(f"{number} {label}" for number, label in enumerate(labels))
        or "none yet: they are learned by adapting"
    )
    return "\n".join(
        [
            f"# {file.name}",
            "",
            f"{what}.",
            "",
            "```python",
            *lines,
            "```",
            "",
            "; ".join(reading) + ".",
            f"Outputs: {named}.",
            "Inputs are prepared as the run's dataset prepares them: the same size, scale and vocabulary.",
            "",
        ]
    )
