"""The report as a page: every figure is there, nothing is fetched, and whatever a file says is text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from metalstm.cli.report import report
from metalstm.errors import ConfigError
from metalstm.reporting.entries import curves, on_the_same_tasks, runs_in, without_result
from metalstm.reporting.figures import draw_comparison
from metalstm.reporting.page import page
from metalstm.reporting.protocol import as_override
from support.commands import result_of, tiny
from support.pages import Page
from support.places import REPOSITORY
from support.runs import made_run

ALWAYS = ["protocol", "results", "adaptation", "target", "cost", "reproduce"]
MINE = "<script>alert('1')</script> & \"mine\""


@pytest.fixture
def runs(finished_runs: Any) -> dict[str, Path]:
    """Finished runs: of images, and of a function."""
    wanted = {
        "images": tiny(),
        "function": ["dataset=sinusoid", *tiny(ways=1, shots=5, scratch_tasks=0, **{"dataset.classes": None})],
    }
    found: dict[str, Path] = finished_runs(wanted)
    return found


def sound(read: Any) -> None:
    """Nothing that a browser would stumble over, and nothing that it would ask a server for."""
    assert read.faults == []
    assert read.fetched == []


def of(*folders: Path) -> str:
    return page(on_the_same_tasks(folders))


def test_the_report_that_a_run_ends_with(
    runs: dict[str, Path],
) -> None:
    read = Page((runs["images"] / "report.html").read_text(encoding="utf-8"))
    sound(read)
    assert read.figures == [
        "results-figure",
        "adaptation-figure",
        "difference-figure",
        "scratch-figure",
        "training-figure",
        "gallery-figure",
    ]
    assert read.links == [f"#{name}" for name in ("protocol", "results", "adaptation", "differences", "target",
                                                  "training", "gallery", "confusion", "cost", "reproduce")]  # fmt: skip
    assert read.images == [(28, 28)] * (3 + 6 + 9)  # of the task, and of each class
    result = result_of(runs["images"])
    for text in (
        "maml on glyphs, 3-way 1-shot",
        f"{100 * result['value']:.2f}% ± {100 * result['ci95']:.2f}%",
        f"{result['training']['peak_memory_mib']:,.0f} MiB",
        "metalstm-train dataset.classes=36",
        result["protocol"]["data"],
        "All 9 test classes by maml",
        "scratch, tuned Adam",
    ):
        assert text in read.text, text
    assert "not shown" not in read.text
    assert result["training"]["peak_memory_mib"] > 50


def test_the_report_of_a_function(runs: dict[str, Path]) -> None:
    read = Page((runs["function"] / "report.html").read_text(encoding="utf-8"))
    sound(read)
    assert read.figures == ["adaptation-figure", "training-figure", "gallery-figure"]
    assert "confusion" not in read.ids
    assert "not shown" not in read.text
    assert "the function" in read.text


def test_what_older_runs_lack_is_said_in_one_line(tmp_path: Path) -> None:
    read = Page(of(made_run(tmp_path / "old")))
    sound(read)
    assert read.figures == ["adaptation-figure"]
    assert [name for name in read.ids if not name.endswith("-figure")] == ALWAYS
    lacking = "training curves (metrics.jsonl), one task (gallery.json), hardest classes (confusion.json)"
    assert f"Not in these folders, and so not shown: {lacking}." in read.text


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"kind": 1}', '{"kind": "classification", "support": 3}'])
def test_broken_files_are_as_if_they_were_not_there(content: str, tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run")
    for name in ("gallery.json", "confusion.json", "metrics.jsonl"):
        (folder / name).write_text(content, encoding="utf-8")
    read = Page(of(folder))
    sound(read)
    assert read.figures == ["adaptation-figure"]


@pytest.mark.parametrize("image", ['" onerror="alert(1)', "https://example.org/a.png", None, 3])
def test_an_image_is_data_or_nothing(image: Any, runs: dict[str, Path], tmp_path: Path) -> None:
    content = json.loads((runs["images"] / "gallery.json").read_text(encoding="utf-8"))
    folder = made_run(tmp_path / "run")
    (folder / "gallery.json").write_text(json.dumps(content), encoding="utf-8")
    assert "gallery-figure" in Page(of(folder)).figures
    content["query"][0]["input"] = image
    (folder / "gallery.json").write_text(json.dumps(content), encoding="utf-8")
    read = Page(of(folder))
    sound(read)
    assert "gallery-figure" not in read.figures


def test_the_hardest_of_many_classes(tmp_path: Path) -> None:
    hard = [
        {"name": f"class {n}", "queries": 40, "correct": 20 + n, "taken_for": [{"name": "other", "count": 3, "of": 12}]}
        for n in range(12)
    ]
    content = {"format": 1, "classes": 423, "queries": 45000, "hardest": hard}
    folder = made_run(tmp_path / "run")
    (folder / "confusion.json").write_text(json.dumps(content), encoding="utf-8")
    read = Page(of(folder))
    sound(read)
    assert "The 12 hardest of 423 test classes by maml, over 45,000 queries of all test tasks" in read.text
    assert "class 750" not in read.text
    assert "class 767.5%40other 25.0% (3 of 12)" in read.text
    hard[0]["image"] = "https://example.org/a.png"
    (folder / "confusion.json").write_text(json.dumps(content), encoding="utf-8")
    read = Page(of(folder))
    sound(read)
    assert "confusion" not in read.ids


def test_whatever_files_say_is_text(runs: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "<b>&amp;'run'"
    shutil.copytree(runs["images"], folder)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    result |= {"dataset": MINE, "learner": MINE, "command": ["metalstm-train", MINE]}
    result["protocol"]["data"] = result["settings"]["dataset"]["name"] = result["environment"]["torch"] = MINE
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    for name in ("gallery.json", "confusion.json"):
        content = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(content.replace("glyph_", json.dumps(MINE)[1:-1]), encoding="utf-8")
    read = Page(of(folder))
    sound(read)
    assert "script" not in read.tags
    assert read.text.count(MINE) > 20
    assert str(folder) in read.text


def test_a_hundred_runs(tmp_path: Path) -> None:
    settings = {"learner": {"name": "maml", "inner_lr": 0.1}, "seed": 0, "output_dir": "outputs"}
    folders = []
    for number in range(100):
        own = settings | {"outer_lr": round(0.001 * (number + 1), 6), "output_dir": f"outputs/{number}"}
        mean = 0.5 + 0.004 * number
        folders.append(made_run(tmp_path / f"{number:03d}", mean=mean, baselines=number == 50, settings=own))
        lines = [{"step": step, "meta_train/accuracy": 0.5, "meta_validation/accuracy": 0.5} for step in range(1, 300)]
        (folders[-1] / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    html = of(*folders)
    read = Page(html)
    sound(read)
    assert len(html) < 1_000_000
    assert {"results-figure", "adaptation-figure", "difference-figure", "training-figure"} <= set(read.figures)
    assert html.count('class="curve grey"') >= 2 * (101 - 16)
    assert "The best of 100 runs is maml (outer_lr=0.1): " in read.text
    assert "Drawn are 41 of 101; the table has all." in read.text
    assert read.text.count("maml (outer_lr=0.001)") >= 4  # the table has the last one too
    assert read.text.count("scratch, as many steps") >= 4


ODD = [None, 3, -1.5, "x", [], [1], {}, {"name": 3}, {"a": {"b": None}}]


def test_whatever_a_result_holds_besides(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", settings={"model": {"name": "lstm"}, "seed": 0})
    whole = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    refused = 0
    for name in ("command", "settings", "protocol", "environment", "training", "model", "seconds_per_step", "metric"):
        for value in ODD:
            changed = [whole | {name: value}]
            if isinstance(whole.get(name), dict):
                changed += [whole | {name: whole[name] | {inner: value}} for inner in whole[name]]
            for result in changed:
                (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
                try:
                    html = of(folder)
                except ConfigError:
                    refused += 1
                else:
                    sound(Page(html))
    assert 0 < refused < 80


def test_folders_of_runs(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    runs = [made_run(sweep / "jobs" / name, learner) for name, learner in (("0", "maml"), ("1", "anil"))]
    made_run(runs[0] / "tests" / "again")  # of the first run, tested once more
    failed = sweep / "jobs" / "2"
    failed.mkdir()
    (failed / "run.json").write_text("{}", encoding="utf-8")
    assert runs_in([sweep]) == runs
    assert runs_in([runs[0], failed, tmp_path / "nowhere"]) == [runs[0], failed, tmp_path / "nowhere"]
    assert without_result([sweep]) == [failed]
    table = report([sweep], tmp_path / "out", None, "markdown")
    said = f"Without a result, and so left out: {failed}."
    assert said in table
    read = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    sound(read)
    assert said in read.text
    assert "2 runs on glyphs" in read.text


@pytest.mark.parametrize("metric", ["accuracy", "mse"])
def test_what_diverged_comes_last(metric: str, tmp_path: Path) -> None:
    means = {"good": 0.9, "better": 0.95, "poor": 0.8, "worse": 0.75, "diverged": float("nan")}
    folders = [made_run(tmp_path / name, name, mean, metric=metric) for name, mean in means.items()]
    read = Page(of(*folders))
    sound(read)
    assert "adaptation-figure" in read.figures
    ranking = sorted(means, key=lambda name: read.text.index(name, read.text.index("before adapting")))
    assert ranking[-1] == "diverged"
    assert "nan" in read.text
    sound(Page(of(folders[-1])))  # and nothing else


def test_a_figure_of_many_has_the_best(tmp_path: Path) -> None:
    folders = [made_run(tmp_path / str(n), mean=0.5 + n / 100, baselines=n == 0) for n in range(40)]
    runs = on_the_same_tasks(folders)
    found, drawn = curves(runs), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "metalstm.reporting.figures.draw", lambda points, common, title, *rest: drawn.append((points, title))
        )
        draw_comparison(runs[0].tasks, found, tmp_path / "figure.png")
    ((points, title),) = drawn
    assert len(points) == 16
    assert next(iter(points)).startswith("maml (39), ")
    assert list(points)[-1].startswith("scratch, ")
    assert title.endswith("16 of 41 curves")


@pytest.mark.parametrize("setting", ["omniglot_5w1s", "omniglot_5w5s"])
def test_the_report_of_the_learners(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    folder = Path("outputs/reference/learners") / setting
    committed = (folder / "report.html").read_text(encoding="utf-8")
    read = Page(committed)
    sound(read)
    assert read.figures == [
        "results-figure",
        "adaptation-figure",
        "enlarged-figure",
        "difference-figure",
        "scratch-figure",
    ]
    rows = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))["rows"]
    for row in rows:
        assert f"{100 * row['value']:.2f}% ± {100 * row['ci95']:.2f}%" in read.text, row["name"]
    assert of(*sorted(path.parent for path in folder.glob("*/result.json"))) == committed


def test_the_command_with_all_settings_is_the_same_run(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    from metalstm.config.parse import train_settings
    from metalstm.config.text import plain
    from metalstm.reporting.protocol import with_all_settings

    (run,) = on_the_same_tasks([runs["images"]])
    run.result["settings"]["output_dir"] = "outputs"
    odd = json.loads(json.dumps(run.result["settings"]))
    odd["init_from"] = "a 'folder', {of} runs=1"
    for settings in (run.result["settings"], odd):
        command = with_all_settings(run._replace(result=run.result | {"settings": settings}))
        assert command is not None
        name, *overrides = shlex.split(command)
        assert name == "metalstm-train"
        GlobalHydra.instance().clear()
        with initialize_config_module("metalstm.configs", version_base="1.3"):
            composed = plain(train_settings(compose("train", overrides)))
        assert composed == settings


def test_a_run_of_several_processes(tmp_path: Path) -> None:
    settings = {"dataset": {"name": "glyphs"}, "seed": 0, "device": "cpu"}
    environment = {"seed": 0, "threads": 1, "processes": 2}
    command = ["train.py", "seed=0"]
    folder = made_run(tmp_path / "run", command=command, settings=settings, environment=environment)
    read = Page(of(folder))
    assert "torchrun --nproc-per-node=2 -m metalstm.train dataset=glyphs seed=0 device=cpu" in read.text
    assert "cpu, 2 processes, 1 thread" in read.text


@pytest.mark.parametrize(
    "command", [["metalstm-train", "-m", "seed=0,1"], ["metalstm-train", "resume=outputs/x"], None, 3]
)
def test_a_command_that_did_another_thing_is_not_given(command: Any, tmp_path: Path) -> None:
    settings = {"dataset": {"name": "glyphs", "classes": 36}, "seed": 0}
    read = Page(of(made_run(tmp_path / "run", command=command, settings=settings)))
    assert "metalstm-train dataset=glyphs dataset.classes=36 seed=0" in read.text
    assert "-m seed" not in read.text
    assert "resume=" not in read.text


def test_a_list_of_names_is_an_override_that_can_be_pasted() -> None:
    assert as_override(["m s", "load", "1"]) == "['m s',load,'1']"
