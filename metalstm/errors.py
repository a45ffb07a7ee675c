"""The errors that a person sees: one block on standard error, each problem with its bound and its remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """A problem that names the value and the bound, and its remedy."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"error: {printable(self.what)}\n  fix: {printable(self.fix)}"


def printable(text: str) -> str:
    """Return the text in one line, whatever a person has given that is quoted in it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


SHOWN = 5  # problems of a kind that are named one by one


def first_few(
    problems: Sequence[Problem], rest: str = "such problems", fix: str | None = None, where: str = ""
) -> list[Problem]:
    """Return the first few problems, and one that says how many more there are.

    Args:
        problems: of one kind.
        rest: names the others, after `7 more`.
        fix: what to do about the others; None: as for the last one.
        where: stands before `7 more`.
    """
    more = len(problems) - SHOWN
    others = [Problem(f"{where}{more} more {rest}", fix or problems[-1].fix)] if more > 0 else []
    return [*problems[:SHOWN], *others]


def first_names(names: Sequence[str]) -> str:
    """Return the first few names, in one line."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


class MetalstmError(Exception):
    """Something that the person at the command line can mend; `exit_code` says what kind.

    Args:
        problems: every problem found, not only the first.
    """

    exit_code = 1

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems: Sequence[Problem] = problems

    @classmethod
    def of(cls, what: str, fix: str) -> MetalstmError:
        """Return an error with a single problem."""
        return cls(Problem(what, fix))


class ConfigError(MetalstmError):
    """A setting is out of bounds, unknown, or at odds with another one."""

    exit_code = 2


class DataError(MetalstmError):
    """A dataset is missing, incomplete or broken."""

    exit_code = 3


class CheckpointError(MetalstmError):
    """A checkpoint or another file of a run cannot be read, is not the run's own, or cannot be written."""

    exit_code = 4


class DivergedError(MetalstmError):
    """The meta-loss or the meta-gradient is no longer finite."""

    exit_code = 5


class LostProcessError(MetalstmError):
    """Another process of the run has ended, or cannot be reached."""

    exit_code = 6


class Interrupted(MetalstmError):
    """The run was asked to stop and did so at a step boundary.

    Args:
        signal_number: the signal that asked; the exit code is 128 + that number (SIGINT 130, SIGTERM 143).
    """

    def __init__(self, signal_number: int, *problems: Problem) -> None:
        super().__init__(*problems)
        self.exit_code = 128 + signal_number


def unusable(error: OSError) -> MetalstmError:
    """Say that a file named on the command line, or the screen, cannot be used; with the remedy."""
    named = f"{error.filename or 'the output'} cannot be written or read: {error.strerror or error}"
    if error.filename is None:
        return ConfigError.of(named, "send the output to a screen, or to a file with room for it")
    return ConfigError.of(named, "give a path of yours, e.g. output_dir=<a folder>, with room in it")


def complain(error: MetalstmError) -> None:
    """One block on standard error; with METALSTM_DEBUG=1 the error itself, traceback and all."""
    if os.environ.get("METALSTM_DEBUG") == "1":
        raise error
    sys.stderr.write(f"{error}\n")
