"""Runs without figures, which take longer than the rest of a tiny run."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalstm.reporting.figures.draw_adaptation_curve", lambda result, path: False)
