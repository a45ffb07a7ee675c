"""Run directories: never shared, whatever the clock says; files in them are whole or not there."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from metalstm.errors import ConfigError
from metalstm.runs import layout, logs
from support.commands import tiny

pytestmark = pytest.mark.usefixtures("no_figures")

MOMENT = datetime(2026, 1, 31, 23, 59, 58, 1, tzinfo=timezone.utc)


class StandingClock:
    """The same microsecond a few times, then the next."""

    def __init__(self) -> None:
        self.asked = 0

    def now(self, zone: timezone) -> datetime:
        assert zone is timezone.utc
        self.asked += 1
        return MOMENT.replace(microsecond=1 + self.asked // 5)


def test_two_runs_in_one_microsecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StandingClock()
    monkeypatch.setattr(layout, "datetime", clock)
    made = [layout.new_run_directory(tmp_path) for _ in range(3)]
    assert [path.name for path in made] == [f"2026-01-31T23-59-58-00000{number}" for number in (1, 2, 3)]
    assert clock.asked > 3


def test_a_named_run_is_begun_once(tmp_path: Path) -> None:
    path = layout.new_run_directory(tmp_path, "trial_001")
    assert path == tmp_path / "trial_001"
    assert layout.new_run_directory(tmp_path, "trial_001") == path  # of a start that was killed before its config
    (path / layout.CONFIG).touch()
    with pytest.raises(ConfigError, match=r"there is a run in .*trial_001\n  fix: go on with it: resume="):
        layout.new_run_directory(tmp_path, "trial_001")


def test_the_name_sorts_by_time_and_needs_no_quotes(tmp_path: Path) -> None:
    first, second = (layout.new_run_directory(tmp_path / "a" / "b").name for _ in range(2))
    assert first < second
    assert not set(first) & set("=: ,'\"")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match=r"output_dir: .*file.* cannot be written"):
            layout.new_run_directory(parent)


def test_json_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    layout.write_json(path, {"value": 0.1, "name": "±"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"value": 0.1, "name": "±"}
    with pytest.raises(TypeError):
        layout.write_json(path, {"value": object()})
    assert json.loads(path.read_text(encoding="utf-8"))["value"] == 0.1
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    yield logging.getLogger("metalstm")
    logs.end_log()


def test_the_log_is_on_the_screen_and_in_the_file(tmp_path: Path, logger: Any, capsys: Any) -> None:
    logs.start_log()
    logs.start_log()  # in the place of the first, not beside it
    logs.log_to_file(tmp_path / "train.log")
    logging.getLogger("metalstm.somewhere").info("step %d", 3)
    logging.getLogger("metalstm.somewhere").warning("careful")
    logging.getLogger("metalstm.somewhere").debug("noise")
    assert capsys.readouterr().out == "step 3\nwarning: careful\n"
    lines = (tmp_path / "train.log").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO step 3", "WARNING careful"]


def test_a_quiet_log_warns_and_leaves_nothing_behind(tmp_path: Path, logger: Any, capsys: Any) -> None:
    logs.start_log(logging.WARNING)
    logs.log_to_file(tmp_path / "train.log")
    logging.getLogger("metalstm.somewhere").info("step %d", 3)
    logging.getLogger("metalstm.somewhere").warning("careful")
    assert capsys.readouterr().out == "warning: careful\n"
    assert len((tmp_path / "train.log").read_text(encoding="utf-8").splitlines()) == 2
    logs.end_log()
    assert (logger.handlers, logger.propagate, logger.level) == ([], True, logging.NOTSET)


def test_a_log_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, logger: Any, capsys: Any) -> None:
    (tmp_path / "train.log").symlink_to("/dev/full")
    logs.start_log()
    logs.log_to_file(tmp_path / "train.log")
    for step in (1, 2):
        logging.getLogger("metalstm.somewhere").info("step %d", step)
    out, err = capsys.readouterr()
    assert out.count(f"warning: {tmp_path / 'train.log'} cannot be written: [Errno 28] No space left on device\n") == 1
    assert [line for line in out.splitlines() if not line.startswith("warning")] == ["step 1", "step 2"]
    assert err == ""


def test_room_for_the_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    total = 100 * 2**20

    def usage(folder: Path) -> Any:
        asked.append(folder)
        return shutil._ntuple_diskusage(total, total - 10 * 2**20, 10 * 2**20)

    monkeypatch.setattr("shutil.disk_usage", usage)
    layout.check_room(tmp_path / "to" / "be" / "made", 10 * 2**20 // 6, keep=2)
    assert asked == [tmp_path]
    with pytest.raises(ConfigError, match=r"room for 10\.0 MiB, but the run's checkpoints take 12\.0 MiB\n  fix: make"):
        layout.check_room(tmp_path, 2 * 2**20, keep=2)
    total = 0  # a file system that has no size, such as /proc
    layout.check_room(tmp_path, 2 * 2**20, keep=2)


def test_a_start_without_room_writes_nothing(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalstm.runs.layout.room", lambda folder: 1000)
    ended = in_process("train", *tiny())
    assert ended.code == 2
    assert ended.err.startswith("error: output_dir: outputs/glyphs_3w1s_maml has room for 0.0 MiB, but the run's ")
    assert list(Path().iterdir()) == []
