"""`metalstm-runs`: every state that a run can be in, told from its files and its lock."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from metalstm.cli import runs
from metalstm.cli.runs import as_table, fits
from metalstm.config.text import command
from metalstm.errors import DivergedError, Interrupted
from metalstm.runs.listing import Listed, listed, settings_of, whole
from metalstm.runs.lock import HOLDER, LOCK, RunLock, is_held
from metalstm.runs.logs import end_log, log_to_file, reason_logged, start_log
from support.commands import tiny

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """`made(name)` makes a run directory with so many steps in its metrics and such checkpoints."""

    def make(name: str, metrics: int = 0, checkpoints: tuple[int, ...] = (), result: Any = None, log: str = "") -> Path:
        path = tmp_path / "outputs" / "glyphs_5w1s_maml" / name
        path.mkdir(parents=True)
        (path / "run.json").write_text('{"format": 1}', encoding="utf-8")
        (path / "config.yaml").write_text("learner:\n  steps: 3\nsteps: 200\nseed: 0\n", encoding="utf-8")
        lines = [json.dumps({"step": step, "meta_train/loss": 0.5}) for step in range(1, metrics + 1)]
        (path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for step in checkpoints:
            (path / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)
        if result is not None:
            (path / "result.json").write_text(json.dumps(result), encoding="utf-8")
        (path / "train.log").write_text(log, encoding="utf-8")
        return path

    return make


def names(folder: Path) -> list[str]:
    return [run.path.name for run in listed(folder)]


FINISHED = {"metric": "accuracy", "value": 0.91234, "ci95": 0.0051}
STARTED = "2026-01-01 10:00:00,123 INFO run       outputs/x\n"


def test_finished(made: Any, tmp_path: Path) -> None:
    path = made("2026-01-02T03-04-05-678901", metrics=200, checkpoints=(100, 200), result=FINISHED)
    (run,) = listed(tmp_path)
    assert (run.path, run.state, run.step, run.steps) == (path, "finished", 200, 200)
    assert run.result == "accuracy 91.23 ± 0.51%"
    assert f"{run.begun:%Y-%m-%d %H:%M:%S}" == "2026-01-02 03:04:05"


VALIDATED = '{"step": 200, "meta_validation/accuracy": 0.8, "meta_validation/accuracy_ci95": 0.05}\n'


def test_over_without_a_meta_test(made: Any, tmp_path: Path) -> None:
    path = made("trial_001", metrics=200, checkpoints=(100, 200))
    config = (path / "config.yaml").read_text(encoding="utf-8")
    assert listed(tmp_path)[0].state == "interrupted"  # in its meta-test
    (path / "config.yaml").write_text(f"{config}test_tasks: 0\n", encoding="utf-8")
    assert (listed(tmp_path)[0].state, listed(tmp_path)[0].result) == ("trained", "no meta-test")
    with (path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(VALIDATED)
    (run,) = listed(tmp_path)
    assert (run.step, run.meta_validation) == (200, 0.8)
    assert run.result == "meta-validation accuracy 80.00 ± 5.00%, no meta-test"


def test_a_trial_that_its_search_has_pruned(made: Any, tmp_path: Path) -> None:
    for name in ("trial_000", "trial_001", "trial_002"):
        path = made(name, metrics=70, checkpoints=(50,))
        config = (path / "config.yaml").read_text(encoding="utf-8") + "test_tasks: 0\n"
        (path / "config.yaml").write_text(config, encoding="utf-8")
    table = "| trial | outer_lr | meta_validation/accuracy |\n|---:|---:| --- |\n"
    table += "| 1 | 0.001 | pruned at step 50 |\n| 0 | 0.1 | failed: no room |\n"
    (path.parent / "trials.md").write_text(table, encoding="utf-8")
    found = {run.path.name: (run.state, run.result) for run in listed(tmp_path)}
    assert found["trial_001"] == ("pruned", "pruned at step 50")
    assert [found[name][0] for name in ("trial_000", "trial_002")] == ["interrupted"] * 2
    (path.parent / "trials.md").write_bytes(b"\xff\xfe| 1 |")
    assert {run.state for run in listed(tmp_path)} == {"interrupted"}


def test_begun_when_its_content_says(made: Any, tmp_path: Path) -> None:
    """`run.json` first, then the name, then the log's first line; never the time of a file, which a copy changes."""
    path = made("2026-01-02T03-04-05-678901", log=STARTED)
    os.utime(path / "run.json", (0, 0))
    assert f"{listed(tmp_path)[0].begun}" == "2026-01-02 03:04:05.678901+00:00"
    (path / "run.json").write_text('{"begun": "2025-05-05T05:05:05+02:00"}', encoding="utf-8")
    assert f"{listed(tmp_path)[0].begun}" == "2025-05-05 03:05:05+00:00"
    path = path.rename(path.with_name("seed-0"))
    for damaged in ("[]", '{"begun": 7}', '{"begun": "0001-01-01T00:00:00+14:00"}', "{}"):
        (path / "run.json").write_text(damaged, encoding="utf-8")
        assert listed(tmp_path)[0].begun == datetime(2026, 1, 1, 10).astimezone(timezone.utc)
    (path / "train.log").unlink()
    assert listed(tmp_path)[0].begun is None


