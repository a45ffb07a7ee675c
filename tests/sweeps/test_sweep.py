"""Sweeps: `metalstm-train -m`, a process for each job, killed and started again, with failures and a summary."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from metalstm.sweeps.grid import combinations, job_names, sweep_name
from support.commands import result_of, tiny

SMALL = {"scratch_tasks": 0, "steps": 2, "threads": 1, "test_tasks": 4}
# With a rate that is far too large the second step's loss is not finite.
DIVERGES = ["learner.learned_rates=none", "model.layer_norm=true"]
LONGER = {"steps": 40, "validate_every": 20, "scratch_tasks": 0, "test_tasks": 4, "threads": 1}


def only_sweep(folder: Path = Path()) -> Path:
    (path,) = (folder / "outputs" / "sweeps").iterdir()
    return path


def summary_of(path: Path) -> list[dict[str, str]]:
    with open(path / "summary.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def begun_at(run: Path) -> list[int]:
    """The steps at which a run's log says that training was begun or gone on with."""
    words = "meta-train from step "
    lines = (run / "train.log").read_text(encoding="utf-8").splitlines()
    return [int(line.split(words)[1].split()[0]) for line in lines if words in line]


def combined(*overrides: str) -> list[tuple[list[str], dict[str, str]]]:
    return combinations(OverridesParser.create().parse_overrides(list(overrides)))


def test_combinations_in_order() -> None:
    made = combined("steps=9", "learner=maml,scratch", "seed=range(2)", "~clip_norm")
    assert [line for line, _ in made][:2] == [
        ["steps=9", "learner=maml", "seed=0", "~clip_norm"],
        ["steps=9", "learner=maml", "seed=1", "~clip_norm"],
    ]
    assert [swept for _, swept in made] == [
        {"learner": learner, "seed": seed} for learner in ("maml", "scratch") for seed in ("0", "1")
    ]
    assert combined("steps=9") == [(["steps=9"], {})]


def test_a_value_given_twice_is_one_job_and_of_a_setting_given_twice_the_last_counts() -> None:
    assert [line for line, _ in combined("seed=0,0,1")] == [["seed=0"], ["seed=1"]]
    assert combined("ways=5,20", "ways=3") == [(["ways=3"], {})]


def test_names_of_jobs_say_their_values() -> None:
    assert job_names([swept for _, swept in combined("learner.inner_lr=0.1,0.01", "+a=1")]) == [
        "learner.inner_lr-0.1",
        "learner.inner_lr-0.01",
    ]
    assert job_names([{}]) == ["job"]


@pytest.mark.parametrize("values", ["'a/b','a b','a=b'", ",".join("ab" * 200 + end for end in "xyz"), "'','é','../x'"])
def test_names_of_jobs_are_safe_and_differ(values: str) -> None:
    names = job_names([swept for _, swept in combined(f"init_from={values}")])
    assert len(set(names)) == 3
    for name in names:
        assert len(name) <= 160
        assert not set(name) & set("=/ ,'é\0")
        assert name.strip(".")


