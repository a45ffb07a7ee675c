"""The commands as a person runs them, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metalstm.runs.checkpoint import read
from support.commands import only_run, result_of, tiny
from support.places import shared_data

KEYS = {
    *("format", "command", "dataset", "learner", "model", "ways", "shots", "queries", "split", "tasks", "steps"),
    *("metric", "value", "ci95", "curve", "baselines", "training", "environment"),
}


@pytest.fixture(scope="module")
def finished(process: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    ended = process("metalstm-train", *tiny(), cwd=folder)
    assert ended.code == 0, ended.err
    path: Path = only_run(folder)
    assert f"run       {path.relative_to(folder)}" in ended.out
    assert "maml, 2 steps" in ended.out
    assert ended.err == ""
    return path


def test_layout_of_a_run_directory(finished: Path) -> None:
    assert finished.parts[-3:-1] == ("outputs", "glyphs_3w1s_maml")
    assert {path.name for path in finished.iterdir()} == {
        *(
            "config.yaml",
            "run.json",
            "per_task.json",
            "gallery.json",
            "confusion.json",
            "report.html",
            "metrics.jsonl",
            "train.log",
            "checkpoints",
            "result.json",
            "figures",
            ".lock",
        ),
    }
    kept = {path.name for path in (finished / "checkpoints").iterdir()}
    assert {name for name in kept if name.startswith("step")} == {"step_00000004", "step_00000006"}
    assert len(kept) == 3
    for figure in ["adaptation_curve.png"]:
        data = (finished / "figures" / figure).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) > 5000
    assert not [path for path in finished.parents[2].rglob("*") if "=" in path.name]
    assert "maml, 2 steps" in (finished / "train.log").read_text(encoding="utf-8")


def test_content_of_result_json(finished: Path) -> None:
    result = result_of(finished)
    assert result.keys() >= KEYS
    assert result["format"] == 1
    assert result["command"][1:4] == ["dataset.classes=36", "model.hidden_size=8", "learner.inner_steps=2"]
    assert (result["dataset"], result["learner"], result["model"]) == ("glyphs", "maml", "lstm")
    assert (result["ways"], result["shots"], result["queries"]) == (3, 1, 2)
    assert (result["split"], result["tasks"], result["steps"], result["metric"]) == ("meta_test", 6, 2, "accuracy")
    assert [point["step"] for point in result["curve"]] == [0, 1, 2, 3, 4]
    assert all(point.keys() == {"step", "value", "ci95"} for point in result["curve"])
    assert result["curve"][2] == {"step": 2, "value": result["value"], "ci95": result["ci95"]}
    assert 0 <= result["value"] <= 1
    tasks, classes = result["intervals"]  # 6 tasks of 3 of the 9 classes each
    assert tasks == {"over": "task", "units": 6, "ci95": result["ci95"]}
    assert (classes["over"], 3 <= classes["units"] <= 9, classes["ci95"] > 0) == ("class", True, True)
    for baseline in (result["baselines"]["scratch"], result["baselines"]["scratch_many_steps"]):
        assert baseline.keys() >= {"value", "ci95", "curve"}
    assert result["training"].keys() >= {"steps", "seconds", "tasks_per_second"}
    assert result["environment"].keys() >= {"torch", "python", "threads", "seed"}
    assert (result["environment"]["threads"], result["environment"]["seed"]) == (1, 0)


def test_metrics_have_a_line_for_each_step_and_each_validation(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    trained = [line["step"] for line in lines if "meta_train/accuracy" in line]
    validated = [line["step"] for line in lines if "meta_validation/accuracy" in line]
    assert (trained, validated) == ([1, 2, 3, 4, 5, 6], [3, 6])


def test_a_finished_run_tested_again_gives_the_same(finished: Path, process: Any) -> None:
    ended = process("metalstm-test", f"run={finished}", "tasks=6", "steps=2", cwd=finished)
    assert ended.code == 0, ended.err
    (tested,) = (finished / "tests").iterdir()
    before, again = result_of(finished), result_of(tested)
    for key in ("value", "ci95", "curve", "tasks", "steps", "dataset", "protocol", "split"):
        assert again[key] == before[key], key
    assert f"{100 * again['value']:.2f} ± {100 * again['ci95']:.2f}%" in ended.out


def test_more_tasks_and_steps_in_the_meta_test(finished: Path, in_process: Any) -> None:
    ended = in_process("test", f"run={finished}", "tasks=8", "steps=4")
    assert ended.code == 0, ended.err
    result = result_of(max((finished / "tests").iterdir()))
    assert (result["tasks"], result["steps"], result["curve"][-1]["step"]) == (8, 4, 8)
    assert result["value"] == result["curve"][4]["value"]
    assert "8 meta-test tasks" in ended.out
    said = "steps after 2 take the rates learned for step 2"
    assert f"changed: steps from 2 in meta-training to 4; {said}\n" in ended.out
    assert result["protocol"]["trained_with"] == {"ways": 3, "shots": 1, "queries": 2, "steps": 2}
    assert result["protocol"]["steps_beyond_training"] == said


def test_more_steps_than_in_meta_training(
    in_process: Any,
) -> None:
    given = tiny(steps=2, scratch_tasks=0, test_steps=3)
    assert in_process("train", "learner=reptile", *given).code == 0
    path = only_run(Path())
    said = "steps after 2 go as those before"
    assert result_of(path)["protocol"]["steps_beyond_training"] == said
    assert f"meta-test after 3 steps: {said}" in (path / "train.log").read_text(encoding="utf-8")
    assert in_process("test", f"run={path}", "steps=2", "tasks=4").code == 0
    (tested,) = (path / "tests").iterdir()
    assert result_of(tested)["protocol"]["steps_beyond_training"] is None


def test_other_queries(finished: Path, in_process: Any) -> None:
    ended = in_process("test", f"run={finished}", "queries=5", "tasks=4")
    assert ended.code == 0, ended.err
    assert "changed: queries from 2 to 5" in ended.out
    result = result_of(max((finished / "tests").iterdir()))
    assert (result["queries"], result["settings"]["queries"]) == (5, 5)
    values = [value * 15 for value in (point["value"] * 4 for point in result["curve"])]
    assert values == pytest.approx([round(value) for value in values])  # of 3 classes with 5 queries, in 4 tasks
    assert in_process("test", f"run={finished}", "queries=20").code == 2


@pytest.mark.parametrize(("learner", "code"), [("protonet", 0), ("finetune", 2)])
def test_only_splits_that_are_used_are_checked(
    learner: str,
    code: int,
    in_process: Any,
) -> None:
    """Meta-validation has 3 classes, meta-test 9; only a learner that leaves its rate open needs the former."""
    drops = {"learner.inner_steps": None, "scratch_tasks": 0, "test_tasks": 0, "steps": 1}
    assert in_process("train", f"learner={learner}", *tiny(**drops)).code == 0
    ended = in_process("test", f"run={only_run(Path())}", "ways=9", "tasks=2")
    assert (ended.code, "split 'meta_validation'" in ended.err) == (code, code == 2)


def test_tasks_of_another_shape_than_the_run_was_tested_on(
    in_process: Any,
) -> None:
    drops = {"learner.inner_steps": None, "scratch_tasks": 0, "validate_every": 6}
    results = {}
    for ways in (3, 2):
        given = tiny(ways=ways, **drops, output_dir=str(ways))
        assert in_process("train", "learner=protonet", "train_ways=3", *given).code == 0
        results[ways] = only_run(Path(str(ways)))
    ended = in_process("test", f"run={results[3]}", "ways=2", "tasks=6")
    assert ended.code == 0, ended.err
    assert "6 meta-test tasks of glyphs, 2-way 1-shot" in ended.out
    (tested,) = (results[3] / "tests").iterdir()
    again, other = result_of(tested), result_of(results[2])
    for key in ("ways", "shots", "value", "ci95", "curve", "steps"):  # the two were trained in the same way
        assert again[key] == other[key], key
    assert in_process("test", f"run={results[3]}", "shots=3", "tasks=6").code == 0
    result = result_of(max((results[3] / "tests").iterdir()))
    assert (result["ways"], result["shots"], result["steps"], len(result["curve"])) == (3, 3, 3, 4)


def test_on_meta_validation_meta_test_stays_unseen(finished: Path, in_process: Any) -> None:
    ended = in_process("test", f"run={finished}", "split=meta_validation", "tasks=6", "steps=2")
    assert ended.code == 0, ended.err
    result = result_of(max((finished / "tests").iterdir()))
    assert result["split"] == "meta_validation"
    assert "6 meta-validation tasks" in ended.out
    assert result["curve"] != result_of(finished)["curve"]


def test_a_stream_of_tasks(finished: Path, in_process: Any) -> None:
    given = ("protocol=lifelong", "streams=2", "stream_tasks=3", "steps=1")
    ended = in_process("test", f"run={finished}", *given)
    assert ended.code == 0, ended.err
    assert "over 2 streams of 3 meta-test tasks of glyphs" in ended.out
    folder = max((finished / "tests").iterdir())
    result = json.loads((folder / "lifelong.json").read_text(encoding="utf-8"))
    assert list(result["modes"]) == ["carry", "reset", "replay"]
    for entry in result["modes"].values():
        assert [len(row) for row in entry["matrix"]] == [3] * 4
        assert entry["matrix"][0] == result["modes"]["carry"]["matrix"][0]  # before the first task
        assert entry["matrix"][1] == result["modes"]["carry"]["matrix"][1]  # and after it there is no difference yet
    assert result["modes"]["carry"]["matrix"] != result["modes"]["reset"]["matrix"]
    assert (folder / "figures" / "lifelong.png").exists()


@pytest.mark.parametrize("command", ["metalstm-train", "metalstm-test"])
@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_help_answers_at_once(command: str, arguments: list[str], start: Any, tmp_path: Path) -> None:
    """In a few times what Hydra alone takes: of both, side by side, the least processor time of three."""

    def seconds(*words: str) -> tuple[float, str]:
        running = start(*words, cwd=tmp_path)
        out, err = running.stdout.read(), running.stderr.read()
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        assert (running.returncode, err) == (0, "")
        return used.ru_utime + used.ru_stime, out

    pairs = [(seconds(command, *arguments), seconds("python", "-c", "import hydra")) for _ in range(3)]
    said = ("ways", "5") if command == "metalstm-train" else ("tasks", "600")
    assert all(("=" if arguments == ["--help"] else ": ").join(said) in out for (_, out), _ in pairs)
    assert min(ours for (ours, _), _ in pairs) < 4 * min(hydra for _, (hydra, _) in pairs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["test", "adapt"])
@pytest.mark.parametrize("asked", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_only_training_is_swept(command: str, asked: str, in_process: Any) -> None:
    ended = in_process(command, asked, "run=a,b")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"error: metalstm-{command} has no sweeps: it takes one value of each setting\n"
        "  fix: leave -m out, and start it once for each value; metalstm-train -m trains a sweep\n"
    )
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--cfg", "job"], ["wasy=5"], ["-m", "wasy=0,1"], ["-sc", "query=bash"]]
)
def test_torch_is_not_imported_to_answer(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "metalstm-train model=")  # what bash gives with `query`
    monkeypatch.setenv("COMP_POINT", "21")
    script = "import sys; from metalstm.train import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines()[-1] == "False"
    assert ("model=mlp" in ended.stdout) == (arguments[0] in ("--help", "-sc"))


def test_python_m(process: Any, tmp_path: Path) -> None:
    ended = process("python", "-m", "metalstm.train", *tiny(steps=1, scratch_tasks=0), cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert process("python", "-m", "metalstm", "test", "--cfg", "job", cwd=tmp_path).code == 0
    assert only_run(tmp_path).name


def test_regression(
    in_process: Any,
) -> None:
    mine = tiny(ways=None, **{"dataset.classes": None})
    ended = in_process("train", "experiment=sinusoid_5shot", *mine)
    assert ended.code == 0, ended.err
    path = only_run(Path())
    assert path.parent.name == "sinusoid_1w5s_maml"
    result = result_of(path)
    assert (result["metric"], result["ways"], result["shots"]) == ("mse", 1, 5)
    assert result["settings"]["learner"]["inner_lr"] == 0.01  # the experiment's
    assert result["settings"]["steps"] == 6  # the command line's


@pytest.mark.parametrize("given", [["learner.engine=higher"], ["learner=fomaml"], ["model.directions=2"]])
def test_variants_train(
    given: list[str],
    in_process: Any,
) -> None:
    ended = in_process("train", *given, *tiny(steps=3, scratch_tasks=0))
    assert ended.code == 0, ended.err
    state = read(only_run(Path()) / "checkpoints" / "step_00000003", "cpu").state
    assert state["step"] == 3


@pytest.mark.slow
def test_omniglot(process: Any, tmp_path: Path) -> None:
    root = shared_data("omniglot")
    given = tiny(ways=20, shots=5, scratch_tasks=0, steps=2, **{"dataset.classes": None})
    for directory in ("first", "second"):  # the second reads the cache of the first
        (tmp_path / directory).mkdir()
        ended = process("metalstm-train", "dataset=omniglot", f"dataset.root={root}", *given, cwd=tmp_path / directory)
        assert ended.code == 0, ended.err
        assert only_run(tmp_path / directory).parent.name == "omniglot_20w5s_maml"
    first, second = (only_run(tmp_path / name) for name in ("first", "second"))
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()
