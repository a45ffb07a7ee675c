"""`reliability.json`: what each part found, their sums, and whatever other programs have written there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.environment import environment
from metalstm.files.writing import write_atomically
from stress.torture.run import TortureError

OUT = Path(__file__).parents[3] / "outputs" / "reference" / "reliability.json"
# Of these the parts together have the largest; of other numbers the sum.
LARGEST = ("max_steps_lost", "checkpoint_interval", "sigterm_to_saved_p95_s", "sweep_to_ended_max_s")


def add(out: Path, part: str, figures: Mapping[str, Any], command: str, seed: int, seconds: float) -> dict[str, Any]:
    """Puts a part's figures into the file, in the place of its earlier ones; all else in it stays.

    Raises:
        TortureError: the file is there, but is none of ours.
    """
    report = read(out)
    parts = report.get("parts", {})
    parts[part] = {"command": command, "seed": seed, "seconds": round(seconds, 1), **figures}
    # Parts may be of several days and seeds; these are of the latest.
    latest = {"command": command, "seed": seed, "environment": environment(threads=1)}
    report = report | totals(parts.values()) | latest | {"parts": parts}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, (json.dumps(report, indent=1) + "\n").encode())
    return report


def read(out: Path) -> dict[str, Any]:
    try:
        report = json.loads(out.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TortureError(f"{out} is not JSON: remove it, or give --out") from error
    if not isinstance(report, dict):
        raise TortureError(f"{out} is no report: remove it, or give --out")
    return report


def totals(parts: Any) -> dict[str, Any]:
    """The parts' figures together, by their names."""
    together: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name in ("command", "seed", "seconds", "skipped"):
                continue
            together[name] = combined(name, together[name], value) if name in together else value
    return together


def combined(name: str, one: Any, other: Any) -> Any:
    if name in LARGEST:
        return max(one, other)
    return dict(Counter(one) + Counter(other)) if isinstance(one, dict) else one + other
