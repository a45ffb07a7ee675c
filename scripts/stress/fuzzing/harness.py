"""Runs a command in this process, in a working directory of its own, and says what is wrong with how it ended."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import resource
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

CODES = (0, 2, 3, 4, 5, 130, 143)
REFUSED = (2, 3, 4)  # nothing may be left behind
PATIENCE = 60  # seconds, after which a command counts as hanging
MEMORY = 3 * 2**30  # bytes that a command may take besides what there is: a machine's end, without reaching it
MANY_THREADS = 1024  # more may end the whole process, which no test would outlive
BLOCK = re.compile(r"(error: [^\n]+\n  fix: [^\n]+\n)+")
SWEPT_BLOCK = re.compile(r"((job \d+ \([^\n]*\) failed\n)?(error: [^\n]+\n  fix: [^\n]+\n)+)+")
USAGE = re.compile(r"usage: .*: error: ", re.DOTALL)  # of a flag that there is not
Files = dict[str, bytes | None]


class Hung(BaseException):
    """The command did not end in time."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int | None  # None: with an exception
    out: str
    err: str
    trace: str
    before: Files
    after: Files


def files(folder: Path) -> Files:
    """Everything under a folder, with the content of files."""
    found: Files = {}
    for path in folder.rglob("*"):
        whole = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = path.read_bytes() if whole else None
    return found


@contextlib.contextmanager
def sandbox() -> Iterator[Path]:
    """A folder that is gone afterwards: `work` in it is the working directory, `home` the user's."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="metalstm-fuzz-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        work, home = root / "work", root / "home"
        work.mkdir()
        home.mkdir()
        os.chdir(work)
        try:
            yield root
        finally:
            os.chdir(before)


def run(command: str, arguments: Sequence[str], root: Path, cheap: bool = True, patience: float = PATIENCE) -> Ended:
    """Runs a command in a sandbox.

    Args:
        command: `train`, `test` or `report`.
        arguments: its command line.
        root: of the sandbox.
        cheap: whether training and meta-testing are left out; all that can refuse to begin them is done.
        patience: seconds that it may take.
    """
    from metalstm.cli import report, test, train

    main = {"train": train.main, "test": test.main, "report": report.main}[command]
    before = files(root)
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
    code: int | None = 0
    trace = ""
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(mock.patch.object(sys, "argv", [f"metalstm-{command}", *arguments]))
        enter(mock.patch.dict(os.environ, environment(root / "home")))
        enter(contextlib.redirect_stdout(out))
        enter(contextlib.redirect_stderr(err))
        enter(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # of libraries; Python shows each once, so that they depend on what ran before
        enter(as_it_was())
        enter(few_threads())
        if cheap:
            enter(without_training())
        enter(limits(patience))
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except BaseException:  # whatever would have been a traceback on the screen
            code = None
            trace = traceback.format_exc()
    return Ended(code, written(out), written(err), trace, before, files(root))


def written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.buffer.read().decode()


def environment(home: Path) -> dict[str, str]:
    folders = {"XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "HOME": "."}
    return {"METALSTM_DEBUG": "0", "HYDRA_FULL_ERROR": "1"} | {name: str(home / at) for name, at in folders.items()}


@contextlib.contextmanager
def limits(patience: float) -> Iterator[None]:
    """Ends a command that hangs, and gives none the memory that the tests themselves need."""

    def hung(number: int, frame: Any) -> None:
        raise Hung(f"no end after {patience} s")

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    old = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, hung)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, old[1]))
    signal.setitimer(signal.ITIMER_REAL, patience)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, old)


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """What a command leaves in this process, such as Hydra's singletons and log handlers, is undone."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    top = logging.getLogger()
    handlers, level = list(top.handlers), top.level
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        top.handlers[:] = handlers
        top.setLevel(level)
        for name in list(logging.root.manager.loggerDict):
            logging.getLogger(name).disabled = False
        ours = logging.getLogger("metalstm")
        for handler in list(ours.handlers):
            ours.removeHandler(handler)
            handler.close()
        ours.propagate = True


@contextlib.contextmanager
def few_threads() -> Iterator[None]:
    """Refuses what would end the process, and has as many threads afterwards as before."""
    import torch

    real, before = torch.set_num_threads, torch.get_num_threads()

    def checked(count: int) -> None:
        if count > MANY_THREADS:
            raise AssertionError(f"{count} threads would end the process")
        real(count)

    with mock.patch.object(torch, "set_num_threads", checked):
        yield
    real(before)


@contextlib.contextmanager
def without_training() -> Iterator[None]:
    """Everything but meta-training and the meta-test; nothing is downloaded either."""
    from metalstm.evaluation.meta_test import Evaluator
    from metalstm.experiment import train
    from metalstm.sweeps import sweep

    def over(*_: Any) -> Any:
        raise SystemExit(0)

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(train, "meta_trainer", over))
        stack.enter_context(mock.patch.object(Evaluator, "evaluate", over))
        stack.enter_context(mock.patch.object(sweep, "carry_out", return_value=0))
        stack.enter_context(no_network())
        yield


def no_network() -> Any:
    """Every host is unknown; a download ends at once, as it does on a machine without a network."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return mock.patch.object(socket, "getaddrinfo", side_effect=unknown)


def faults(ended: Ended, arguments: Sequence[str], may_change: Callable[[str], bool] = lambda _: False) -> list[str]:
    """What is wrong with how a command ended.

    Args:
        ended: how it ended.
        arguments: its command line.
        may_change: whether a file, by its path in the sandbox, may be made or changed although the input is refused.
    """
    if ended.trace:
        return [f"traceback: {where(ended.trace)}"]
    found = []
    if ended.code not in CODES:
        found.append(f"exit code {ended.code}")
    if "Traceback" in ended.out + ended.err:
        found.append("a traceback was printed")
    asked_for = any(argument.lstrip("+~").startswith("hydra") for argument in arguments)  # Hydra's own files
    swept = any(argument in ("-m", "--multirun") for argument in arguments) or asked_for
    if ended.code != 0:
        block = SWEPT_BLOCK if swept else BLOCK
        if not block.fullmatch(ended.err) and not USAGE.match(ended.err):
            found.append(f"not one block: {ended.err[:300]!r}")
    if ended.code in REFUSED and not swept:
        changed = {name for name, content in ended.after.items() if ended.before.get(name, b"none") != content}
        gone = ended.before.keys() - ended.after.keys()
        left = sorted(name for name in changed | gone if not may_change(name))
        if left:
            found.append(f"refused, but there is a change to {left}")
    return found


def where(trace: str) -> str:
    """The place where an exception left this package, and the place where it arose, and the exception."""
    places = re.findall(r'File "(?:.*/)?([^"]+)", line (\d+), in (\S+)', trace)
    ours = re.findall(r'File ".*/metalstm/([^"]+)", line (\d+), in (\S+)', trace)
    left, arose = (":".join(found[-1][:2]) if found else "nowhere" for found in (ours, places))
    return f"{left} {arose} {trace.strip().splitlines()[-1][:200]}"
