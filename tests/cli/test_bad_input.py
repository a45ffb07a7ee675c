"""Bad input: one block that names the value, the bound and the remedy; the right exit code; nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from support.commands import only_run, tiny

Files = dict[str, bytes | None]


def files(folder: Path) -> Files:
    """Everything under a folder, with the content of files."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def refused(in_process: Any) -> Any:
    """`refused(code, words, *arguments)`: `metalstm-train`, otherwise tiny, refuses and writes nothing."""

    def run(code: int, words: list[str], *arguments: str, command: str = "train") -> None:
        before = files(Path())
        dropped = dict.fromkeys(argument.lstrip("~+").split("=")[0] for argument in arguments)
        if "dataset" in dropped:
            dropped["dataset.classes"] = None
        if "learner" in dropped:
            dropped["learner.inner_steps"] = None
        if "model" in dropped:
            dropped["model.hidden_size"] = None
        rest = tiny(**dropped) if command == "train" and "resume" not in dropped else []
        ended = in_process(command, *rest, *arguments)
        check(ended, code, words)
        assert files(Path()) == before

    return run


def check(ended: Any, code: int, words: list[str]) -> None:
    assert ended.code == code, ended
    lines = ended.err.splitlines()
    assert len(lines) >= 2
    for number, line in enumerate(lines):
        assert line.startswith(("error: ", "  fix: ")[number % 2]), lines
    assert "Traceback" not in ended.err + ended.out
    for word in words:
        assert word in ended.err, ended.err


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("ways=70", ["ways=70", "split 'meta_train' of dataset 'glyphs' has 24 classes", "use ways<=24"]),
        ("ways=4", ["ways=4", "split 'meta_validation' of dataset 'glyphs' has 3 classes", "use ways<=3"]),
        ("ways=1", ["ways=1", "ways>=2"]),
        ("ways=0", ["ways=0", "at least 1"]),
        ("ways=five", ["ways=five is not a whole number"]),
        ("ways=[5,20]", ["ways=[5, 20] is not a whole number"]),
        ("ways=5,20", ["ways=5,20 gives several values", "metalstm-train -m"]),
        ("wasy=5", ["wasy is no setting", "did you mean ways?"]),
        ("+wasy=5", ["wasy is no setting", "did you mean ways?"]),
        ("model.hiden_size=5", ["model.hiden_size is no setting", "did you mean model.hidden_size?"]),
        ("dataset.root=x", ["dataset.root is no setting of the chosen dataset", "choose another dataset"]),
        ("dataset_root=x", ["dataset_root is no setting", "did you mean dataset.root?"]),
        ("output_dir=${x}", ["Interpolation key 'x' not found", r"write \${ for ${ as it stands"]),
        ("datset=omniglot", ["datset is no setting", "did you mean dataset?"]),
        ("shots=0", ["shots=0"]),
        ("shots=19", ["shots=19", "train_queries=2", "21 examples", "class 'glyph_", "holds 20"]),
        ("queries=0", ["queries=0"]),
        ("queries=20", ["queries=20", "shots=1", "class 'glyph_", "shots+queries<=20"]),
        ("outer_lr=0", ["outer_lr=0.0", "larger than 0"]),
        ("outer_lr=-0.1", ["outer_lr=-0.1", "larger than 0"]),
        ("outer_lr=nan", ["outer_lr=nan", "finite"]),
        ("outer_lr=inf", ["outer_lr=inf", "finite"]),
        ("learner.inner_lr=0", ["learner.inner_lr=0.0", "larger than 0"]),
        ("learner.inner_lr=-1", ["learner.inner_lr=-1.0", "larger than 0"]),
        ("learner.inner_lr=nan", ["learner.inner_lr=nan", "finite"]),
        ("learner.inner_lr=inf", ["learner.inner_lr=inf", "finite"]),
        ("learner.inner_steps=0", ["learner.inner_steps=0", "at least 1"]),
        ("learner.inner_steps=-1", ["learner.inner_steps=-1"]),
        ("model.hidden_size=0", ["model.hidden_size=0"]),
        ("model.layers=0", ["model.layers=0"]),
        ("model.dropout=1", ["model.dropout=1.0", "smaller than 1"]),
        ("model.directions=3", ["model.directions=3", "1, 2, 4, null"]),
        ("meta_batch_size=0", ["meta_batch_size=0"]),
        ("seed=-1", ["seed=-1"]),
        (f"seed={2**32}", [f"seed={2**32}", f"smaller than {2**32}"]),
        ("checkpoint_every=0", ["checkpoint_every=0"]),
        ("keep_checkpoints=0", ["keep_checkpoints=0"]),
        ("steps=0", ["steps=0"]),
        ("steps=1e3", ["steps=1000.0 is not a whole number"]),
        ("test_tasks=1", ["test_tasks=1"]),
        ("threads=0", ["threads=0"]),
        ("device=abacus", ["device=abacus", "device=cpu"]),
        (
            "dataset=nothing",
            [
                "dataset=nothing is unknown",
                "cifar_fs, clinc150, ecg, folder, glyphs, movietweetings, omniglot, pendulum, ",
                "sinusoid, speech_commands, terrain",
            ],
        ),
        ("model=gru", ["model=gru is unknown", "lstm"]),
        ("learner=nothing", ["learner=nothing is unknown", "anil, finetune"]),
        ("experiment=nothing", ["experiment=nothing is unknown", "omniglot_5w1s"]),
        ("learner.name=nothing", ["learner.name=nothing is unknown", "choose learner=one of anil"]),
        ("learner.name=[maml]", ["is unknown", "maml"]),
        ("learner=null", ["group", "null"]),
        ("~learner.engine", ["learner.engine has no value"]),
        ("ways=", ["ways= is not a whole number"]),
        ("output_dir=", ["output_dir is empty", "give output_dir=..."]),
        ("ways 5", ["'ways 5' cannot be read", "name=value"]),
    ],
)
def test_refused(argument: str, words: list[str], refused: Any) -> None:
    refused(2, words, argument)


