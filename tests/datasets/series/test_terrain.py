"""Drives on terrains: from folders of wheel logs, whole or broken, to tasks; small folders made here, and real ones."""

from __future__ import annotations

import math
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from metalstm.config.fields import typed
from metalstm.datasets.base import Dataset
from metalstm.datasets.series.terrain import Drives, TerrainSettings, load_terrain
from metalstm.datasets.series.terrain_files import RATE, read_log
from metalstm.errors import ConfigError, Problem
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape
from support.commands import tiny
from support.datasets import refusal
from support.places import CONFIGS, shared_data

TERRAINS = ["GRAVEL", "ICE", "MUD", "SAND", "SNOW"]
HEADER = "time,curL,curR,velL,velR"
SMALL = {"window": 4, "horizon": 2, "stretch": 30}


def lines(rows: int, place: int) -> list[str]:
    """A log that differs from place to place, and from row to row in every column."""
    made = [HEADER]
    for n in range(rows):
        left = place + math.sin(n / 5 + place)
        right = place / 2 + math.cos(n / (3 + place)) * (1 + place)
        made.append(f"{n / RATE},{5 + left + n % 3},{4 + right + n % 5 * place},{left},{right}")
    return made


def write(path: Path, made: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(made) + "\n", encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five terrains with drives of 40 and 50 rows, one too short for a stretch, and a log of another sensor."""
    root = tmp_path / "borealtc"
    for place, name in enumerate(TERRAINS):
        for number, rows in enumerate((40, 50, 29)):
            write(root / name / f"pro_{number:02}.csv", lines(rows, place + 1))
        write(root / name / "imu_00.csv", ["time,wx", "0,nothing"])
    (root / "README.md").write_text("about the data", encoding="utf-8")
    return root


def load(root: Path | None, **settings: Any) -> Dataset:
    return load_terrain(root, **(SMALL | settings))


def drives(dataset: Dataset) -> dict[str, Drives]:
    found = {name: source for name, source in dataset.splits.items() if isinstance(source, Drives)}
    assert list(found) == ["meta_train", "meta_validation", "meta_test"]
    return found


def terrains(dataset: Dataset) -> list[list[str]]:
    """The terrains of each split, as the description has them."""
    return [part.split(", ") for part in dataset.description.partition(": ")[2].partition("; ")[0].split(" / ")]


def same(first: Dataset, second: Dataset) -> bool:
    pairs = [(drives(first)[name], drives(second)[name]) for name in drives(first)]
    return first.fingerprint == second.fingerprint and all(
        torch.equal(a.rows, b.rows) and torch.equal(a.speeds, b.speeds) for a, b in pairs
    )


failing = partial(refusal, load)


# Splits


def test_splits_are_whole_terrains(root: Path) -> None:
    dataset = load(root)
    chosen = terrains(dataset)
    assert [len(names) for names in chosen] == [3, 1, 1]
    assert sorted(name for names in chosen for name in names) == TERRAINS
    assert [(len(of.first), len(of.rows)) for of in drives(dataset).values()] == [(6, 270), (2, 90), (2, 90)]
    assert (dataset.name, dataset.kind, dataset.steps, dataset.features, dataset.outputs, dataset.images) == (
        *("terrain", "regression", 4, 4, 2, False),
    )
    assert "6 / 2 / 2 drives of 4.62 s or more (5 shorter ones left out)" in dataset.description
    tests = {terrains(load(root, split_seed=seed))[2][0] for seed in range(8)}
    assert len(tests) > 2


def test_both_layouts_give_the_same(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(root)
    shutil.copytree(root, tmp_path / "clone" / "data" / "borealtc")
    (tmp_path / "clone" / "analysis").mkdir()
    assert same(load(tmp_path / "clone"), dataset)
    (root / ".git").mkdir()
    write(root / ".git" / "pro_00.csv", [])
    assert same(load(root), dataset)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    shutil.copytree(root, tmp_path / "xdg" / "metalstm" / "terrain")
    assert same(load(None), dataset)


def test_columns_go_by_their_names(root: Path) -> None:
    path = root / "ICE" / "pro_00.csv"
    before = read_log(path)
    assert before.shape == (40, 4)
    assert before[3].tolist() == pytest.approx([float(n) for n in lines(40, 2)[4].split(",")[1:]])
    turned = [",".join(reversed(line.split(","))) + ",more" for line in lines(40, 2)]
    write(path, turned)
    assert torch.equal(read_log(path), before)


# Tasks


def numbered(*rows: int) -> list[Tensor]:
    """Drives whose first column numbers the rows of all drives, and whose speeds are squares of that and others."""
    number = torch.arange(sum(rows), dtype=torch.float32)
    return list(torch.stack([number, -number, number.square() / 100, number.sin()], dim=1).split(rows))


def sample(source: Drives, tasks: int = 300, step: int = 0, shots: int = 3, queries: int = 4) -> TaskBatch:
    return TaskSampler(source, TaskShape(1, shots, queries), tasks, 0, "meta_train")(step)


def test_support_comes_first_and_no_row_is_in_both_sets() -> None:
    source = Drives(numbered(33, 29, 40), torch.tensor([1.0, 2.0]), window=4, horizon=2, stretch=28)
    batch = sample(source)
    assert batch.support.inputs.shape == (300, 3, 4, 4)
    assert batch.query.inputs.shape == (300, 4, 4, 4)
    support, query = batch.support.inputs[..., 0].long(), batch.query.inputs[..., 0].long()  # rows read, [T, B, W]
    for rows in (support, query):
        assert (rows.diff(dim=-1) == 1).all()
    assert (support[:, :, 0].diff(dim=1) == 6).all()  # end to end, target's row included
    assert (query[:, :, 0] >= support[:, -1:, -1] + 2 + 1).all()  # behind the last support target
    begin = support[:, 0, 0].contiguous()
    assert (query[:, :, -1] + 2 < begin.unsqueeze(1) + 28).all()
    assert (query[:, :, 0].sort(dim=1).values.diff(dim=1) > 0).all()  # distinct
    ends = torch.tensor([33, 62, 102])
    assert (torch.bucketize(begin, ends, right=True) == torch.bucketize(begin + 27, ends, right=True)).all()
    assert (query[:, :, -1].max(dim=1).values == begin + 28 - 3).any()  # up to the stretch's last row
    assert (query[:, :, 0].min(dim=1).values == begin + 18).any()  # and right behind the support set


def test_the_target_is_the_change_from_the_last_speed() -> None:
    source = Drives(numbered(60), torch.tensor([1.0, 2.0]), window=4, horizon=3, stretch=40)
    batch = sample(source)
    for examples in (batch.support, batch.query):
        last = examples.inputs[:, :, -1, 0].double()
        later = last + 3
        left = later.square() / 100 - last.square() / 100
        right = (later.sin() - last.sin()) / 2
        torch.testing.assert_close(examples.targets.double(), torch.stack([left, right], -1), atol=1e-4, rtol=1e-4)
        assert examples.targets.std() > 0.1


def test_drives_are_equally_likely_and_so_are_their_stretches() -> None:
    source = Drives(numbered(28, 31, 200), torch.ones(2), window=4, horizon=2, stretch=28)
    begin = sample(source, tasks=6000).support.inputs[:, 0, 0, 0].long()
    counts = [int(((begin >= low) & (begin < high)).sum()) for low, high in ((0, 1), (28, 32), (59, 232))]
    assert sum(counts) == 6000
    assert all(abs(count - 2000) < 200 for count in counts)
    assert all(abs(int((begin == start).sum()) - 500) < 110 for start in range(28, 32))
    assert set(begin[begin >= 59].tolist()) == set(range(59, 232))


def test_a_pure_function_of_seed_split_and_step(root: Path) -> None:
    source = drives(load(root))["meta_train"]
    assert torch.equal(sample(source, shots=2).query.inputs, sample(source, shots=2).query.inputs)
    assert not torch.equal(sample(source, shots=2).query.inputs, sample(source, step=1, shots=2).query.inputs)


def test_too_many_examples_for_a_stretch() -> None:
    source = Drives(numbered(60), torch.ones(2), window=4, horizon=2, stretch=27)
    batch = sample(source, shots=3, queries=4)  # 18 rows, and then 4 places for 6
    assert (batch.query.inputs[..., 0, 0].sort(dim=1).values - batch.support.inputs[:, :1, 0, 0]).unique().tolist() == [
        *(18, 19, 20, 21),
    ]
    with pytest.raises(ConfigError, match=r"stretch=27, but 3 shots and 5 queries, .* = 6 rows, take 28 rows"):
        sample(source, shots=3, queries=5)
    with pytest.raises(ConfigError, match="ways=2, but a task of dataset 'terrain' is one drive"):
        source.sample(1, TaskShape(2, 1, 1), torch.Generator())


def test_too_many_examples_are_refused_before_a_run_begins(root: Path, in_process: Any) -> None:
    small = [f"dataset.{name}={value}" for name, value in SMALL.items()]
    given = ["dataset=terrain", f"dataset.root={root}", *small]
    ended = in_process("train", *given, *tiny(ways=1, shots=4, **{"dataset.classes": None}))
    assert ended.code == 2
    assert "dataset.stretch=30, but 4 shots and 2 queries" in ended.err
    assert "use dataset.stretch>=31" in ended.err
    assert ended.err.count("error:") == 1
    assert list(Path().iterdir()) == []


# What is learned of meta-train


def test_scaled_by_meta_train_alone(root: Path) -> None:
    dataset = load(root)
    train, chosen = drives(dataset)["meta_train"], terrains(dataset)
    torch.testing.assert_close(train.rows.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.rows.std(dim=0, correction=0), torch.ones(4), atol=1e-5, rtol=0)
    for names, split in zip(chosen[1:], ("meta_validation", "meta_test"), strict=True):
        path = root / names[0] / "pro_00.csv"
        write(path, lines(40, 30))
        after = load(root)
        assert torch.equal(drives(after)["meta_train"].rows, train.rows)
        assert torch.equal(drives(after)["meta_train"].speeds, train.speeds)
        assert not torch.equal(drives(after)[split].rows, drives(dataset)[split].rows)
        assert after.fingerprint != dataset.fingerprint
        dataset = after


def test_as_now_has_an_error_of_one_on_meta_train(root: Path) -> None:
    """Of meta-train by definition; of the other splits as the raw logs have it, in the same unit."""
    dataset = load(root)
    targets = sample(drives(dataset)["meta_train"], tasks=5000, shots=1, queries=8).query.targets
    assert targets.square().mean().item() == pytest.approx(1, abs=0.05)
    missed = []
    for names in terrains(dataset):
        logs = [read_log(root / name / f"pro_{n:02}.csv")[:, 2:].double() for name in names for n in (0, 1)]
        missed.append(torch.stack([(log[2:] - log[:-2]).square().mean(dim=0) for log in logs]).mean(dim=0))
    want = [float((of_split / missed[0]).mean()) for of_split in missed]
    said = [float(part) for part in dataset.description.rpartition("'as now' ")[2].split(" / ")]
    assert said == pytest.approx(want, rel=5e-3)
    assert want[0] == 1
    assert abs(want[1] - want[2]) > 0.01


def test_a_wheel_that_never_turns(root: Path) -> None:
    for path in root.glob("*/pro_*.csv"):
        rows = [line.split(",") for line in path.read_text().split()]
        write(path, [HEADER, *(",".join([*row[:4], "0"]) for row in rows[1:])])
    for source in drives(load(root)).values():
        batch = sample(source, shots=2)
        assert batch.query.inputs.isfinite().all()
        assert (batch.query.targets[..., 1] == 0).all()
        assert batch.query.targets[..., 0].std() > 0.1


@pytest.mark.parametrize("setting", [{"split_seed": 2}, {"window": 5}, {"horizon": 1}, {"stretch": 29}])
def test_the_fingerprint_changes_with_each_setting(setting: dict[str, int], root: Path) -> None:
    assert load(root, **setting).fingerprint != load(root).fingerprint


# What is wrong with the data


def test_missing_folder(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{tmp_path / 'nowhere'}: no such folder: 0 terrains found" in failing(tmp_path / "nowhere")
    assert "no such folder" in failing(root / "README.md")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert f"{tmp_path / 'xdg' / 'metalstm' / 'terrain'}: no such folder" in failing(None)


def test_empty_folder(tmp_path: Path) -> None:
    assert f"{tmp_path}: no folder in it holds a wheel log: 0 terrains found" in failing(tmp_path)
    (tmp_path / "ICE").mkdir()
    assert "no folder in it holds a wheel log" in failing(tmp_path)


def test_a_terrain_without_wheel_logs(root: Path) -> None:
    for name in ("ICE", "MUD"):
        for path in (root / name).glob("pro_*"):
            path.unlink()
    message = failing(root)
    assert f"{root / 'ICE'}: holds no pro_*.csv (3 of 5 terrains have wheel logs)" in message
    assert f"{root / 'MUD'}: holds no pro_*.csv" in message


def test_too_few_terrains(root: Path) -> None:
    for name in TERRAINS[2:]:
        shutil.rmtree(root / name)
    assert "2 terrains with wheel logs (GRAVEL, ICE), but splitting takes 3" in failing(root)


def test_unreadable_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def listdir(path: Path) -> list[str]:  # tests may run as root, whom no permission bit stops
        if path == root / "MUD":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert f"{root / 'MUD'}: cannot be read: Permission denied" in failing(root)


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (HEADER.encode(), "no rows"),
        (b"time,curL,velL\n0,1,2\n", "line 1: column curR, velR missing"),
        (b"0.0,1,2,3,4\n0.15,1,2,3,4\n", "line 1: column time, curL, curR, velL, velR missing"),
        (
            b"time,curL,curR,velL,velR\n0.0,1,2,3,4\n0.15,1,two,3,4\n",
            "line 3: could not convert string to float: 'two'",
        ),
        (b"time,curL,curR,velL,velR\n0.0,1,2,3,4\n0.15,1,,3,4\n", "line 3: could not convert"),
        (b"time,curL,curR,velL,velR\n0.0,1,2,3,4\n0.15,1,2\n", "line 3: 3 fields, but there are 5 columns"),
        (b"time,curL,curR,velL,velR\n0.0,1,2,3,nan\n", "line 2: no currents and speeds: 0.0,1,2,3,nan"),
        (b"time,curL,curR,velL,velR\n0.0,1,2,3,1e39\n", "line 2: no currents and speeds"),
        (b"time,curL,curR,velL,velR\nnan,1,2,3,4\n0.1,1,2,3,4\n", "line 3: time goes from nan to 0.1 s"),
        (
            b"time,curL,curR,velL,velR\n0.3,1,2,3,4\n0.15,1,2,3,4\n",
            "line 3: time goes from 0.3 to 0.15 s, but rows are",
        ),
        (b"time,curL,curR,velL,velR\n0.3,1,2,3,4\n0.3,1,2,3,4\n", "line 3: time goes from 0.3 to 0.3 s"),
        (b"time,curL,curR,velL,velR\n0,1,2,3,4\n\n0.9,1,2,3,4\n", "line 4: time goes from 0 to 0.9 s"),
        (b"\xff\xfet\0i\0", "codec can't decode"),
        (b"time,curL,curR,velL,velR\n0," + b"1" * 200_000, "field larger than field limit"),
    ],
)
def test_broken_log(broken: bytes, named: str, root: Path) -> None:
    path = root / "SAND" / "pro_01.csv"
    path.write_bytes(broken)
    message = failing(root)
    assert f"error: {path}: " in message
    assert named in message
    assert message.count("error:") == 1


def test_broken_logs_are_named_all_at_once(root: Path) -> None:
    for name in TERRAINS:
        write(root / name / "pro_00.csv", [HEADER, "0,1,2,3,x"])
        write(root / name / "pro_01.csv", [])
    message = failing(root)
    assert message.count("error:") == 6
    assert "5 more logs are broken" in message


def test_from_the_command_line(root: Path, in_process: Any) -> None:
    write(root / "SNOW" / "pro_02.csv", [HEADER, "0,1,2,3,4", "0.1538,1,2,3,"])
    given = ["dataset=terrain", f"dataset.root={root}"]
    ended = in_process("train", *given, *tiny(ways=1, **{"dataset.classes": None}))
    assert (ended.code, ended.err.count("error:")) == (3, 1)
    assert "pro_02.csv: line 3: could not convert" in ended.err
    assert "Traceback" not in ended.err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("setting", [{"stretch": 41}, {"stretch": 60}])
def test_no_drive_as_long_as_a_stretch(setting: dict[str, int], root: Path) -> None:
    (root / "ICE" / "pro_01.csv").unlink()
    with pytest.raises(ConfigError) as error:
        load(root, **setting)
    assert f"stretch={setting['stretch']}, but the longest drive on ICE has 40 rows" in str(error.value)
    assert "use dataset.stretch<=40" in str(error.value)
    assert len(error.value.problems) == (1 if setting["stretch"] <= 50 else 5)


def test_a_stretch_too_short_for_any_task(root: Path) -> None:
    assert load(root, window=10, horizon=5)
    with pytest.raises(ConfigError, match=r"stretch=30, but 1 shots and 1 queries, .* = 16 rows, take 32 rows"):
        load(root, window=10, horizon=6)
    with pytest.raises(ConfigError, match="take 200 rows"):
        load(root, horizon=96)


# Settings, and the real data


def test_settings_of_the_yaml_file_are_the_defaults() -> None:
    values = OmegaConf.to_container(OmegaConf.load(CONFIGS / "dataset" / "terrain.yaml"))
    assert isinstance(values, dict)
    problems: list[Problem] = []
    given = typed(TerrainSettings, values | {"root": str(shared_data("terrain"))}, "dataset.", problems)  # type: ignore[operator]
    assert problems == []
    assert same(given.load(), load_terrain(shared_data("terrain")))


def test_real_terrains() -> None:
    dataset = load_terrain(shared_data("terrain"))
    assert [len(names) for names in terrains(dataset)] == [3, 1, 1]
    assert sorted(name for names in terrains(dataset) for name in names) == [
        "ASPHALT",
        "FLOORING",
        "ICE",
        "SANDY_LOAM",
        "SNOW",
    ]
    assert sum(len(source.first) for source in drives(dataset).values()) == 66
    assert "(5 shorter ones left out)" in dataset.description
    for source in drives(dataset).values():
        batch = sample(source, tasks=50, shots=5, queries=15)
        assert batch.support.inputs.shape == (50, 5, 13, 4)
        assert batch.query.targets.shape == (50, 15, 2)
        assert batch.query.targets.isfinite().all()
        assert batch.query.targets.std() > 0.05
