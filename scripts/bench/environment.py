"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "jax", "higher", "numpy", "metalstm")


def environment(threads: int) -> dict[str, str | int | float | None]:
    """Versions (None: not installed), the processor, and how busy it was before the first clock started."""
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def in_words(env: dict[str, str | int | float | None]) -> str:
    versions = ", ".join(f"{name} {env[name]}" for name in ("python", "torch", "jax", "higher") if env[name])
    return f"{env['cpu']} with {env['cores']} cores, {env['threads']} threads, {env['system']}; {versions}"