def test_train_ways(refused: Any) -> None:
    refused(2, ["train_ways=5000", "split 'meta_train'", "use train_ways<="], "learner=protonet", "train_ways=5000")
    refused(2, ["train_ways=20", "learner=memory", "proto_maml, protonet"], "learner=memory", "train_ways=20")


def test_all_at_once(refused: Any) -> None:
    refused(2, ["ways=five", "shots=0", "outer_lr=nan", "wasy"], "ways=five", "shots=0", "outer_lr=nan", "+wasy=5")


@pytest.mark.parametrize("given", ["learner.inner_lr=1e30", "outer_lr=1e20"])
def test_divergence(
    given: str,
    in_process: Any,
) -> None:
    ended = in_process("train", *tiny(**{"learner.learned_rates": "none", "model.layer_norm": True}), given)
    check(ended, 5, ["maml: the ", "at step", "outer_lr", "learner.inner_lr"])
    assert not (only_run(Path()) / "result.json").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_data_folder(exists: bool, refused: Any, tmp_path: Path) -> None:
    root = tmp_path / "data"
    if exists:
        root.mkdir()
    given = ["dataset=omniglot", f"dataset.root={root}", "dataset.download=false"]
    refused(3, [str(root), "images_background", "images_evaluation"], *given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_no_gpu(refused: Any) -> None:
    refused(2, ["device=cuda cannot be used here", "device=cpu"], "device=cuda")


@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_output_dir_is_a_file(sweep: list[str], refused: Any) -> None:
    Path("taken").write_text("mine", encoding="utf-8")
    refused(2, ["output_dir", "taken", "cannot be written"], "output_dir=taken", *sweep)


def run_directory(path: Path, run_format: int = 1) -> None:
    path.mkdir()
    (path / "config.yaml").write_text("ways: 5\n", encoding="utf-8")
    (path / "run.json").write_text(json.dumps({"format": run_format, "fingerprint": "0"}), encoding="utf-8")


@pytest.mark.parametrize("command", ["train", "test"])
def test_no_run_to_go_on_with(command: str, in_process: Any) -> None:
    option = {"train": "resume", "test": "run"}[command]
    Path("empty").mkdir()
    run_directory(Path("newer"), 2)
    run_directory(Path("broken"))
    Path("broken", "config.yaml").write_bytes(b"\xff\x00: [")
    before = files(Path())
    for path, words in (
        ("nowhere", ["nowhere is not a directory"]),
        ("5", ["5 is not a directory"]),
        ("empty", ["empty is not a run directory"]),
        ("broken", ["broken is not a run directory"]),
        ("newer", ["format 2, this version reads 1"]),
    ):
        check(in_process(command, f"{option}={path}"), 4, words)
    assert files(Path()) == before


def test_meta_test_without_a_run(refused: Any) -> None:
    refused(2, ["run has no value", "give run="], command="test")
    refused(2, ["tasks=1"], "run=nowhere", "tasks=1", command="test")


@pytest.mark.parametrize(
    ("argument", "code", "words"),
    [
        ("ways=700", 2, ["error: ways=700, but split 'meta_train'", "fix: use ways<=400"]),
        ("wasy=5", 2, ["did you mean ways?"]),
        ("resume=nowhere", 4, ["nowhere is not a directory"]),
    ],
)
def test_as_a_process(argument: str, code: int, words: list[str], process: Any, tmp_path: Path) -> None:
    check(process("metalstm-train", argument, cwd=tmp_path), code, words)
    assert list(tmp_path.iterdir()) == []


def test_first_order_maml_of_second_order(refused: Any) -> None:
    refused(2, ["learner.order=second", "fomaml is first order"], "learner=fomaml", "learner.order=second")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["learner=memory", "learner.labels=offset"],
            ["learner.labels=offset, but with learner.support=pooled", "use learner.labels=joined"],
        ),
        (
            ["learner=memory", "test_steps=5"],
            ["test_steps=5, but a step of learner=memory is one more shot", "shots=1", "use test_steps<=1"],
        ),
        (["learner=protonet", "shots=2", "test_steps=3"], ["test_steps=3", "learner=protonet", "use test_steps<=2"]),
        (
            ["learner=protonet", "precision=bfloat16"],
            ["precision=bfloat16, but learner=protonet computes in float32", "use precision=float32, or learner=maml"],
        ),
        (["learner=reptile", "precision=float16"], ["precision=float16, but learner=reptile computes in float32"]),
        (
            ["model=mlp", "learner.engine=higher"],
            ["model=mlp, but learner.engine=higher adapts the LSTM alone", "use learner.engine=batched, or model=lstm"],
        ),
        (
            ["learner=mamlpp", "learner.multi_step_until=1.5"],
            ["learner.multi_step_until=1.5, but it must be at most 1", "use learner.multi_step_until<=1"],
        ),
        (["learner=mamlpp", "learner.second_order_from=-0.1"], ["learner.second_order_from=-0.1", "at least 0"]),
        (["learner=lstm_optimizer", "learner.inner_lr=1"], ["learner.inner_lr=1.0", "smaller than 1"]),
        (["learner=reptile", "learner.optimizer=rmsprop"], ["learner.optimizer=rmsprop", "one of sgd, adam"]),
        (["learner=protonet", "learner.inner_steps=3"], ["learner.inner_steps is no setting of the chosen learner"]),
        (["model=mlp", "model.hidden_size=3"], ["model.hidden_size is no setting of the chosen model"]),
    ],
)
def test_a_learner_or_model_refused(arguments: list[str], words: list[str], refused: Any) -> None:
    refused(2, words, *arguments)


def test_more_shots_than_a_run_has_to_read(
    in_process: Any,
) -> None:
    given = tiny(steps=1, scratch_tasks=0, shots=2, **{"learner.inner_steps": None})
    assert in_process("train", "learner=protonet", *given).code == 0
    path = only_run(Path())
    before = files(path)
    check(in_process("test", f"run={path}", "steps=3"), 2, ["error: steps=3", "shots=2", "fix: use steps<=2"])
    assert files(path) == before
    assert in_process("test", f"run={path}", "steps=1", "tasks=4").code == 0


def test_a_run_is_not_tested_on_tasks_that_it_cannot_take(
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(steps=1, scratch_tasks=0)).code == 0
    path = only_run(Path())
    before = files(path)
    test = ("test", f"run={path}", "tasks=4")
    check(in_process(*test, "ways=2"), 2, ["ways=2", "learner=maml has an output for each of 3 classes", "protonet"])
    check(in_process(*test, "shots=20"), 2, ["shots=20", "holds 20"])
    assert files(path) == before
    assert in_process(*test, "shots=2").code == 0
