"""The lines that a run ends with."""

from __future__ import annotations

from typing import Any

from metalstm.reporting.summary import summary


def test_classification(result: dict[str, Any]) -> None:
    head, *rows = summary(result).splitlines()
    assert head == "accuracy on 600 meta-test tasks of glyphs, 5-way 1-shot, 95% CI over tasks:"
    assert [" ".join(row.split()) for row in rows] == [
        "maml, 2 steps 91.23 ± 0.45%",
        "from scratch, 2 steps 40.00 ± 1.20% (100 tasks)",
        "from scratch, tuned Adam, 50 steps 55.00 ± 2.00% (100 tasks)",
        "before adapting 20.00 ± 1.00%",
    ]
    assert len({row.index(" ± ") for row in rows}) == 1  # one under the other


def test_regression(regression: dict[str, Any]) -> None:
    head, *rows = summary(regression).splitlines()
    assert head == "mse on 600 meta-test tasks of sinusoid, 5-shot, 95% CI over tasks:"
    assert [" ".join(row.split()) for row in rows] == [
        "maml, 1 step 0.2500 ± 0.0123",
        "before adapting 3.1000 ± 0.0100",
    ]
