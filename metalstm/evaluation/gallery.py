"""`gallery.json`: one task of the meta-test for a person to look at, and what was made of it before and after adapting.

Legend: B examples, S time steps, F features, K tokens of a step, O outputs.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from metalstm.evaluation.evaluate import Adapts
from metalstm.learners.objective import Kind
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import Examples, lengths_of
from metalstm.tasks.sampler import TaskSampler

FORMAT = 1
PER_SET = 30  # examples that are kept of a set, and one of each class at least
PER_FUNCTION = 50  # the same for regression
FEW = 4  # features that can be drawn as lines; more become a picture of time and feature


def gallery(
    learner: Adapts, sampler: TaskSampler, kind: Kind, steps: int, step_unit: str, device: torch.device
) -> dict[str, Any]:
    """Return the content of `gallery.json`.

    The first task of the sampler, which is the same for all runs on the same tasks.

    Args:
        learner: what adapts to it.
        sampler: of single tasks.
        kind: classification or regression.
        steps: of adapting.
        step_unit: what a step is.
        device: where to compute.
    """
    task = sampler(0)
    outputs = learner.adaptation_curve(task.to(device), sorted({0, steps}))[:, 0].cpu()
    before, after = outputs[0], outputs[-1]
    pool = sampler.source if isinstance(sampler.source, ClassDataset) else None
    support, query = (kept(examples, kind, sampler.shape.ways) for examples in (task.support, task.query))
    form = form_of(pool)
    names = None if pool is None or task.classes is None else [pool.names[number] for number in task.classes[0]]
    return {
        "format": FORMAT,
        "split": sampler.split,
        "task": 0,
        "steps": steps,
        "step_unit": step_unit,
        "kind": kind,
        "form": form,
        "classes": names,
        "queries": task.query.inputs.shape[1],
        "support": examples_of(task.support, support, form, pool),
        "query": [
            entry | {"before": said(kind, before[number]), "after": said(kind, after[number])}
            for entry, number in zip(examples_of(task.query, query, form, pool), query, strict=True)
        ],
        "correct": None if kind == "regression" else [right(out, task.query.targets[0]) for out in (before, after)],
    }


def kept(examples: Examples, kind: Kind, ways: int) -> list[int]:
    """Return the numbers of the examples that are shown: the first of each class."""
    targets = examples.targets[0]
    if kind == "regression":
        return list(range(min(len(targets), PER_FUNCTION)))
    each = max(1, PER_SET // ways)
    return [int(number) for label in range(ways) for number in (targets == label).nonzero()[:each, 0]]


def form_of(pool: ClassDataset | None) -> str:
    """How inputs are drawn: `image`, `text`, `tokens` without their words, `series` of numbers, or a `heat_map`."""
    if pool is None:
        return "series"
    if pool.examples.dtype == torch.int64:
        return "tokens" if pool.words is None else "text"
    rows, width = pool.examples.shape[2:]
    if pool.examples.dtype == torch.uint8 and width in (rows, 3 * rows):
        return "image"
    return "series" if width <= FEW else "heat_map"


def examples_of(examples: Examples, which: Sequence[int], form: str, pool: ClassDataset | None) -> list[dict[str, Any]]:
    """Return the examples with these numbers: `input` as its form has it, and `target`."""
    lengths = lengths_of(examples)[0]
    low, high = float(examples.inputs.min()), float(examples.inputs.max())
    made = []
    for number in which:
        values = examples.inputs[0, number, : int(lengths[number])].cpu()
        target = examples.targets[0, number].tolist()
        made.append({"input": drawable(values, form, pool, low, high), "target": rounded(target)})
    return made


def drawable(values: Tensor, form: str, pool: ClassDataset | None, low: float, high: float) -> Any:
    """Return an input [S, F]: a PNG in base64, a text, or numbers.

    Args:
        values: of the real steps.
        form: see `form_of`.
        pool: where it comes from.
        low: the least value of the set, which is black in a heat map.
        high: the greatest, which is white.
    """
    if form == "image":
        return image((255 * values).round().byte())
    if form == "heat_map":  # time from left to right, the first feature at the bottom
        return png((255 * (values - low) / max(high - low, 1e-9)).round().byte().t().flip(0).unsqueeze(-1))
    if form == "text":
        assert pool is not None
        assert pool.words is not None
        read = [pool.words.get(tuple(step), "?") for step in values.tolist()]
        return " ".join(f"{word}," if " " in word else word for word in read)  # tags have spaces
    return rounded(values.tolist())


def image(rows: Tensor) -> str:
    """Rows [S, F] of pixels 0..255, each of one number or three, as a PNG in base64."""
    return png(rows.view(len(rows), len(rows), -1))


def png(pixels: Tensor) -> str:
    """Pixels [rows, columns, 1 or 3] uint8 as a PNG in base64."""
    array = pixels.numpy()
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def said(kind: Kind, outputs: Tensor) -> Any:
    """Return what the outputs [O] for a query say: a label and its probability, or numbers."""
    if kind == "regression":
        return rounded(outputs.tolist())
    probability, label = outputs.softmax(dim=-1).max(dim=-1)
    return {"label": int(label), "probability": rounded(float(probability))}


def right(outputs: Tensor, targets: Tensor) -> int:
    """How many of the queries are right."""
    return int((outputs.argmax(dim=-1) == targets).sum())


def rounded(values: Any) -> Any:
    """Numbers, or lists of them, to 5 digits."""
    if isinstance(values, list):
        return [rounded(value) for value in values]
    return float(f"{values:.5g}") if isinstance(values, float) else values