def test_the_name_of_a_sweep_is_of_its_settings_in_any_order() -> None:
    name = sweep_name(["learner=maml,scratch", "steps=9", "seed=0,1"])
    assert name.startswith("learner_seed_")
    assert name[-8:] == sweep_name(["seed=0,1", "learner=maml,scratch", "steps=9"])[-8:]
    assert name[-8:] != sweep_name(["learner=maml,scratch", "steps=10", "seed=0,1"])[-8:]
    assert len(sweep_name([f"{'x' * 100}{n}=1,2" for n in range(9)])) < 160


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["wasy=0,1"], ["error: wasy is no setting\n  fix: did you mean ways?"]),
        (["shots=0,1"], ["error: shots=0, but it must be at least 1 (job shots-0)"]),
        (
            ["seed=0,1", "steps=0", "shots=x,1"],
            ["error: steps=0", "error: shots=x is not a whole number (2 of 4 jobs)"],
        ),
        (["learner=maml,nothing"], ["error: learner=nothing is unknown (job learner-nothing)", "anil"]),
        (["resume=here"], ["error: resume=here cannot be given with -m"]),
        (["test_tasks=0", "scratch_tasks=0"], ["error: test_tasks=0, but a sweep compares results"]),
        (["seed=interval(0,1)"], ["error: seed=interval(0,1) has no list of values"]),
        (["hydra/launcher=nothing"], ["error: hydra/launcher=nothing is not there", "pip install"]),
        (["hydra/launcher=null"], ["error: a group is null"]),
        (["--config-path", "/mine"], ["error: --config-path=/mine cannot be given with -m\n  fix: use --config-dir="]),
        (["--config-dir", "nowhere"], ["error: --config-dir: there is no folder", "nowhere"]),
        (["--config-name", "nothing"], ["error: --config-name=nothing: there is no such config\n  fix: name a file"]),
        (["ways 5"], ["error: 'ways 5' cannot be read"]),
    ],
)
def test_refused_and_nothing_is_left(given: list[str], words: list[str], in_process: Any) -> None:
    ended = in_process("train", "-m", *given)
    assert ended.code == 2
    for word in words:
        assert word in ended.err
    assert [line[:7] for line in ended.err.splitlines()] == ["error: ", "  fix: "] * (len(ended.err.splitlines()) // 2)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (["dataset.classes=36", "ways=3,70"], 2, ["error: ways=70, but split 'meta_train'", "(job ways-70)"]),
        (["dataset=glyphs,omniglot", "dataset.root=nowhere"], 2, ["dataset.root is no setting"]),
        (["dataset=omniglot", "dataset.root=nowhere", "dataset.download=false", "seed=0,1"], 3, ["error: nowhere"]),
        (["init_from=nowhere,null"], 4, ["error: nowhere is not a directory", "(job init_from-nowhere)"]),
        (["device=cuda", "seed=0,1"], 2, ["error: device=cuda cannot be used here"]),
        (["memory_budget=1,2000", "model.hidden_size=256"], 2, ["error: meta-training on one", "memory_budget-1)"]),
    ],
)
def test_refused_as_a_single_run_before_the_first_job(
    given: list[str], code: int, words: list[str], in_process: Any
) -> None:
    ended = in_process("train", "-m", *given)
    assert ended.code == code
    for word in words:
        assert word in ended.err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("launcher", ["basic", "cores"])
def test_configs_of_ones_own(
    launcher: str,
    in_process: Any,
) -> None:
    for file, text in {
        "dataset/mine.yaml": "defaults:\n  - glyphs\n  - _self_\nclasses: 42\n",
        "mine.yaml": "defaults:\n  - train\n  - override dataset: mine\n  - _self_\nlog_every: 7\n",
    }.items():
        path = Path("my configs", file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    given = [*tiny(**SMALL, log_every=None, **{"dataset.classes": None}), "seed=0,1", f"hydra/launcher={launcher}"]
    ended = in_process("train", "--config-dir", "my configs", "--config-name=mine", "-m", *given)
    assert (ended.code, ended.err) == (0, "")
    for seed in (0, 1):
        settings = result_of(only_sweep() / f"seed-{seed}")["settings"]
        assert (settings["dataset"]["classes"], settings["log_every"], settings["seed"]) == (42, 7, seed)
    again = in_process("train", "--config-dir=my configs", "--config-name=mine", "-m", *given)
    assert "jobs      2: 2 over, 0 half done" in again.out
    ended = in_process("train", "--config-dir=my configs", "-m", *given, "dataset=mine,other")
    assert (ended.code, "error: dataset=other is unknown" in ended.err) == (2, True)


def test_a_failed_job_stops_no_other(
    in_process: Any,
) -> None:
    given = ["-m", *tiny(**SMALL), *DIVERGES, "outer_lr=1e+20,0.001"]
    ended = in_process("train", *given)
    assert ended.code == 5
    assert ended.err.startswith("job 0 (dataset.classes=36 ")
    assert "error: maml: the " in ended.err
    assert "Traceback" not in ended.err
    path = only_sweep()
    assert {child.name for child in path.iterdir()} == {"outer_lr-1e+20", "outer_lr-0.001", "summary.csv", ".lock"}
    assert result_of(path / "outer_lr-0.001")["settings"]["outer_lr"] == 1e-3
    reason = "outer_lr-1e+20: maml: the "
    assert f"failed    {reason}" in ended.out
    failed, good = summary_of(path)
    assert (failed["outer_lr"], failed["value"]) == ("1e+20", "")
    assert failed["failed"].startswith(reason)
    value = result_of(path / "outer_lr-0.001")["value"]
    assert (good["outer_lr"], float(good["value"]), good["failed"]) == ("0.001", value, "")

    # The same command once more: what is over stays as it is, what failed is tried again.
    log = (path / "outer_lr-0.001" / "train.log").read_bytes()
    again = in_process("train", *given)
    assert (again.code, again.err) == (5, ended.err)
    assert "jobs      2: 1 over, 1 half done" in again.out
    assert (path / "outer_lr-0.001" / "train.log").read_bytes() == log
    assert summary_of(path) == [failed, good]

    # In the same place, but other settings.
    other = in_process("train", *given, "clip_norm=2", f"hydra.sweep.dir={path}")
    assert other.code == 2
    said = "has a run with other settings: clip_norm=1.0 (job outer_lr-0.001)"
    assert f"error: {path}/outer_lr-0.001 {said}" in other.err


def wait_for_checkpoint(running: subprocess.Popen[str], folder: Path, job: str) -> None:
    """Waits until a sweep's job has saved one of step 10 to 19."""
    give_up = time.monotonic() + 120
    while True:
        try:
            if any(folder.rglob(f"{job}/checkpoints/step_0000001?/manifest.json")):
                return
        except FileNotFoundError:  # older ones go while this looks
            pass
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.005)


