"""The faults are made by the parts of `scripts/stress/torture.sh`, on a smaller scale."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stress.torture.interpose import Interposer
    from stress.torture.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, cache_home: Path) -> Workshop:
    """Where real runs are broken; the run that nothing stops is made once."""
    from stress.torture.workshop import Workshop

    return Workshop(tmp_path_factory.mktemp("faults"), seed=0, most=10, cache=cache_home)


@pytest.fixture(scope="session")
def interposer(tmp_path_factory: pytest.TempPathFactory) -> Interposer:
    from stress.torture.interpose import Interposer, compiler

    if compiler() is None or sys.platform != "linux":
        pytest.skip("the library that stands between a process and libc needs Linux and a C compiler")
    return Interposer(tmp_path_factory.mktemp("interpose"))