def test_a_run_says_when_it_was_begun_and_keeps_it(
    in_process: Any,
) -> None:
    before = datetime.now(timezone.utc)
    assert in_process("train", *tiny(steps=2, test_tasks=0, scratch_tasks=0), "hydra.run.dir=mine").code == 0
    (run,) = listed(Path())
    assert (run.state, run.dataset, run.learner, run.ways) == ("trained", "glyphs", "maml", 3)
    assert run.begun is not None
    assert before <= run.begun <= datetime.now(timezone.utc)
    assert in_process("train", "resume=mine", "steps=3").code == 0
    assert listed(Path())[0].begun == run.begun


def test_a_regression_and_a_broken_result(made: Any, tmp_path: Path) -> None:
    made("2026-01-02T00-00-00-000000", result={"metric": "mse", "value": 0.0123456, "ci95": 0.001})
    made("2026-01-01T00-00-00-000000", result={"metric": "mse"})
    assert [run.result for run in listed(tmp_path)] == ["mse 0.01235 ± 0.001", "result.json cannot be read"]


def test_running_while_its_lock_is_held(made: Any, tmp_path: Path) -> None:
    made("one", metrics=150, checkpoints=(100,))
    path = made("two", metrics=20)
    with RunLock(path):
        states = {run.path.name: (run.state, run.step) for run in listed(tmp_path)}
        assert states == {"one": ("interrupted", 100), "two": ("running", 20)}
    assert {run.path.name: run.state for run in listed(tmp_path)} == {"one": "interrupted", "two": "failed"}


def test_running_in_another_process_and_killed(made: Any, tmp_path: Path) -> None:
    path = made("one", metrics=150, checkpoints=(50, 100))
    hold = "import sys; from pathlib import Path; from metalstm.runs.lock import RunLock\n"
    hold += "with RunLock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert listed(tmp_path)[0].state == "running"
    process.kill()
    process.communicate()
    assert (path / HOLDER).exists()  # it had no time to tidy up
    (run,) = listed(tmp_path)
    assert (run.state, run.step, run.result) == ("interrupted", 100, f"go on with metalstm-train resume={path}")
    with RunLock(path):  # asking did not take it
        pass


def test_who_has_no_holder_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK).touch()
    monkeypatch.setattr("metalstm.runs.lock.FileLock", lambda *given, **named: pytest.fail("it was asked"))
    assert is_held(tmp_path) is False


def test_failed_says_why(made: Any, tmp_path: Path) -> None:
    path = made("2026-01-01T00-00-00-000000", metrics=120, checkpoints=(100,), log=STARTED)
    start_log()
    log_to_file(path / "train.log")
    with pytest.raises(DivergedError), reason_logged():
        raise DivergedError.of("the meta-loss of step 121 is nan", "use a smaller outer_lr")
    end_log()
    (run,) = listed(tmp_path)
    assert (run.state, run.step, run.result) == ("failed", 120, "the meta-loss of step 121 is nan")
    with (path / "train.log").open("a", encoding="utf-8") as log:
        log.write(STARTED)  # it was begun again
    assert listed(tmp_path)[0].state == "interrupted"


