"""The lines that a run ends with, from its `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalstm.reporting.comparison import counted, task_in_words


def summary(result: Mapping[str, Any]) -> str:
    """Return the result as a person reads it."""
    scale, unit = (100, "%") if result["metric"] == "accuracy" else (1, "")
    digits = 2 if scale == 100 else 4

    def number(entry: Mapping[str, Any]) -> str:
        return f"{scale * entry['value']:.{digits}f} ± {scale * entry['ci95']:.{digits}f}{unit}"

    task, split = task_in_words(result), result["split"].replace("_", "-")
    over, *others = result.get("intervals") or [{"over": "task", "units": result["tasks"]}]
    among = "tasks" if over["over"] == "task" else counted(over["units"], over["over"])
    lines = [
        f"{result['metric']} on {result['tasks']} {split} tasks of {result['dataset']}, {task}, 95% CI over {among}:"
    ]
    rows = [(f"{result['learner']}, {counted(result['steps'], result['step_unit'])}", number(result))]
    for name, entry in result["baselines"].items():
        what = "from scratch" if name == "scratch" else "from scratch, tuned Adam"
        rows.append((f"{what}, {counted(entry['steps'], 'step')}", f"{number(entry)}  ({entry['tasks']} tasks)"))
    rows.append(("before adapting", number(result["curve"][0])))
    rows += [
        (
            f"{result['learner']}, 95% CI over {counted(other['units'], other['over'])}",
            f"± {scale * other['ci95']:.{digits}f}{unit}",
        )
        for other in others
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*lines, *(f"  {name:<{width}}  {value}" for name, value in rows)])
