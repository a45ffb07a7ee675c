"""The version has one home, and what cites it says the same."""

from __future__ import annotations

from importlib import metadata

import yaml

import metalstm
from support.places import REPOSITORY


def test_the_version_is_the_same_everywhere() -> None:
    cited = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert metadata.version("metalstm") == metalstm.__version__ == cited["version"]
    assert f"## {metalstm.__version__} ({cited['date-released']})" in (REPOSITORY / "CHANGELOG.md").read_text(
        encoding="utf-8"
    )