def test_jobs_of_a_sweep_that_failed(made: Any, tmp_path: Path) -> None:
    begun = made("learner-maml_seed-0", metrics=120, checkpoints=(100,))
    refused = tmp_path / "outputs" / "learner-maml_seed-1"  # before it was a run
    refused.mkdir()
    for path, said in ((begun, "ended by SIGKILL"), (refused, "shots=99 is too many")):
        (path / "failed.json").write_text(json.dumps({"exit_code": 2, "reason": said}), encoding="utf-8")
    found = {run.path.name: (run.state, run.step, run.steps, run.result) for run in listed(tmp_path)}
    assert found == {
        "learner-maml_seed-0": ("failed", 120, 200, "ended by SIGKILL"),
        "learner-maml_seed-1": ("failed", 0, None, "shots=99 is too many"),
    }


def test_the_screen_does_not_repeat_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start_log()
    log_to_file(tmp_path / "train.log")
    for error in (DivergedError.of("nan", "less"), ZeroDivisionError("by zero"), Interrupted(15)):
        with pytest.raises(type(error)), reason_logged():
            raise error
    end_log()
    assert capsys.readouterr() == ("", "")
    log = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert "ERROR error: nan\n  fix: less\n" in log
    assert "ERROR error: ZeroDivisionError: by zero\n" in log
    assert log.count("ERROR") == 2


def test_the_newest_first_and_nothing_else(made: Any, tmp_path: Path) -> None:
    for day in (2, 3, 1):
        path = made(f"2026-01-0{day}T00-00-00-000000", result=FINISHED)
    for other in ("tests/2026-01-05T00-00-00-000000", "checkpoints"):
        (path / other).mkdir(parents=True)
        (path / other / "run.json").write_text("{}", encoding="utf-8")
    hidden = tmp_path / ".trash" / "2026-01-09T00-00-00-000000"
    hidden.mkdir(parents=True)
    (hidden / "run.json").write_text("{}", encoding="utf-8")
    assert names(tmp_path) == [f"2026-01-0{day}T00-00-00-000000" for day in (3, 2, 1)]


def test_damaged_files(made: Any, tmp_path: Path) -> None:
    path = made("odd", metrics=7)
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 8\n[1]\n\xff\xfe')
    (path / "config.yaml").write_bytes(b"\xff")
    (path / "train.log").unlink()
    (run,) = listed(tmp_path)
    assert (run.state, run.step, run.steps) == ("failed", 7, None)
    assert run.result == "it ended before its first checkpoint"


