"""Figures of a run, and of several on the same tasks, drawn from their files."""

from __future__ import annotations

import importlib.util
import io
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from metalstm.config.extras import install
from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.files.writing import write_atomically
from metalstm.reporting.comparison import number, ranked, task_in_words
from metalstm.reporting.entries import Entry

log = logging.getLogger(__name__)

MOST_DRAWN = 15  # learners in one figure
COLOURS = ("#0b6e99", "#c8553d", "#7a7a7a", "#5b8c5a", "#8e5ea2")  # told apart in grey and by the colour-blind


def draw_adaptation_curve(result: Mapping[str, Any], path: Path) -> bool:
    """Draw the adaptation curves of the learner and its baselines with 95% intervals; see `draw`."""
    curves = {f"{result['learner']}, meta-trained": result["curve"]}
    curves |= {LABELS.get(name, name): baseline["curve"] for name, baseline in result["baselines"].items()}
    points = {
        label: [(point["step"], point["value"], point["ci95"]) for point in curve] for label, curve in curves.items()
    }
    title = f"{result['dataset']}, {task_in_words(result)}: learning {result['tasks']} tasks never seen before"
    unit = "both" if result["step_unit"] == "shot" and result["baselines"] else result["step_unit"]
    return draw(points, result, title, unit, path)


def draw_comparison(common: Mapping[str, Any], found: Sequence[Entry], path: Path) -> bool:
    """Return the curves of several learners on the same tasks, the best first and each with its result; see `draw`.

    Where there are many, the best ones are drawn and those from scratch.
    """
    accuracy = common["metric"] == "accuracy"
    best_first = ranked(found, accuracy)
    drawn = [entry for place, entry in enumerate(best_first) if place < MOST_DRAWN or entry.from_scratch]
    points = {
        f"{entry.name}, {number(fmean(entry.final()), accuracy)}": [
            (step, *mean_and_ci95(row, entry.units)) for step, row in zip(entry.at, entry.values, strict=True)
        ]
        for entry in drawn
    }
    units = {entry.unit for entry in found}
    title = f"{common['dataset']}, {task_in_words(common)}: learning tasks never seen before"
    if len(drawn) < len(found):
        title += f", {len(drawn)} of {len(found)} curves"
    return draw(points, common, title, units.pop() if len(units) == 1 else "both", path)


def draw(
    curves: Mapping[str, Sequence[tuple[int, float, float]]],
    common: Mapping[str, Any],
    title: str,
    unit: str,
    path: Path,
) -> bool:
    """Draws curves of (step, value, half the width of the 95% interval), by label.

    Returns:
        Whether it was drawn; without matplotlib (extra `figures`) it is not, and the log says so.
    """
    many = len(curves) > len(COLOURS)
    figure = new_figure(10 if many else 7, 6 if many else 4.2)
    if figure is None:
        return False
    axes = figure.add_subplot()
    percent = 100 if common["metric"] == "accuracy" else 1
    for place, (label, curve) in enumerate(curves.items()):
        steps = [step for step, _, _ in curve]
        values = [percent * value for _, value, _ in curve]
        half = [percent * width for _, _, width in curve]
        colour = COLOURS[place % len(COLOURS)]
        style = ("-", "--", ":")[place // len(COLOURS) % 3]
        marker = "osD^vP"[place % 6]
        axes.plot(
            steps,
            values,
            color=colour,
            linestyle=style,
            marker=marker,
            markersize=4,
            markevery=max(1, len(curve) // 12),
            label=label,
        )
        low = [value - width for value, width in zip(values, half, strict=True)]
        high = [value + width for value, width in zip(values, half, strict=True)]
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    if common["metric"] == "accuracy":
        chance = 100 / common["ways"]
        axes.axhline(chance, color="black", linewidth=0.8, linestyle=":")
        axes.annotate("chance", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
        axes.set_ylim(0, 100)
        axes.set_ylabel("query accuracy, %")
    else:
        if any(value > 0 and math.isfinite(value) for curve in curves.values() for _, value, _ in curve):
            axes.set_yscale("log")  # which takes one number at least
        axes.set_ylabel("query mean squared error")
    axes.set_xscale("symlog", linthresh=10)
    last = max(step for curve in curves.values() for step, _, _ in curve)
    ends = {curve[-1][0] for curve in curves.values()} if many else {common.get("steps", 0)}
    shown = [tick for tick in sorted({0, 1, 2, 5, 10, 20, 50, 100, *ends}) if tick <= last]
    axes.set_xticks(shown, [str(tick) for tick in shown])
    axes.minorticks_off()
    axes.set_xlim(-0.5, 1.1 * last)
    axes.set_xlabel(UNITS[unit])
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    if many:
        axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    else:
        axes.legend(fontsize=8, loc="best")
    save(figure, path)
    return True


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of so many inches; None, and a line in the log, without matplotlib (extra `figures`)."""
    if importlib.util.find_spec("matplotlib") is None:
        log.info("no figure: matplotlib is not installed (%s)", install("figures"))
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure, which is whole or not there."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, drawn.getvalue())


UNITS = {
    "step": "gradient steps on the support set",
    "shot": "shots read",
    "both": "gradient steps on the support set; of learners that read it, shots",
}
LABELS = {
    "scratch": "from scratch, the same inner steps",
    "scratch_many_steps": "from scratch, Adam, tuned",
}
