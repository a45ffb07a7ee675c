"""Draw what a learner keeps and loses on a stream of tasks: lines and heat maps, from `lifelong.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalstm.reporting.comparison import counted, task_in_words
from metalstm.reporting.figures import new_figure, save

FIGURE = "figures/lifelong.png"

COLUMNS = {
    "final": "all tasks at the end",
    "learned": "each when learned",
    "backward_transfer": "backward transfer",
    "forward_transfer": "forward transfer",
}
IN_WORDS = {
    "carry": "carry: goes on from what it knows",
    "reset": "reset: starts anew with each task",
    "replay": "replay: learns all support sets so far",
}


def summary(result: Mapping[str, Any]) -> str:
    """Return the result as a person reads it."""
    scale, unit, digits = (100, "%", 1) if result["metric"] == "accuracy" else (1, "", 4)

    def cell(entry: Mapping[str, float], signed: bool) -> str:
        sign = "+" if signed else ""
        return f"{scale * entry['value']:{sign}.{digits}f} ± {scale * entry['ci95']:.{digits}f}{unit}"

    rows = [["", *COLUMNS.values()]]
    for mode, entry in result["modes"].items():
        rows.append([mode, *(cell(entry[name], "transfer" in name) for name in COLUMNS)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        f"{result['metric']} over {result['streams']} streams of {result['tasks']} {result['split'].replace('_', '-')} "
        f"tasks of {result['dataset']}, {task_in_words(result)}, {result['learner']} after "
        f"{counted(result['steps'], result['step_unit'])} for each, 95% CI over streams:"
    ]
    for row in rows:
        padded = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        lines.append(("  " + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def draw_lifelong(result: Mapping[str, Any], path: Path) -> bool:
    """Return a heat map for each mode: the metric of every task (columns) before the first task and after each (rows).

    Returns:
        Whether it was drawn; without matplotlib (extra `figures`) it is not, and the log says so.
    """
    modes, accuracy = result["modes"], result["metric"] == "accuracy"
    tasks = result["tasks"]
    side = max(2.6, 0.36 * tasks)
    figure = new_figure(len(modes) * side + 1.5, side + 1.6)
    if figure is None:
        return False
    scale = 100 if accuracy else 1
    values = {mode: [[scale * value for value in row] for row in entry["matrix"]] for mode, entry in modes.items()}
    every = [value for rows in values.values() for row in rows for value in row]
    low, high = (0, 100) if accuracy else (min(every), max(every))
    panels = figure.subplots(1, len(modes), squeeze=False)[0]
    for panel, (mode, rows) in zip(panels, values.items(), strict=True):
        image = panel.imshow(rows, vmin=low, vmax=high, cmap="viridis" if accuracy else "viridis_r")
        panel.set_title(IN_WORDS[mode], fontsize=9)
        panel.set_xticks(range(tasks), [str(task + 1) for task in range(tasks)], fontsize=7)
        panel.set_yticks(range(tasks + 1), ["none", *(str(task + 1) for task in range(tasks))], fontsize=7)
        panel.set_xlabel("asked for task")
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                dark = (value - low) / ((high - low) or 1) < 0.5
                text = f"{value:.0f}" if accuracy else f"{value:.2g}"
                colour = "white" if dark == accuracy else "black"
                panel.text(j, i, text, ha="center", va="center", fontsize=6, color=colour)
    panels[0].set_ylabel("after learning task")
    name = "accuracy, %" if accuracy else "mean squared error"
    figure.colorbar(image, ax=list(panels), label=name, shrink=0.8)
    title = f"{result['dataset']}, {task_in_words(result)}, {result['learner']}: {tasks} tasks one after another"
    figure.suptitle(f"{title}, mean of {result['streams']} streams", fontsize=10)
    save(figure, path)
    return True
