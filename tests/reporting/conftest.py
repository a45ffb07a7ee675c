"""Results as `result.json` has them."""

from __future__ import annotations

from typing import Any

import pytest


def curve(values: list[float], at: list[int] | None = None) -> list[dict[str, float]]:
    steps = range(len(values)) if at is None else at
    return [{"step": step, "value": value, "ci95": 0.01} for step, value in zip(steps, values, strict=True)]


@pytest.fixture
def result() -> dict[str, Any]:
    """Of a classification run."""
    return {
        **{
            "dataset": "glyphs",
            "learner": "maml",
            "ways": 5,
            "shots": 1,
            "split": "meta_test",
            "tasks": 600,
            "steps": 2,
            "step_unit": "step",
        },
        **{"metric": "accuracy", "value": 0.9123, "ci95": 0.0045},
        "curve": curve([0.2, 0.7, 0.9123, 0.92, 0.93]),
        "baselines": {
            "scratch": {"value": 0.4, "ci95": 0.012, "steps": 2, "tasks": 100, "curve": curve([0.2, 0.3, 0.4])},
            "scratch_many_steps": {
                **{"value": 0.55, "ci95": 0.02, "steps": 50, "tasks": 100},
                "curve": curve([0.2, 0.5, 0.55], [0, 10, 50]),
            },
        },
    }


@pytest.fixture
def regression() -> dict[str, Any]:
    """Of a regression run without baselines."""
    return {
        **{
            "dataset": "sinusoid",
            "learner": "maml",
            "ways": 1,
            "shots": 5,
            "split": "meta_test",
            "tasks": 600,
            "steps": 1,
            "step_unit": "step",
        },
        **{"metric": "mse", "value": 0.25, "ci95": 0.0123},
        "curve": curve([3.1, 0.25, 0.2]),
        "baselines": {},
    }
