"""What is kept of runs that are compared: enough for a report with training curves, and not every step."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from metalstm.cli.report import report
from support.places import SCRIPTS
from support.runs import made_run

SCRIPT = SCRIPTS / "side_by_side.sh"


def test_what_is_copied_has_training_curves(tmp_path: Path) -> None:
    for learner in ("maml", "anil", "protonet"):
        run = made_run(tmp_path / "runs" / f"glyphs_{learner}" / "now", learner)
        (run / "config.yaml").write_text("", encoding="utf-8")
        if learner != "protonet":
            lines = [{"step": 1, "meta_train/accuracy": 0.4}, {"step": 1, "meta_validation/accuracy": 0.5}]
            text = "".join(json.dumps(line) + "\n" for line in (*lines, {"step": 2, "meta_train/accuracy": 0.6}))
            (run / "metrics.jsonl").write_text(text, encoding="utf-8")
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "metalstm-report").write_text("#!/bin/bash\necho reported\n", encoding="utf-8")
    (commands / "metalstm-report").chmod(0o755)
    kept = tmp_path / "kept"
    script = f'set -euo pipefail; venv="{tmp_path}/venv"; source "{SCRIPT}"; compare "$@"'
    command = ["bash", "-c", script, "bash", str(tmp_path / "runs"), "glyphs", str(kept), "maml", "anil", "protonet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "reported\n", "")
    for learner in ("maml", "anil"):
        metrics = (kept / learner / "metrics.jsonl").read_text(encoding="utf-8")
        assert metrics == '{"step": 1, "meta_validation/accuracy": 0.5}\n'
    assert not (kept / "protonet" / "metrics.jsonl").exists()
    for runs, names in (([kept / "maml"], ["maml"]), ([kept / "maml", kept / "anil"], ["maml", "anil"])):
        report(runs, tmp_path / "out", None)
        html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        section = html.partition('id="training-figure"')[2].partition("</figure>")[0]
        assert all(name in section for name in names)
        assert "of meta-train, means" not in section
