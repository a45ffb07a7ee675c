"""Figures of a run, drawn from its `result.json`."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

COLOURS = ("#0b6e99", "#c8553d", "#7a7a7a", "#5b8c5a")  # told apart in grey and by the colour-blind


def draw_adaptation_curve(result: Mapping[str, Any], path: Path) -> bool:
    """The learner's curve and its baselines' with their 95% intervals over the number of steps.

    Returns:
        Whether it was drawn; without matplotlib (extra `figures`) it is not, and the log says so.
    """
    if importlib.util.find_spec("matplotlib") is None:
        log.info("no figure: matplotlib is not installed (pip install 'metalstm[figures]')")
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    percent = 100 if result["metric"] == "accuracy" else 1
    lines = {f"{result['learner']}, meta-trained": result["curve"]}
    lines |= {LABELS.get(name, name): baseline["curve"] for name, baseline in result["baselines"].items()}
    for (label, curve), colour, marker in zip(lines.items(), COLOURS, "osD^", strict=False):
        steps = [point["step"] for point in curve]
        values = [percent * point["value"] for point in curve]
        half = [percent * point["ci95"] for point in curve]
        axes.plot(steps, values, color=colour, marker=marker, markersize=4, label=label)
        low = [value - width for value, width in zip(values, half, strict=True)]
        high = [value + width for value, width in zip(values, half, strict=True)]
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    if result["metric"] == "accuracy":
        chance = 100 / result["ways"]
        axes.axhline(chance, color="black", linewidth=0.8, linestyle=":")
        axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
        axes.set_ylim(0, 100)
        axes.set_ylabel("query accuracy, %")
    else:
        axes.set_yscale("log")
        axes.set_ylabel("query mean squared error")
    axes.set_xscale("symlog", linthresh=10)
    ticks = sorted({0, 1, 2, 5, 10, 20, 50, 100, result["steps"]})
    last = max(point["step"] for curve in lines.values() for point in curve)
    shown = [tick for tick in ticks if tick <= last]
    axes.set_xticks(shown, [str(tick) for tick in shown])
    axes.minorticks_off()
    axes.set_xlim(-0.5, 1.1 * last)
    axes.set_xlabel("gradient steps on the support set")
    task = f"{result['ways']}-way {result['shots']}-shot"
    axes.set_title(f"{result['dataset']}, {task}: learning {result['tasks']} tasks never seen before", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="best")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)
    return True


LABELS = {
    "scratch": "from scratch, the same inner steps",
    "scratch_many_steps": "from scratch, Adam, tuned",
}
