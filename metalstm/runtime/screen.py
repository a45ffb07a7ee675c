"""The screen of a command: letters that it cannot show are replaced, and a run goes on where it is gone."""

from __future__ import annotations

import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, ClassVar

STREAMS = ("stdin", "stdout", "stderr")  # by their descriptors


class Lasting(io.FileIO):
    """A screen that takes whatever is written: what it cannot show is lost, and the first reason is kept."""

    lost: ClassVar[str | None] = None  # why the screen of this process shows nothing more

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:  # whoever started us has made it one that does not wait
                select.select([], [self], [])
        except OSError as error:
            Lasting.lost = Lasting.lost or str(error)
            return len(data)
        return written


def prepare() -> None:
    """Make the standard streams fit for use; errors may be said on any screen, and are never in the way."""
    for descriptor, name in enumerate(STREAMS):
        if getattr(sys, name) is None:  # closed when the process began; a file of a run must not take its place
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, descriptor)
            if nowhere != descriptor:
                os.close(nowhere)
            opened = open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.stderr = lasting(sys.stderr)


def lasting(stream: Any) -> Any:
    """Return the same stream so that nothing written to it fails.

    One that is no screen of this process stays as it is.
    """
    with suppress(AttributeError, OSError, ValueError):  # a notebook's, a test's
        if stream.fileno() in (1, 2) and not isinstance(getattr(stream.buffer, "raw", None), Lasting):
            with suppress(OSError):
                stream.flush()
            file = io.BufferedWriter(Lasting(stream.fileno(), "wb", closefd=False))
            return io.TextIOWrapper(file, stream.encoding, errors="replace", line_buffering=True)
    return stream


class Company:
    """While held, the screen is company only: nothing written to it fails."""

    def __init__(self) -> None:
        self.before: dict[str, tuple[Any, Any]] = {}  # by a stream's name, it and what took its place

    def hold(self) -> None:
        Lasting.lost = None
        for name in STREAMS[1:]:
            stream = getattr(sys, name)
            self.before[name] = stream, lasting(stream)
            setattr(sys, name, self.before[name][1])

    def release(self) -> None:
        for name, (before, held) in self.before.items():
            if getattr(sys, name) is held:  # and nobody else has taken its place
                setattr(sys, name, before)
        self.before = {}
