"""The summary of a search: a table of its trials, and the best one's settings and command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from metalstm.config.text import shell
from metalstm.files.writing import write_atomically, writing
from metalstm.runs.layout import TRIALS
from metalstm.sweeps.search.plan import Plan
from metalstm.sweeps.search.study import Study, Tried
from metalstm.sweeps.search.trials import trial_directory

TABLE = TRIALS
BEST = "best.yaml"


def command(plan: Plan, settings: Mapping[str, float | str]) -> str:
    """Return the command that trains with a trial's settings, meta-test and all."""
    return shell("metalstm-train", *plan.overrides(settings))


def number(value: float | str | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def outcome(one: Tried) -> str:
    """Return what became of a trial, in words."""
    if one.state == "complete":
        return f"{number(one.value)} at step {one.step}"
    return f"pruned at step {one.step}" if one.state == "pruned" else f"failed: {one.reason}"


def line(one: Tried) -> str:
    """Return a trial in a line for the screen."""
    settings = "  ".join(f"{name}={number(value)}" for name, value in one.settings.items())
    return f"trial {one.number:3d}  {outcome(one):28}  {settings}"


def table(study: Study, metric: str) -> str:
    """All trials as a Markdown table, the best first."""
    names = [space.name for space in study.spaces]
    lines = [
        " | ".join(["| trial", *names, f"meta_validation/{metric} |"]),
        " | ".join(["|---:", *["---:"] * len(names), "--- |"]),
    ]
    for one in study.ranked():
        values = [number(one.settings[name]) if name in one.settings else "" for name in names]
        lines.append(" | ".join([f"| {one.number}", *values, f"{outcome(one)} |"]))
    importances = study.importances()
    if importances:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in importances.items())
        lines += ["", f"What decides (PED-ANOVA over the complete trials): {shares}."]
    return "\n".join(lines) + "\n"


def best_entry(plan: Plan, best: Tried, folder: Path, metric: str, trials: int) -> dict[str, Any]:
    """Return the content of `best.yaml`."""
    return {
        "trial": best.number,
        "of": trials,
        "metric": f"meta_validation/{metric}",
        "value": best.value,
        "step": best.step,
        "settings": best.settings,
        "command": command(plan, best.settings),
        "run": trial_directory(folder, best.number).as_posix(),
    }


def write(folder: Path, plan: Plan, study: Study, metric: str) -> None:
    """Write the table, and the best trial where there is one."""
    found = {TABLE: table(study, metric)}
    best = study.best()
    if best is not None and best.value is not None:
        entry = best_entry(plan, best, folder, metric, len(study.over()))
        found[BEST] = yaml.safe_dump(entry, sort_keys=False, width=1000)
    for name, text in found.items():
        with writing(folder / name):
            write_atomically(folder / name, text.encode())
