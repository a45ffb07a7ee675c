"""What a script or a notebook hands over: right results or clear errors, and torch is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from metalstm import Run, load, meta_train
from metalstm.api import as_override
from metalstm.config.compose import composed
from metalstm.errors import ConfigError, DataError
from metalstm.predictor import TrainedLearner
from support.commands import tiny

IMAGES = {"scratch_tasks": 0, "steps": 2}
SERIES = IMAGES | {"dataset.classes": None, "ways": 2}
TEXTS = ("get the red apple now", "a dog runs in the park", "we sail on the sea", "the sun is hot today")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None) -> None:
    monkeypatch.chdir(tmp_path)


def write_classes(folder: Path, write: Callable[[Path, int, int], None]) -> Path:
    for number in range(12):
        (folder / f"class{number}").mkdir(parents=True)
        for example in range(4):
            write(folder / f"class{number}", number, example)
    return folder


def table(folder: Path, number: int, example: int) -> None:
    rows = np.random.default_rng([number, example]).normal(number, 1, (3 + example, 2))
    np.savetxt(folder / f"{example}.csv", rows, delimiter=",")


def words(folder: Path, number: int, example: int) -> None:
    (folder / f"{example}.txt").write_text(TEXTS[(number + example) % 4] + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainedLearner]:
    """`loaded("images")`: a tiny trained learner, made once; of images, series or texts."""
    folder = tmp_path_factory.mktemp("trained")
    made: dict[tuple[str, ...], TrainedLearner] = {}

    def learner(kind: str, *more: str) -> TrainedLearner:
        key = (kind, *more)
        if key not in made:
            given = [*tiny(**(IMAGES if kind == "images" else SERIES)), f"output_dir={folder}", *more]
            if kind != "images":
                data = folder / f"{kind}{len(made)}"
                write_classes(data, {"series": table, "texts": words}[kind])
                given += ["dataset=folder", f"dataset.root={data}"]
            made[key] = load(meta_train(*given))
        return made[key]

    return learner


@pytest.fixture
def task(loaded: Any) -> tuple[torch.Tensor, torch.Tensor]:
    support = loaded("images").task(0).support
    return support.inputs[0], support.targets[0]


AS_GIVEN: dict[str, Callable[[torch.Tensor], Any]] = {
    "uint8": lambda x: (x * 255).round().byte(),
    "uint8 array": lambda x: (x * 255).round().byte().numpy(),
    "images of Pillow": lambda x: [Image.fromarray((one * 255).round().byte().numpy()) for one in x],
    "float64": lambda x: x.double(),
    "float16 array": lambda x: x.numpy().astype(np.float16),
    "big-endian": lambda x: x.numpy().astype(">f8"),
    "backwards": lambda x: x.flip(0).numpy()[::-1],
    "read-only": lambda x: np.broadcast_to(x.numpy(), x.shape),
    "lists": lambda x: x.tolist(),
    "tuple of lists": lambda x: tuple(x.tolist()),
    "list of tensors": list,
    "objects": lambda x: np.array([*x.numpy(), None], dtype=object)[:-1],
    "sparse": lambda x: x.to_sparse(),
    "needs a gradient": lambda x: x.clone().requires_grad_(),
}


@pytest.mark.parametrize("kind", AS_GIVEN)
def test_the_same_pixels_the_same_answers(kind: str, loaded: Any, task: Any) -> None:
    learner, (inputs, labels) = loaded("images"), task
    inputs = (inputs * 255).round() / 255
    wanted = learner.adapt((inputs, labels)).predict(inputs)
    given = AS_GIVEN[kind](inputs)
    found = learner.adapt((given, labels)).predict(given)
    assert torch.allclose(found, wanted, atol=1e-2 if "16" in kind else 1e-6)
    assert (wanted[0] - wanted[1]).abs().max() > 0.01


@pytest.mark.parametrize("give", [list, tuple, np.array, lambda names: np.array(names, dtype=object), pd.Series])
def test_labels_that_are_names(give: Any, loaded: Any, task: Any) -> None:
    inputs, labels = task
    names = [["cat", "dog", "ant"][label] for label in labels]
    adapted = loaded("images").adapt((inputs, give(names)))
    assert adapted.names == ["ant", "cat", "dog"]
    numbered = loaded("images").adapt((inputs, [adapted.names.index(name) for name in names]))
    assert torch.equal(adapted.predict(inputs), numbered.predict(inputs))


@pytest.mark.parametrize("learner", ["learner=maml", "learner=proto_maml"])
def test_several_lengths(learner: str, loaded: Any) -> None:
    """As a list, or padded with anything, they are the sequences by themselves."""
    trained = loaded("series", learner)
    sequences = [torch.rand(steps, 2) for steps in (4, 7, 5, 3)]
    filled = torch.full((4, 7, 2), torch.nan)
    for row, one in zip(filled, sequences, strict=True):
        row[: len(one)] = one
    labels, lengths = [0, 1, 0, 1], [4, 7, 5, 3]
    adapted = trained.adapt((sequences, labels))
    found = adapted.predict(sequences)
    assert torch.equal(trained.adapt((filled, labels), lengths=lengths).predict(filled, lengths=lengths), found)
    alone = torch.cat([adapted.predict([one]) for one in sequences])
    assert torch.allclose(found, alone, atol=1e-6)
    assert (found - trained.adapt((filled.nan_to_num(), labels)).predict(filled.nan_to_num())).abs().max() > 1e-4


def pair(shape: tuple[int, ...] = (2, 28, 28), labels: Any = (0, 1)) -> Any:
    return torch.rand(shape), list(labels)


NOT_TO_BE_READ = [
    ((torch.rand(2, 28, 28) * 255, [0, 1]), "pixels are from 0 to 1\n  fix: divide them by 255, or give them as uint8"),
    ((torch.randint(0, 256, (2, 28, 28)), [0, 1]), "pixels are from 0 to 1"),
    (([torch.rand(28, 28), torch.rand(20, 28)], [0, 1]), "inputs have several lengths, but the run's model reads 28"),
    (pair((2, 20, 28)), "inputs have 20 time steps, but the run's model reads 28"),
    (([torch.rand(28, 28), torch.rand(28, 27)], [0, 1]), "2 sequences of the shapes [28, 28], [28, 27]"),
    (([], []), "inputs are 0 sequences"),
    ((["a", "b"], [0, 1]), "inputs cannot be read as numbers: their type is str32"),
    (([[[1, 2], [3]]], [0]), "inputs cannot be read as numbers"),
    ((None, [0, 1]), "inputs cannot be read as numbers: their type is object"),
    ((torch.rand(2, 28, 28) * 1j, [0, 1]), "inputs cannot be read as numbers: they are complex"),
    ((torch.full((2, 28, 28), torch.nan), [0, 1]), "inputs have values that are not finite"),
    ((torch.rand(2, 28, 28), [0, None]), "labels cannot be read as numbers"),
    ((torch.rand(2, 28, 28), ["a", 1]), "fix: give a whole number from 0 on for each example, or a name for each"),
    ((torch.rand(2, 28, 28), [3, 4]), "label 0 has no example, but there is a label 4\n  fix: count labels from 0 on"),
    ((torch.ones(2, 28, 28, dtype=torch.uint8), [0, 1]), "inputs are torch.uint8 of 0 and 1 alone"),
    ((np.ma.masked_equal(np.eye(28)[None].repeat(2, 0), 0), [0, 1]), "inputs cannot be read as numbers: some are mas"),
    ((torch.rand(2, 28, 28), [[0], [1]]), "labels are torch.int64 of the shape [2, 1]"),
    ((torch.rand(2, 28, 28), []), "labels are torch.float32 of the shape [0]"),
    ((torch.rand(2, 28, 28), [0, 10**12]), "a label is 1000000000000, but there are at most 65536"),
    ((torch.rand(2, 28, 28), ["a", "a"]), "the support set has one label"),
    (torch.rand(2, 28, 28), "the support set is a Tensor, but wanted are inputs and their labels"),
    (5, "the support set is a int"),
    ((torch.rand(2, 28, 28),), "the support set is a tuple"),
]


@pytest.mark.parametrize(("support", "said"), NOT_TO_BE_READ)
def test_what_cannot_be_read(support: Any, said: str, loaded: Any) -> None:
    with pytest.raises(DataError) as caught:
        loaded("images").adapt(support)
    assert said in str(caught.value)


@pytest.mark.parametrize("lengths", [[0, 1], [1, 29], [1], 5, "ab", [1.0, 2.0], [True, True], None])
def test_lengths_that_do_not_fit(lengths: Any, loaded: Any) -> None:
    inputs = torch.rand(2, 6, 2)
    if lengths is None:
        inputs, lengths = [torch.rand(3, 2), torch.rand(4, 2)], [3, 4]
    with pytest.raises(DataError, match="lengths"):
        loaded("series").adapt((inputs, [0, 1]), lengths=lengths)


def test_pixels_where_there_are_no_images(loaded: Any) -> None:
    with pytest.raises(DataError, match=r"inputs are torch.uint8, as pixels are, but the run was not trained on im"):
        loaded("series").adapt((torch.ones(2, 4, 2, dtype=torch.uint8), [0, 1]))
    assert loaded("series").adapt((torch.ones(2, 4, 2, dtype=torch.int32), [0, 1])).names == ["0", "1"]


def test_tokens(loaded: Any) -> None:
    learner = loaded("texts")
    task = learner.task(0)
    inputs = task.support.inputs[0]
    wanted = learner.adapt(task.support).predict(task.support)
    real = None if task.support.lengths is None else task.support.lengths[0]
    for given in (inputs.int(), inputs.tolist()):
        found = learner.adapt((given, task.support.targets[0]), lengths=real).predict(given, lengths=real)
        assert torch.equal(found, wanted)
    for given in (inputs.float(), inputs - 1, inputs + 10**6):
        with pytest.raises(DataError, match="the run reads tokens, which are whole numbers from 0 to"):
            learner.adapt((given, task.support.targets[0]))


@pytest.mark.parametrize("steps", [-1, 1.5, "2", True, [1]])
def test_steps_that_are_none(steps: Any, loaded: Any, task: Any) -> None:
    with pytest.raises(ConfigError, match="is not a whole number of at least 0"):
        loaded("images").adapt(task, steps=steps)
    with pytest.raises(ConfigError, match="is not a whole number of at least 0"):
        loaded("images").task(steps)


def test_a_whole_task_is_no_support_set(loaded: Any) -> None:
    with pytest.raises(DataError, match=r"the support set is a TaskBatch.*\n.*adapt\(task.support\)"):
        loaded("images").adapt(loaded("images").task(0))
    with pytest.raises(DataError, match="label 1 has no example"):
        loaded("series", "learner=proto_maml").adapt((torch.rand(2, 4, 2), [0, 2]))


@pytest.fixture
def as_a_script_has_it(request: Any) -> Iterator[None]:
    """Torch as a script or a notebook may have set it."""
    kinds: dict[str, Any] = {
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
        "default device": lambda: torch.device("meta"),
    }
    if request.param == "float64":
        torch.set_default_dtype(torch.float64)
        yield
        torch.set_default_dtype(torch.float32)
        return
    with kinds[request.param]():
        yield


STATES = ["no_grad", "inference_mode", "autocast", "default device", "float64"]


@pytest.mark.parametrize("as_a_script_has_it", STATES, indirect=True)
@pytest.mark.parametrize("kind", ["images", "series"])
def test_whatever_torch_is_set_to(kind: str, as_a_script_has_it: None, loaded: Any) -> None:
    """Two learners that were made before and within give the same; so do tasks that were."""
    learner = loaded(kind)
    again = load(learner.path)
    task = again.task(1)
    found = again.adapt(task.support).predict(task.query)
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False), torch.device("cpu"):
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        wanted = learner.adapt(learner.task(1).support).predict(learner.task(1).query)
        torch.set_default_dtype(before)
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("as_a_script_has_it", STATES, indirect=True)
def test_training_whatever_torch_is_set_to(as_a_script_has_it: None, loaded: Any) -> None:
    dtype = torch.get_default_dtype()
    run = meta_train(*tiny(**IMAGES))
    assert run.metrics == Run(loaded("images").path).metrics
    assert torch.get_default_dtype() == dtype


def test_inputs_made_in_inference_mode(loaded: Any, task: Any) -> None:
    wanted = loaded("images").adapt(task).predict(task[0])
    with torch.inference_mode():
        inputs = task[0] * 1
    assert torch.equal(loaded("images").adapt((inputs, task[1])).predict(inputs), wanted)


def test_torch_is_left_as_it_was() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    torch.set_num_threads(2)
    try:
        with pytest.raises(ConfigError):
            meta_train(*tiny(ways=70), "threads=1")
        meta_train(*tiny(**IMAGES), "threads=1")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(torch.rand(3), wanted)


def test_settings_by_name() -> None:
    named = {"model.hidden_size": 8, "dataset.classes": np.int64(36), "clip_norm": None, "model.skip": True}
    run = meta_train(*tiny(**IMAGES), dataset="glyphs", output_dir=Path("a b/it's, [mine]=1"), outer_lr=1e-3, **named)
    settings = run.result["settings"]
    assert run.path.parent.parent == Path("a b/it's, [mine]=1")
    assert (settings["clip_norm"], settings["outer_lr"], settings["model"]["skip"]) == (None, 0.001, True)
    again = meta_train(resume=run, steps=3)
    assert (again.path, again.result["training"]["steps"]) == (run.path, 3)
    assert again.result["command"] == ["metalstm-train", f"resume='{run.path!s}'".replace("it's", "it\\'s"), "steps=3"]


TEXTS_BY_NAME = [
    *("a b", "it's", 'say "x"', "a,b", "[x]", "{a:1}", "x=1", "5", "null", "ü", "~", "#", "a:b", "-", "$x", "(x)"),
    *("a\\b", "a\\", "\\\\", "a\\'b", "\\'", "'", "${seed}", "\\${seed}", "\\\\${x", "$\\{x}"),
]


@pytest.mark.parametrize("value", TEXTS_BY_NAME)
def test_texts_by_name(value: str) -> None:
    assert composed("train", [as_override("output_dir", value)]).output_dir == value


@pytest.mark.parametrize("value", [[5, 20], (1,), {"a": 1}, {1}, b"x", object(), np.zeros(2), 1j])
def test_values_that_no_setting_has(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"ways=.* is a \w+, but a setting has one value"):
        meta_train(ways=value)


def test_settings_that_are_none() -> None:
    with pytest.raises(ConfigError, match="5 is a int, but a setting is a text or has a name"):
        meta_train(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="wasy is no setting\n  fix: did you mean ways"):
        meta_train(wasy=5)
    with pytest.raises(ConfigError, match="run=5 is no run"):
        load(5)  # type: ignore[arg-type]