def test_the_command(made: Any, process: Any, tmp_path: Path) -> None:
    made("2026-01-02T00-00-00-000000", metrics=200, result=FINISHED)
    made("2026-01-01T00-00-00-000000", metrics=9)
    ended = process("metalstm-runs", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    header, *lines = ended.out.splitlines()
    assert header.split() == ["state", "step", "begun,", "UTC", "result"]
    assert lines[0].split()[:4] == ["finished", "200/200", "2026-01-02", "00:00"]
    assert max(map(len, ended.out.splitlines())) <= 80
    paths = [line.strip() for line in lines if line.startswith("  outputs/")]  # whole, to be copied
    assert paths == [f"outputs/glyphs_5w1s_maml/2026-01-0{day}T00-00-00-000000" for day in (2, 1)]
    assert "failed" in ended.out
    (tmp_path / "empty").mkdir()
    for refused in (["--sort", "age"], ["--filter", "state"], ["--filter", "age=1"], ["--limit", "0"]):
        ended = process("metalstm-runs", *refused, cwd=tmp_path)
        assert (ended.code, ended.out, ended.err.count("error: --")) == (2, "", 1)
    assert process("metalstm-runs", "empty", cwd=tmp_path).out == "no runs under empty\n"
    ended = process("metalstm-runs", "nowhere", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: nowhere is no folder\n  fix: ")


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`asked(*arguments)`: what the command prints with `--json`."""

    def ask(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["metalstm-runs", str(tmp_path), "--json", *arguments])
        runs.main()
        return json.loads(capsys.readouterr().out)

    return ask


def test_json_for_scripts(made: Any, asked: Any, tmp_path: Path) -> None:
    path = made("2026-01-02T00-00-00-000000", metrics=200, result=FINISHED | {"ci95": math.inf})
    (run,) = asked()
    assert list(run) == [name for name in runs.KEYS if name]
    assert run["path"] == str(path)
    assert (run["begun"], run["value"], run["ci95"]) == ("2026-01-02T00:00:00+00:00", 0.91234, None)
    assert (run["steps"], run["seed"], run["learner"]) == (200, 0, None)


def test_sorted_filtered_and_cut(made: Any, asked: Any) -> None:
    for day, value in ((1, 0.5), (2, 0.9), (3, 0.7), (4, math.nan)):
        made(f"2026-01-0{day}T00-00-00-000000", result=FINISHED | {"value": value})
    made("2026-01-05T00-00-00-000000")

    def days(*arguments: str) -> list[str]:
        return [run["path"].split("2026-01-0")[1][0] for run in asked(*arguments)]

    assert days() == list("54321")
    assert days("--reverse") == list("12345")
    assert days("--sort", "value", "--filter", "state=finished") == list("1324")  # what is no number comes last
    assert days("--sort", "value", "--reverse", "--limit", "2") == list("23")
    assert days("--filter", "state=failed,running") == ["5"]
    assert days("--filter", "path=*-0[12]T*", "--filter", "seed=0") == list("21")
    assert days("--filter", "seed=1") == []


def test_settings_without_yaml() -> None:
    config = "dataset:\n  root: null\n  name: folder\nmodel:\n  name: 'lstm'\nways: 5\nseed: x\n"
    found = settings_of(config)
    assert (found["dataset"], found["model"], found.get("learner")) == ("folder", "lstm", None)
    assert (whole(found, "ways"), whole(found, "seed"), whole(found, "shots")) == (5, None, None)


def test_it_answers_at_once(made: Any, start: Any, tmp_path: Path) -> None:
    for number in range(100):
        made(f"2026-01-02T00-00-00-{number:06d}", metrics=50, checkpoints=(50,))
    seconds = []
    for _ in range(3):
        running = start("metalstm-runs", cwd=tmp_path)
        out, err = running.stdout.read(), running.stderr.read()
        _, status, used = os.wait4(running.pid, 0)  # processor time, which a busy machine does not stretch
        running.returncode = os.waitstatus_to_exitcode(status)
        seconds.append(used.ru_utime + used.ru_stime)
        assert (running.returncode, err, out.count("interrupted")) == (0, "", 100)
    assert min(seconds) < 1


def test_torch_is_not_imported(tmp_path: Path) -> None:
    script = "import sys; from metalstm.cli.runs import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    (tmp_path / "outputs").mkdir()
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["no runs under outputs", "False"]


def a_run(path: Path, **known: Any) -> Listed:
    return Listed(**dict.fromkeys(Listed._fields) | {"path": path, "step": 1, "result": ""} | known)  # type: ignore[arg-type]


def test_numbers_are_filtered_as_numbers(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, state="finished", ci95=half) for half in (0.0, 0.5)]
    assert [fits(run, "ci95", "0") for run in runs] == [True, False]
    assert [fits(run, "ci95", "0.50,x") for run in runs] == [False, True]
    assert not fits(runs[0], "ci95", "nan")


def test_a_command_to_go_on_stands_whole_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / ("a long name " * 9)
    said = f"go on with {command('metalstm-train', resume=path)}"
    lines = as_table([a_run(path, state="interrupted", result=said)]).splitlines()
    assert lines[-1].strip() == command("metalstm-train", resume=path)
    assert "go on with the command below" in lines[-2]
