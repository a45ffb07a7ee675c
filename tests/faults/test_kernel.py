"""The compiled kernel in its cache cut off, or with a bit flipped, anywhere: never loaded, and made anew."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from metalstm.nn.kernel import shared_object
from stress.torture import kernel
from stress.torture.damage import flipped, truncated
from stress.torture.kernel import a_kernel, accepted, harmful


@pytest.fixture(scope="module")
def compiled_kernel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    if not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        pytest.skip("no C compiler")
    return a_kernel(tmp_path_factory.mktemp("kernel"))


def test_truncations(compiled_kernel: tuple[Path, str]) -> None:
    assert accepted(compiled_kernel[0], truncated, 100, random.Random("truncations")) == []


def test_flipped_bits(compiled_kernel: tuple[Path, str]) -> None:
    assert accepted(compiled_kernel[0], flipped, 1000, random.Random("flips")) == []


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_processes_that_meet_it(compiled_kernel: tuple[Path, str], damage: Any) -> None:
    assert harmful(*compiled_kernel, damage, 1, random.Random(0)) == []


def test_damage_is_done_to_both_files(compiled_kernel: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [file.read_bytes() for file in (compiled_kernel[0], shared_object.manifest_path(compiled_kernel[0]))]
    damaged = []

    def trusting(content: bytes, written: bytes, wanted: shared_object.MadeFrom) -> bool:
        damaged.append([content != whole[0], written != whole[1]])
        return True

    monkeypatch.setattr(shared_object, "fits", trusting)
    missed = accepted(compiled_kernel[0], flipped, 50, random.Random(0))
    assert len(missed) == 50
    assert "would be loaded" in missed[0]
    assert sorted(map(tuple, damaged[1:]))[0] == (False, True)
    assert sorted(map(tuple, damaged[1:]))[-1] == (True, False)


def test_harm_is_told(compiled_kernel: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path, right = compiled_kernel
    monkeypatch.setattr(kernel, "numbers", lambda cache: "exit code -7: Bus error")
    (told,) = harmful(path, right, truncated, 1, random.Random(0))
    assert told.endswith(": exit code -7: Bus error")
    assert kernel.accepted(path, truncated, 1, random.Random(0)) == []  # as it was in the end
