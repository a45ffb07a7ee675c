"""The figure of `growth`: time and memory against each size, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

AXES = {
    "tasks": "tasks in a meta-batch",
    "task_chunk_size": "tasks at a time, of 32",
    "inner_steps": "inner steps",
    "length": "sequence length, time steps",
    "hidden": "hidden size",
}
QUANTITIES = {"median_s": "time of a step, s", "peak_mib": "peak memory of a step, MiB"}
ORDERS = {
    "second": ("second order", "#0b6e99", "o"),
    "recomputed": ("second order, recomputed", "#8e6bbf", "D"),
    "first": ("first order", "#c8553d", "s"),
    "none": ("evaluation", "#5b8c5a", "^"),
}


def draw(report: Mapping[str, Any], path: Path) -> None:
    """A column of panels for each size, a row for each quantity; the fitted exponents stand in the legends."""
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 6.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(QUANTITIES), len(AXES), sharex="col", sharey="row")

    def fill(panel: Axes, axis: str, quantity: str) -> None:
        for order, (label, colour, marker) in ORDERS.items():
            points = [p for p in report["points"] if (p["axis"], p["order"]) == (axis, order) and p[quantity] > 0]
            fits = [fit[quantity] for fit in report["exponents"] if (fit["axis"], fit["order"]) == (axis, order)]
            if points:
                slope = "" if fits[0] is None else f": exponent {fits[0]:.2f}"
                xs, ys = [p["size"] for p in points], [p[quantity] for p in points]
                panel.plot(xs, ys, color=colour, marker=marker, markersize=4, label=label + slope)
        panel.set_xscale("log")
        panel.set_yscale("log")
        sizes = sorted({p["size"] for p in report["points"] if p["axis"] == axis})
        panel.set_xticks(sizes, [str(size) for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.25)
        panel.legend(fontsize=8, loc="upper left")

    for row, (quantity, title) in zip(panels, QUANTITIES.items(), strict=True):
        for panel, axis in zip(row, AXES, strict=True):
            fill(panel, axis, quantity)
        row[0].set_ylabel(title)
    for panel, title in zip(panels[-1], AXES.values(), strict=True):
        panel.set_xlabel(title)
    base = report["base"]
    figure.suptitle(
        f"One meta-gradient of metalstm: {base['ways']}-way {base['shots']}-shot, {base['tasks']} tasks, hidden "
        f"{base['hidden']}, {base['inner_steps']} inner steps, {base['length']} time steps, but for what is varied",
        fontsize=10,
    )
    figure.savefig(path)
