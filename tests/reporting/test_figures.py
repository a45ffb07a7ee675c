"""The adaptation curve: a picture of what `result.json` says, or a word on why there is none."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from metalstm.config.extras import install
from metalstm.reporting.figures import LABELS, draw_adaptation_curve


def test_drawn_from_a_result(result: dict[str, Any], tmp_path: Path, drawn: list[Any]) -> None:
    path = tmp_path / "figures" / "adaptation_curve.png"
    assert draw_adaptation_curve(result, path) is True
    assert path.read_bytes().startswith(b"\x89PNG")
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    learner = lines["maml, meta-trained"]
    assert list(learner.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(learner.get_ydata()) == pytest.approx([20, 70, 91.23, 92, 93])
    assert list(lines[LABELS["scratch_many_steps"]].get_xdata()) == [0, 10, 50]
    assert set(LABELS.values()) <= set(lines)
    assert any(list(line.get_ydata()) == [20, 20] for line in lines.values())  # chance
    assert len(axes.collections) == 3  # an interval for each
    assert axes.get_ylim() == (0, 100)
    assert "5-way 1-shot" in axes.get_title()
    assert "600" in axes.get_title()


def test_regression_has_no_percent_and_no_chance(regression: dict[str, Any], tmp_path: Path, drawn: list[Any]) -> None:
    assert draw_adaptation_curve(regression, tmp_path / "curve.png")
    (axes,) = drawn[0].axes
    (line,) = axes.get_lines()
    assert list(line.get_ydata()) == [3.1, 0.25, 0.2]
    assert axes.get_ylabel() == "query mean squared error"


def test_without_matplotlib(
    result: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name))
    with caplog.at_level(logging.INFO, "metalstm"):
        assert draw_adaptation_curve(result, tmp_path / "figures" / "curve.png") is False
    assert f"no figure: matplotlib is not installed ({install('figures')})" in caplog.text
    assert list(tmp_path.iterdir()) == []
