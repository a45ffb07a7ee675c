"""`metalstm-report` on real runs: its table, its files and its figure; and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from metalstm.cli import report
from support.commands import result_of, tiny

PNG = b"\x89PNG"


class Ended(NamedTuple):
    """How the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def runs(finished_runs: Any) -> dict[str, Path]:
    """Finished runs, by name: two learners on the same tasks, one on others, and a regression."""
    wanted = {
        "maml": ["learner=maml", *tiny(scratch_tasks=3, scratch_steps=4)],
        "memory": ["learner=memory", *tiny(scratch_tasks=0, steps=2, **{"learner.inner_steps": None})],
        "two": ["learner=fomaml", *tiny(scratch_tasks=0, steps=2, ways=2)],
        "waves": ["dataset=sinusoid", *tiny(scratch_tasks=2, steps=2, ways=1, shots=5, **{"dataset.classes": None})],
    }
    found: dict[str, Path] = finished_runs(wanted)
    return found


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """`reported(*arguments)` runs the command here, on 80 columns; it prints Markdown unless told otherwise."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: Any, form: str = "markdown") -> Ended:
        monkeypatch.setattr(sys, "argv", ["metalstm-report", *map(str, arguments), f"--format={form}"])
        capsys.readouterr()
        code: Any = 0
        try:
            report.main()
        except SystemExit as error:
            code = error.code or 0
        return Ended(code, *capsys.readouterr())

    return run


def rows(table: str) -> dict[str, list[str]]:
    """The table's rows by their first cell."""
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {cells[0]: cells[1:] for cells in split[2:]}


def test_a_table_on_the_screen(runs: dict[str, Path], reported: Any) -> None:
    before = {path: path.read_bytes() for path in runs["maml"].rglob("*") if path.is_file()}
    ended = reported(runs["maml"], runs["memory"])
    assert (ended.code, ended.err) == (0, "")
    assert "glyphs, 3-way 1-shot: accuracy on meta_test tasks" in ended.out
    table = rows(ended.out)
    assert table.keys() == {"maml", "memory", "scratch", "scratch_many_steps"}
    results = {name: result_of(runs[name]) for name in ("maml", "memory")}
    told = {name: (result, "6") for name, result in results.items()}
    told |= {name: (baseline, "3") for name, baseline in results["maml"]["baselines"].items()}
    for name, (result, tasks) in told.items():
        assert table[name][0].startswith(f"{100 * result['value']:.2f}% ± {100 * result['ci95']:.2f}% after ")
        assert f"after {result['steps']} {result.get('step_unit', 'step')}" in table[name][0]
        assert table[name][1] == tasks
        assert table[name][6] == f"{100 * result['curve'][0]['value']:.2f}%"
    values = [100 * told[name][0]["value"] for name in table]
    assert values == sorted(values, reverse=True)
    assert before == {path: path.read_bytes() for path in runs["maml"].rglob("*") if path.is_file()}
    assert not list(Path().iterdir())


