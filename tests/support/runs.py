"""Folders of runs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any


def made_run(folder: Path, learner: str = "maml", mean: float = 0.8, baselines: bool = False, **changes: Any) -> Path:
    """Write the files of a run on tasks that all such runs share."""
    shared, own = random.Random(0), random.Random(folder.name)
    result: dict[str, Any] = {
        **{"dataset": "glyphs", "ways": 5, "shots": 1, "queries": 15, "split": "meta_test", "metric": "accuracy"},
        **{"learner": learner, "steps": 2, "step_unit": "step", "seconds_per_step": 0.004},
        "training": {"steps": 100, "seconds": 90.0, "tasks_per_second": 4.4},
        "command": ["metalstm-train", f"learner={learner}"],
        "baselines": {"scratch": {"steps": 2}} if baselines else {},
        "protocol": {"fingerprint": "f0", "data": "glyphs: 600 characters"},
        "environment": {"seed": 0, "threads": 1},
    }
    tasks = [shared.gauss(0, 0.05) + own.gauss(0, 0.002) for _ in range(20)]
    curves = {
        name: [[goal * done + 0.2 * (1 - done) + error for error in tasks] for done in (0.0, 0.9, 1.0)]
        for name, goal in (("learner", mean), *(("scratch", 0.4),) * baselines)
    }
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result | changes), encoding="utf-8")
    per_task = {name: {"at": [0, 1, 2], "values": values} for name, values in curves.items()}
    (folder / "per_task.json").write_text(json.dumps(per_task), encoding="utf-8")
    return folder
