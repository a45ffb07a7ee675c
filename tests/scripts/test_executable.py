"""The scripts that the README tells its reader to run can be run as it says."""

from __future__ import annotations

import os
import re

from support.places import REPOSITORY

ROOT = REPOSITORY


def test_scripts_named_in_the_readme_are_executable() -> None:
    named = set(re.findall(r"scripts/[\w/]+\.sh", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"scripts/train.sh", "scripts/test.sh", "scripts/scenarios.sh"} <= named
    assert [name for name in sorted(named) if not os.access(ROOT / name, os.X_OK)] == []