def test_a_table_that_fits_the_screen(runs: dict[str, Path], reported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    markdown, narrow = (reported(runs["maml"], runs["memory"], form=form).out for form in ("markdown", "table"))
    assert max(map(len, narrow.splitlines())) <= 80
    assert "|" not in narrow
    for name, cells in rows(markdown).items():  # nothing is lost
        lines = [line.split() for line in narrow.splitlines() if line.split()[:1] == [name]]
        assert [word for line in lines for word in line[1:]] == " ".join(cells).split()
    monkeypatch.setenv("COLUMNS", "200")
    wide = reported(runs["maml"], runs["memory"], form="table").out
    assert len([line for line in wide.splitlines() if line.startswith("memory")]) == 1


def test_json_for_scripts(runs: dict[str, Path], reported: Any, tmp_path: Path) -> None:
    ended = reported(runs["maml"], "--out", tmp_path / "out", form="json")
    assert ended.out == (tmp_path / "out" / "comparison.json").read_text(encoding="utf-8")
    content = json.loads(ended.out)
    assert (content["metric"], content["without_result"]) == ("accuracy", [])
    assert (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8").count("| maml |") == 1


def test_its_files(runs: dict[str, Path], reported: Any, drawn: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    ended = reported(runs["maml"], runs["memory"], "--out", out)
    assert (ended.code, ended.err) == (0, "")
    written = {path.name for path in out.iterdir()}
    assert written == {"comparison.md", "comparison.json", "comparison.png", "report.html"}
    assert (out / "comparison.md").read_text(encoding="utf-8") == ended.out
    assert (out / "comparison.png").read_bytes().startswith(PNG)
    content = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert (content["dataset"], content["ways"], content["seed"]) == ("glyphs", 3, 0)
    assert [row["name"] for row in content["rows"]] == list(rows(ended.out))
    by_name = {row["name"]: row for row in content["rows"]}
    result = result_of(runs["maml"])
    assert by_name["maml"]["value"] == pytest.approx(result["value"], abs=2e-6)
    assert by_name["maml"]["ci95"] == pytest.approx(result["ci95"], abs=5e-6)
    assert by_name["maml"]["training_s"] == result["training"]["seconds"]
    assert reported(runs["maml"], "--out", out).code == 0  # once more into the same folder
    assert (out / "comparison.md").read_text(encoding="utf-8") != ended.out


def lines_of(figure: Any) -> dict[str, Any]:
    """By the names in their labels, which end with the result."""
    (axes,) = figure.axes
    return {line.get_label().split(", ")[0]: line for line in axes.get_lines()}


def test_its_figure(runs: dict[str, Path], reported: Any, drawn: list[Any], tmp_path: Path) -> None:
    ended = reported(runs["maml"], runs["memory"], "--out", tmp_path / "out")
    assert ended.code == 0
    (figure,) = drawn
    lines = lines_of(figure)
    results = {name: result_of(runs[name]) for name in ("maml", "memory")}
    curves = {name: result["curve"] for name, result in results.items()}
    curves |= {name: baseline["curve"] for name, baseline in results["maml"]["baselines"].items()}
    for name, curve in curves.items():
        assert list(lines[name].get_xdata()) == [point["step"] for point in curve]
        assert list(lines[name].get_ydata()) == pytest.approx([100 * point["value"] for point in curve], abs=1e-3)
    (axes,) = figure.axes
    assert len(lines) == len(curves) + 1  # and chance
    assert any(list(line.get_ydata()) == pytest.approx([100 / 3] * 2) for line in lines.values())
    assert len(axes.collections) == len(curves)
    assert list(lines)[: len(curves)] == list(rows(ended.out))  # the best first
    place = list(lines).index("maml")
    interval = axes.collections[place].get_paths()[0].vertices[:, 1]
    ends = [100 * (point["value"] + sign * point["ci95"]) for point in curves["maml"] for sign in (-1, 1)]
    assert (interval.min(), interval.max()) == pytest.approx((min(ends), max(ends)), abs=1e-3)
    assert "shots" in axes.get_xlabel()
    assert "steps" in axes.get_xlabel()
    assert "3-way 1-shot" in axes.get_title()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"{name}, {cells[0].split(' ')[0]}" for name, cells in rows(ended.out).items()
    ]


def test_the_figure_of_learners_that_all_read(
    runs: dict[str, Path], reported: Any, drawn: list[Any], tmp_path: Path
) -> None:
    assert reported(runs["memory"], "--out", tmp_path / "out").code == 0
    assert drawn[0].axes[0].get_xlabel() == "shots read"


def test_more_curves_than_colours(runs: dict[str, Path], reported: Any, drawn: list[Any], tmp_path: Path) -> None:
    copies = []
    for number in range(6):
        copies.append(tmp_path / f"copy{number}")
        copies[-1].mkdir()
        for name in ("result.json", "per_task.json"):
            (copies[-1] / name).write_bytes((runs["memory"] / name).read_bytes())
    assert reported(*copies, "--out", tmp_path / "out").code == 0
    lines = [line for name, line in lines_of(drawn[0]).items() if name.startswith("memory")]
    assert [line.get_label().split(", ")[0] for line in lines] == [f"memory (copy{number})" for number in range(6)]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 6


def test_regression(runs: dict[str, Path], reported: Any, drawn: list[Any], tmp_path: Path) -> None:
    ended = reported(runs["waves"], "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("sinusoid, 5-shot: mse on meta_test tasks")
    assert "%" not in ended.out.replace("95%", "")
    result = result_of(runs["waves"])
    assert rows(ended.out)["maml"][0].startswith(f"{result['value']:.4g} ± {result['ci95']:.4g} after 2 steps")
    values = [float(cells[0].split(" ")[0]) for cells in rows(ended.out).values()]
    assert values == sorted(values)
    assert drawn[0].axes[0].get_yscale() == "log"
    assert set(lines_of(drawn[0])) == {"maml", "scratch", "scratch_many_steps"}


def test_a_run_that_was_tested_again(runs: dict[str, Path], reported: Any, in_process: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs["memory"], copy)
    assert in_process("test", f"run={copy}", "tasks=9").code == 0
    (again,) = (copy / "tests").iterdir()
    table = rows(reported(runs["maml"], again).out)
    assert (table["maml"][1], table["memory"][1]) == ("6", "9")


@pytest.mark.parametrize(("target", "words"), [("0.0", "0 steps"), ("1.01", "not reached")])
def test_target(target: str, words: str, runs: dict[str, Path], reported: Any) -> None:
    ended = reported(runs["maml"], "--target", target)
    assert f"to reach {100 * float(target):.2f}%" in ended.out
    assert [cells[4] for cells in rows(ended.out).values()] == [words] * 3


def test_a_target_of_regression(runs: dict[str, Path], reported: Any) -> None:
    ended = reported(runs["waves"], "--target", "1e6")
    assert "to reach 1e+06" in ended.out
    assert {cells[4] for cells in rows(ended.out).values()} == {"0 steps"}


def refused(ended: Ended, *words: str) -> None:
    assert ended.code == 2, ended
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert len(lines) >= 2
    for number, line in enumerate(lines):
        assert line.startswith(("error: ", "  fix: ")[number % 2]), lines
    for word in words:
        assert word in ended.err, ended.err


def folder_with(folder: Path, content: str) -> Path:
    folder.mkdir()
    for name in ("result.json", "per_task.json"):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def test_a_folder_that_is_no_run(runs: dict[str, Path], reported: Any, tmp_path: Path) -> None:
    empty, broken = tmp_path / "empty", folder_with(tmp_path / "broken", "{")
    empty.mkdir()
    refused(reported(empty), str(empty / "result.json"), "runs that are over")
    refused(reported(runs["maml"], tmp_path / "nowhere"), str(tmp_path / "nowhere" / "result.json"))
    refused(reported(runs["maml"], broken, "--out", tmp_path / "out"), str(broken / "result.json"))
    assert not (tmp_path / "out").exists()


def test_files_of_something_else(runs: dict[str, Path], reported: Any, tmp_path: Path) -> None:
    other = folder_with(tmp_path / "other", '{"format": 1}')
    refused(reported(runs["maml"], other), str(other / "result.json"))


def test_runs_on_other_tasks(runs: dict[str, Path], reported: Any, tmp_path: Path) -> None:
    ended = reported(runs["maml"], runs["two"], runs["waves"], "--out", tmp_path / "out")
    refused(ended, f"{runs['two']} has ways=2, but {runs['maml']} has ways=3", f"{runs['waves']} has dataset=sinusoid")
    assert not (tmp_path / "out").exists()


def test_out_is_a_file(runs: dict[str, Path], reported: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    refused(reported(runs["maml"], "--out", tmp_path / "taken"), "taken")
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("arguments", [[], ["--target", "much", "run"], ["--colour", "run"]])
def test_usage(arguments: list[str], reported: Any) -> None:
    ended = reported(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("usage: metalstm-report")


def test_without_matplotlib(
    runs: dict[str, Path], reported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name))
    assert reported(runs["maml"], "--out", tmp_path / "out").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"comparison.md", "comparison.json", "report.html"}


def test_as_a_process(runs: dict[str, Path], process: Any, tmp_path: Path) -> None:
    ended = process("metalstm-report", str(runs["maml"]), "--out", "out", "--format=markdown", cwd=tmp_path)
    assert ended.code == 0, ended.err  # matplotlib may say that it builds its list of fonts
    assert (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8") == ended.out
    refused(process("metalstm-report", "nowhere", cwd=tmp_path), "nowhere", "fix: ")


def test_help_answers_at_once(start: Any, tmp_path: Path) -> None:
    seconds = []
    for _ in range(3):
        running = start("metalstm-report", "--help", cwd=tmp_path)
        out, err = running.stdout.read(), running.stderr.read()
        _, status, used = os.wait4(running.pid, 0)  # processor time, which a busy machine does not stretch
        running.returncode = os.waitstatus_to_exitcode(status)
        seconds.append(used.ru_utime + used.ru_stime)
        assert (running.returncode, err) == (0, "")
        assert "--target" in out
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["nowhere"]])
def test_torch_is_not_imported_to_answer(arguments: list[str], tmp_path: Path) -> None:
    script = "import sys; from metalstm.cli.report import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.stdout.splitlines()[-1] == "False"
