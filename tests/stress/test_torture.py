"""The long selection of faults: its parts run by name, and its report keeps what others have written there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.torture import __main__ as torture
from support.places import SCRIPTS


def run_torture(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stress.torture", *arguments]
    return subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)


def test_a_part_by_its_name(tmp_path: Path) -> None:
    out = tmp_path / "reliability.json"
    out.write_text(json.dumps({"fuzzed_inputs": 10, "parts": {"kills": {"kills": 7}}}), encoding="utf-8")
    done = run_torture("1", "--only", "races,starts", "--seed", "3", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "races  50 races of 3: 0 with several winners" in done.stdout
    report = json.loads(out.read_text(encoding="utf-8"))
    assert (report["fuzzed_inputs"], report["kills"], report["races"], report["races_with_two_winners"]) == (
        10,
        7,
        50,
        0,
    )
    assert (report["same_instant_starts"], report["shared_directories"]) == (100, 0)
    assert (report["seed"], report["command"]) == (3, "scripts/stress/torture.sh 1 --only races,starts --seed 3")
    assert {"cores", "threads", "python", "torch"} <= set(report["environment"])
    assert set(report["parts"]) == {"kills", "races", "starts"}


def test_every_part_is_described() -> None:

    assert "kernel" in torture.PARTS
    assert [part for part in torture.PARTS if f"`{part}`, " not in str(torture.__doc__)] == []


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--only", "kils"], "no part: kils"), (["0"], "0 kills"), (["many"], "many")]
)
def test_what_there_is_no_part_for(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = run_torture(*arguments, "--out", tmp_path / "out.json")
    assert done.returncode == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def add(out: Path, part: str, **figures: Any) -> dict[str, Any]:
    from stress.torture import report

    return report.add(out, part, figures, "command", 0, 1.0)


def test_parts_are_summed_and_replaced(tmp_path: Path) -> None:
    out = tmp_path / "new" / "reliability.json"
    add(out, "kills", kills=200, max_steps_lost=5, bit_equal_resumes={"maml": 7, "memory": 3}, problems=["a"])
    report = add(out, "saves", save_stages_killed=30, max_steps_lost=4, bit_equal_resumes={"maml": 2}, problems=[])
    assert report == json.loads(out.read_text(encoding="utf-8"))
    assert report["kills"] == 200
    assert report["save_stages_killed"] == 30
    assert report["max_steps_lost"] == 5
    assert report["bit_equal_resumes"] == {"maml": 9, "memory": 3}
    assert report["problems"] == ["a"]
    report = add(out, "kills", kills=6, max_steps_lost=1, bit_equal_resumes={"maml": 0, "fomaml": 6}, problems=[])
    assert report["kills"] == 6
    assert report["max_steps_lost"] == 4
    assert report["bit_equal_resumes"] == {"maml": 2, "fomaml": 6}
    assert report["problems"] == []


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_a_file_that_is_no_report_is_left_alone(content: str, tmp_path: Path) -> None:
    out = tmp_path / "reliability.json"
    out.write_text(content, encoding="utf-8")
    done = run_torture("1", "--only", "races", "--out", out)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {out} is no")
    assert out.read_text(encoding="utf-8") == content


def test_what_did_not_survive_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:

    monkeypatch.setattr(torture, "PARTS", {"kills": lambda workshop: {"kills": workshop.most, "problems": ["it died"]}})
    out = tmp_path / "reliability.json"
    monkeypatch.setattr(sys, "argv", ["torture", "3", "--out", str(out)])
    with pytest.raises(SystemExit, match="error: kills: it died"):
        torture.main()
    assert json.loads(out.read_text(encoding="utf-8"))["kills"] == 3
