"""Freed memory is kept for the next step where the C library can do that."""

import subprocess
import sys

import pytest

from metalstm.runtime import malloc

FAULTS = """
import resource, torch
from metalstm.runtime.malloc import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def buffers():
    return [torch.ones(2_000_000) for _ in range(10)]
for _ in range(5):
    buffers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    buffers()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: bool) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_large_buffers_are_not_mapped_anew() -> None:
    if not malloc.keep_freed_memory():
        pytest.skip("the C library is not glibc")
    pages = 5 * 10 * 8_000_000 // 4096
    assert page_faults(keep=True) < 0.1 * pages


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda name: object())
    assert malloc.keep_freed_memory() is False
