"""Meta-training that starts from another run's model: the weights it takes, what it refuses, and going on with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.nn.base import HEAD
from metalstm.runs.checkpoint import BEST, LATEST, Checkpoints
from support.commands import only_run, tiny

CPU = torch.device("cpu")


def newest(run: Path, kind: str = LATEST) -> dict[str, Any]:
    checkpoint = Checkpoints(run / "checkpoints", 1).newest(kind, CPU)
    assert checkpoint is not None
    return checkpoint.state


def weights(run: Path, prefix: str, kind: str = LATEST) -> dict[str, torch.Tensor]:
    state = newest(run, kind)["learner"]
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


@pytest.fixture
def pretrained(
    in_process: Any,
) -> Path:
    """A tiny run of `finetune`."""
    ended = in_process(
        "train", *tiny(steps=3, scratch_tasks=0), "learner=finetune", "seed=5", "output_dir=first", "outer_lr=0.1"
    )
    assert ended.code == 0, ended.err
    return Path(only_run(Path("first"))).rename(Path("pretrained"))


def given(**changes: Any) -> list[str]:
    # A rate that moves nothing shows where a run has started from.
    return list(tiny(**({"steps": 1, "scratch_tasks": 0, "outer_lr": 1e-30, "start": "pretrained"} | changes)))


@pytest.mark.parametrize(
    ("learner", "prefix"), [("maml", "model."), ("protonet", "encoder."), ("memory", "encoder."), ("reptile", "model.")]
)
def test_the_model_is_taken_but_for_its_head(
    learner: str,
    prefix: str,
    pretrained: Path,
    in_process: Any,
) -> None:
    inner = {} if learner in ("maml", "reptile") else {"learner.inner_steps": None}
    ended = in_process("train", *given(**inner), f"learner={learner}")
    assert ended.code == 0, ended.err
    taken = weights(pretrained, "model.", BEST)
    found = weights(only_run(Path("outputs")), prefix)
    assert set(found) - set(HEAD) == set(taken) - set(HEAD)
    for name in set(taken) - set(HEAD):
        if learner != "reptile":  # which takes its inner steps whatever outer_lr is
            assert torch.allclose(found[name], taken[name], rtol=0, atol=1e-6), name
    if learner == "maml":
        assert found["head_weight"].shape != taken["head_weight"].shape
    result = json.loads((only_run(Path("outputs")) / "result.json").read_text())
    assert result["training"]["pretraining_seconds"] == pytest.approx(newest(pretrained)["seconds"], abs=0.05)
    assert result["settings"]["init_from"] == "pretrained"


def test_where_an_output_means_the_same_the_head_is_taken(
    in_process: Any,
) -> None:
    regression = {"dataset": "sinusoid", "dataset.classes": None, "ways": 1, "shots": 4, "scratch_tasks": 0}
    ended = in_process("train", *tiny(**regression, steps=2, outer_lr=0.1), "learner=finetune", "output_dir=first")
    assert ended.code == 0, ended.err
    first = only_run(Path("first")).rename(Path("pretrained"))
    ended = in_process("train", *tiny(**regression, steps=1, outer_lr=1e-30, init_from="pretrained"))
    assert ended.code == 0, ended.err
    taken, found = weights(first, "model.", BEST), weights(only_run(Path("outputs")), "model.")
    assert taken["head_weight"].any()
    assert torch.allclose(found["head_weight"], taken["head_weight"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            "model.hidden_size=9",
            2,
            ["init_from=pretrained does not fit this model: weight_hh_l0 has shape (4, 32, 8), expected (4, 36, 9)"],
        ),
        ("model.layer_norm=false", 2, ["norm_weight has shape (32,) there, but this model has none"]),
        ("dataset.seed=1", 2, ["init_from=pretrained was trained on other data of dataset 'glyphs'", "another split"]),
        ("init_from=nowhere", 4, ["nowhere is not a directory"]),
    ],
)
def test_refused(change: str, code: int, words: list[str], pretrained: Path, in_process: Any) -> None:
    name, value = change.split("=")
    ended = in_process("train", *given(**{name: value}))
    assert ended.code == code
    assert all(word in ended.err for word in words), ended.err
    assert not Path("outputs").exists()


@pytest.mark.parametrize("checkpoint", [True, False])
def test_going_on(
    checkpoint: bool,
    pretrained: Path,
    in_process: Any,
) -> None:
    """A run that has a checkpoint needs no start any more; one that was killed before takes it again."""
    assert in_process("train", *tiny(steps=2, scratch_tasks=0, init_from="pretrained")).code == 0
    whole = only_run(Path("outputs"))
    stopped = Path(shutil.copytree(whole, "stopped"))
    (stopped / "result.json").unlink()
    if checkpoint:
        pretrained.rename("elsewhere")
    else:
        shutil.rmtree(stopped / "checkpoints")
        (stopped / "metrics.jsonl").unlink()
    ended = in_process("train", "resume=stopped")
    assert ended.code == 0, ended.err
    one, other = newest(whole), newest(stopped)
    assert all(torch.equal(value, other["learner"][name]) for name, value in one["learner"].items())
    assert other["pretraining_seconds"] == one["pretraining_seconds"] > 0


def test_a_run_kept_with_its_best_checkpoint_alone(
    pretrained: Path,
    in_process: Any,
) -> None:
    """It was trained for what its result says."""
    for checkpoint in (pretrained / "checkpoints").glob(f"{LATEST}_*"):
        shutil.rmtree(checkpoint)
    file = pretrained / "result.json"
    result = json.loads(file.read_text())
    result["training"] |= {"seconds": 70.5, "pretraining_seconds": 30.0}
    file.write_text(json.dumps(result))
    assert in_process("train", *given()).code == 0
    training = json.loads((only_run(Path("outputs")) / "result.json").read_text())["training"]
    assert training["pretraining_seconds"] == 100.5
    assert in_process("test", "run=pretrained", "tasks=4").code == 0
    (tested,) = pretrained.glob("tests/*/result.json")
    names = ("steps", "seconds", "pretraining_seconds")
    again = json.loads(tested.read_text())["training"]
    assert [again[name] for name in names] == [3, 70.5, 30.0]
    file.unlink()
    assert in_process("test", "run=pretrained", "tasks=4").code == 0  # and where there is none, nothing is known
    tested = max(pretrained.glob("tests/*/result.json"))
    assert json.loads(tested.read_text())["training"]["seconds"] == 0
