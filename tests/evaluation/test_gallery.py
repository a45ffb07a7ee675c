"""`gallery.json`: the first test task, its inputs as they can be drawn, and what a learner says of them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from metalstm.datasets.series.sinusoid import SinusoidFamily
from metalstm.datasets.text.tokens import TokenSettings, Vocabulary, encode, spelling, words
from metalstm.evaluation.gallery import gallery
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape

CPU = torch.device("cpu")


class Improves:
    """Says label 0 of everything before adapting, and what is right after it, but for the first query."""

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        return 0

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        targets = tasks.query.targets
        if targets.dim() == 3:
            return torch.stack([targets + (0.5 if step == 0 else 0.0) for step in at])
        right = targets.clone()
        right[:, 0] = 1
        made = [functional.one_hot(torch.zeros_like(targets) if step == 0 else right, 3).float() for step in at]
        return 10 * torch.stack(made)


def shown(pool: Any, ways: int = 3, queries: int = 4, kind: Any = "classification", steps: int = 2) -> dict[str, Any]:
    sampler = TaskSampler(pool, TaskShape(ways, 2, queries), 1, 0, "meta_test")
    content = gallery(Improves(), sampler, kind, steps, "step", CPU)
    assert json.loads(json.dumps(content)) == content
    return content


def pixels(encoded: str) -> Any:
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        return numpy.asarray(image)


@pytest.mark.parametrize("colours", [1, 3])
def test_images(colours: int) -> None:
    examples = torch.randint(256, (3, 6, 5, 5 * colours), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    content = shown(ClassDataset(examples, ["a", "b", "c"]))
    assert content["form"] == "image"
    assert sorted(content["classes"]) == ["a", "b", "c"]
    task = TaskSampler(ClassDataset(examples, ["a", "b", "c"]), TaskShape(3, 2, 4), 1, 0, "meta_test")(0)
    for examples_of, name in ((task.support, "support"), (task.query, "query")):
        assert [one["target"] for one in content[name]] == examples_of.targets[0].tolist()
        for one, values in zip(content[name], examples_of.inputs[0], strict=True):
            there = pixels(one["input"])
            assert there.shape == ((5, 5) if colours == 1 else (5, 5, 3))
            assert (there.reshape(5, -1) == (255 * values).round().numpy()).all()


def test_what_was_said() -> None:
    content = shown(ClassDataset(torch.zeros(3, 6, 5, 5, dtype=torch.uint8), ["a", "b", "c"]))
    assert (content["split"], content["task"], content["steps"], content["step_unit"]) == ("meta_test", 0, 2, "step")
    assert [one["before"]["label"] for one in content["query"]] == [0] * 12
    assert [one["after"]["label"] for one in content["query"]] == [1, *[0] * 3, *[1] * 4, *[2] * 4]
    assert content["query"][1]["after"]["probability"] == pytest.approx(1 / (1 + 2 * 2.718281828**-10), abs=1e-5)
    assert content["correct"] == [4, 11]
    assert content["queries"] == 12


def test_no_steps() -> None:
    content = shown(ClassDataset(torch.zeros(3, 6, 5, 5, dtype=torch.uint8), ["a", "b", "c"]), steps=0)
    assert all(one["before"] == one["after"] for one in content["query"])


def test_so_many_of_each_class() -> None:
    content = shown(ClassDataset(torch.zeros(3, 40, 5, 5, dtype=torch.uint8), ["a", "b", "c"]), queries=30)
    assert [[one["target"] for one in content["query"]].count(label) for label in range(3)] == [10, 10, 10]
    assert content["queries"] == 90


def test_few_features_are_numbers_and_many_a_picture() -> None:
    lines = shown(ClassDataset(torch.rand(3, 6, 7, 2, generator=torch.Generator().manual_seed(0)), ["a", "b", "c"]))
    assert lines["form"] == "series"
    assert numpy.shape(lines["support"][0]["input"]) == (7, 2)
    picture = shown(ClassDataset(torch.arange(3 * 6 * 7 * 8.0).view(3, 6, 7, 8), ["a", "b", "c"]))
    assert picture["form"] == "heat_map"
    there = pixels(picture["support"][0]["input"])
    assert there.shape == (8, 7)  # time from left to right
    assert there[0, 0] > there[-1, 0]  # the first feature at the bottom


def test_texts_are_spelled() -> None:
    texts = [[words(f"play {word} now please"), words(f"stop {word}")] for word in ("jazz", "rock", "folk")]
    vocabulary = Vocabulary((text for of_class in texts for text in of_class), TokenSettings())
    examples, counts, lengths = encode(texts, vocabulary)
    pool = ClassDataset(examples, ["a", "b", "c"], counts, lengths, words=spelling(texts, vocabulary))
    sampler = TaskSampler(pool, TaskShape(3, 1, 1), 1, 0, "meta_test")
    content = gallery(Improves(), sampler, "classification", 2, "step", CPU)
    assert content["form"] == "text"
    told = {one["input"] for one in content["support"] + content["query"]}
    assert told == {" ".join(text) for of_class in texts for text in of_class}
    pool.words = None
    assert gallery(Improves(), sampler, "classification", 2, "step", CPU)["form"] == "tokens"


def test_a_function() -> None:
    content = shown(SinusoidFamily(1), ways=1, queries=60, kind="regression")
    assert (content["form"], content["classes"], content["correct"]) == ("series", None, None)
    assert len(content["support"]) == 2
    assert len(content["query"]) == 50
    for one in content["query"]:
        assert one["after"] == pytest.approx(one["target"], abs=1e-4)
        assert one["before"][0] == pytest.approx(one["target"][0] + 0.5, abs=1e-3)