@pytest.mark.slow
def test_stopped_and_killed_and_started_again(start: Any, process: Any, tmp_path: Path) -> None:
    """Stopped in job 1, killed in job 2: each job is begun once, the half-done ones go on, and it says so."""
    given = ["-m", *tiny(**LONGER), "seed=0,1,2"]
    for seed, number in ((0, signal.SIGTERM), (1, signal.SIGKILL)):
        running = start("metalstm-train", *given, cwd=tmp_path)
        wait_for_checkpoint(running, tmp_path, f"seed-{seed}")
        run = only_sweep(tmp_path) / f"seed-{seed}"
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
        if number == signal.SIGTERM:
            assert running.returncode == 143
            assert err.startswith("error: the sweep was stopped by SIGTERM\n  fix: give the same command again")
        assert not (run / "result.json").exists()
    ended = process("metalstm-train", *given, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    path = only_sweep(tmp_path)
    assert "jobs      3: 1 over, 1 half done" in ended.out
    begun = [begun_at(path / f"seed-{seed}") for seed in range(3)]
    assert [steps[0] for steps in begun] == [0, 0, 0]
    assert [len(steps) for steps in begun] == [2, 2, 1]
    assert all(steps[1] >= 10 for steps in begun[:2])
    (row,) = summary_of(path)
    assert (row["seeds"], row["ci95_over"], row["failed"]) == ("3", "3 seeds", "")
    assert {child.name for child in path.iterdir()} == {"seed-0", "seed-1", "seed-2", "summary.csv", ".lock"}


@pytest.mark.long
def test_killed_twice_and_never_killed(start: Any, process: Any, tmp_path: Path) -> None:
    """Two learners, two shots, three seeds: each of 12 jobs is begun once; the summary is that of one never killed."""
    changed = {"steps": 30, "scratch_tasks": 0, "threads": 1, "learner.inner_steps": None}
    given = ["-m", *tiny(**changed), "learner=maml,protonet", "shots=1,5", "seed=0,1,2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    never = process("metalstm-train", *given, cwd=whole)
    assert (never.code, never.err) == (0, "")
    for job in ("learner-maml_shots-1_seed-2", "learner-protonet_shots-1_seed-1"):
        running = start("metalstm-train", *given, cwd=killed)
        wait_for_checkpoint(running, killed, job)
        running.kill()
        running.communicate(timeout=60)
    ended = process("metalstm-train", *given, cwd=killed)
    assert (ended.code, ended.err) == (0, "")
    path = only_sweep(killed)
    assert path.name == only_sweep(whole).name
    assert (path / "summary.csv").read_bytes() == (only_sweep(whole) / "summary.csv").read_bytes()
    runs = [result.parent for result in path.glob("*/result.json")]
    assert len(runs) == 12
    begun = {run.name: begun_at(run) for run in runs}
    assert all(steps.count(0) == 1 for steps in begun.values())
    gone_on_with = {name: steps for name, steps in begun.items() if len(steps) > 1}
    assert gone_on_with.keys() == {"learner-maml_shots-1_seed-2", "learner-protonet_shots-1_seed-1"}
    assert all(10 <= steps[1] < 30 for steps in gone_on_with.values())
