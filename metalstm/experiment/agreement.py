"""Compare what the processes of a run must have alike: each says what it has, before the first step.

The first one's settings and state are given to all. A process that was started for something else, or on a host with
other data or another version, would train along without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from metalstm.config.text import shown
from metalstm.datasets.base import Dataset
from metalstm.errors import ConfigError, DataError, Problem
from metalstm.learners.base import Learner
from metalstm.runtime.processes import Processes

NAMED = 3  # processes of those with one value


def check_same_settings(processes: Processes, settings: Mapping[str, Any]) -> None:
    """Compare the settings that each process was started with, by their dotted names, and its versions.

    Raises:
        ConfigError: they differ; with a problem for each that does.
    """
    problems = [
        Problem(f"{name} is not the same for all processes: {said}", "start all with the same settings")
        for name, said in differences(processes, lambda: {name: shown(value) for name, value in settings.items()})
    ]
    problems += [
        Problem(f"{name} is not the same for all processes: {said}", f"install the same {name} on all hosts")
        for name, said in differences(processes, versions)
    ]
    if problems:
        processes.refuse(ConfigError(*problems))


def check_same_data(processes: Processes, dataset: Dataset) -> None:
    """Compare the fingerprints of what each process has read.

    Raises:
        DataError: they differ.
    """
    for _, said in differences(processes, lambda: {"fingerprint": dataset.fingerprint[:12]}):
        what = f"dataset '{dataset.name}' is not the same for all processes: its fingerprint is {said}"
        processes.refuse(DataError.of(what, "bring the same files to all hosts"))


def check_same_weights(processes: Processes, learner: Learner) -> None:
    """Compare the weights that each process has made, before it is given the first one's.

    Raises:
        ConfigError: they differ.
    """
    for _, said in differences(processes, lambda: {"weights": digest(learner)[:12]}):
        what = f"the weights at the start are not the same for all processes: their digest is {said}"
        fix = "use hosts with the same kind of processor, and the same libraries"
        processes.refuse(ConfigError.of(what, fix))


def differences(processes: Processes, own: Callable[[], dict[str, str]]) -> list[tuple[str, str]]:
    """Give what the processes do not have alike: its name, and who has what."""
    if processes.count == 1:
        return []
    of_all = processes.gathered(own())
    names = dict.fromkeys(name for each in of_all for name in each)
    values = {name: [each.get(name, "missing") for each in of_all] for name in names}
    return [(name, who_has_what(found)) for name, found in values.items() if len(set(found)) > 1]


def who_has_what(values: list[str]) -> str:
    """Put the values of all processes, by rank, in words: `5 in process 0, 6 in processes 1 and 2`."""
    ranks: dict[str, list[int]] = {}
    for rank, value in enumerate(values):
        ranks.setdefault(value, []).append(rank)
    return ", ".join(f"{value} in {_processes(of_value)}" for value, of_value in ranks.items())


def _processes(ranks: list[int]) -> str:
    first = [str(rank) for rank in ranks[:NAMED]]
    if len(ranks) > NAMED:
        return f"processes {', '.join(first)} and {len(ranks) - NAMED} more"
    return f"process {first[0]}" if len(ranks) == 1 else f"processes {', '.join(first[:-1])} and {first[-1]}"


def versions() -> dict[str, str]:
    """Give the versions that numbers depend on, and a digest of this package's code, which may have been edited."""
    found = {name: metadata.version(name) for name in ("metalstm", "numpy")}
    return found | {"code of metalstm": code()[:12], "torch": str(torch.__version__)}


def code() -> str:
    """Give a digest of this package's code."""
    folder = Path(__file__).parents[1]
    files = sorted(file for ending in ("py", "c", "h") for file in folder.rglob(f"*.{ending}"))
    return _digest((str(file.relative_to(folder)).encode(), file.read_bytes()) for file in files)


def digest(learner: Learner) -> str:
    """Give a digest of a learner's state, to the last bit."""
    state = {name: tensor.detach().cpu().flatten() for name, tensor in learner.state_dict().items()}
    return _digest(
        (f"{name} {one.dtype}".encode(), one.view(torch.uint8).numpy().tobytes()) for name, one in state.items()
    )


def _digest(pairs: Iterable[tuple[bytes, bytes]]) -> str:
    whole = hashlib.sha256()
    for name, content in pairs:
        whole.update(b"%s %d\n%s" % (name, len(content), content))
    return whole.hexdigest()
