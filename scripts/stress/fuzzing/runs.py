"""Run directories that something has happened to, given to all three commands."""

from __future__ import annotations

import functools
import io
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

from .damage import Broken, Changed, break_bytes, broken, change, changed
from .harness import Ended, Files, faults, files, run, sandbox
from .overrides import TINY

SETTINGS = TINY | {"steps": 4, "checkpoint_every": 2, "validate_every": 2}
LAST = "step_00000004"
FIRST = 600  # seconds: the first run imports all of torch


class Case(NamedTuple):
    """A run directory's files with what has happened to each, and a command line for it."""

    command: str
    arguments: tuple[str, ...]
    damage: tuple[tuple[str, Any], ...]  # file and damage; of folders their fate


@functools.cache
def whole() -> Files:
    """The files of a run that is over."""
    with sandbox() as root:
        ended = run("train", [f"{name}={value}" for name, value in SETTINGS.items()], root, False, FIRST)
        assert ended.code == 0, ended
        (config,) = root.rglob("config.yaml")
        return files(config.parent)


def put(folder: Path, content: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        if data is None:
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)


READ_BY = {
    "train": ["config.yaml", "config.yaml", "config.yaml", "run.json", "manifest.json", "state.pt", "metrics.jsonl"],
    "test": ["config.yaml", "config.yaml", "run.json", "manifest.json", "state.pt"],
    "report": ["result.json", "per_task.json", "per_task.json", "gallery.json", "confusion.json", "metrics.jsonl"],
}
ARGUMENTS: dict[str, list[tuple[str, ...]]] = {
    "train": [
        ("resume=run",),
        ("resume=run", "steps=5"),
        ("resume=run", "steps=5"),
        ("resume=run", "steps=5", "ways=3"),
    ],
    "test": [
        ("run=run",),
        ("run=run", "tasks=2"),
        ("run=run", "tasks=2", "steps=3"),
        ("run=run", "allow_changed_data=true"),
    ],
    "report": [
        *(("run",), ("run", "run"), ("run", "other"), ("run", "other"), ("other", "run", "--out", "out"), ()),
        *(("run", "nowhere"), ("run", "file"), ("nul\0byte",), ("x" * 300,), ("run", "--nothing")),
        *(("run", "--target", "nan"), ("run", "--target", "word"), ("run", "--target", "inf")),
        *(("run", "--out", "file"), ("run", "--out", "nul\0"), ("run", "--out", "\udcff")),
    ],
}
# The values of each file that a report reads, counted as they are read.
READ_VALUES = {"result.json": 40, "per_task.json": 8}
FATES = st.sampled_from(["gone", "a folder", "a loop"])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    command = draw(st.sampled_from(sorted(READ_BY)))
    damage = []
    for file in draw(st.lists(st.sampled_from(READ_BY[command]), min_size=1, max_size=2, unique=True)):
        trees = st.tuples(changed(), st.booleans()) if file != "metrics.jsonl" else st.nothing()
        damage.append((file, draw(st.one_of(trees, trees, trees, broken(), broken(), FATES))))
    return Case(command, draw(st.sampled_from(ARGUMENTS[command])), tuple(damage))


def happen(content: Files, file: str, damage: Any) -> Files:
    """What the directory holds afterwards; damage to a checkpoint's file is to that of the last one, or of all."""
    names = [name for name in content if Path(name).name == file and content[name] is not None]
    everywhere = isinstance(damage, tuple) and not isinstance(damage, Broken) and damage[1]
    if file in ("manifest.json", "state.pt") and not everywhere:
        names = [name for name in names if LAST in name]
    content = dict(content)
    for name in names:
        data = content[name]
        assert data is not None
        if isinstance(damage, str):
            del content[name]
            if damage == "a folder":
                content[name] = None
        elif isinstance(damage, Broken):
            content[name] = break_bytes(data, damage)
        elif file == "state.pt":
            content |= saved(name, data, damage[0])
        else:
            content[name] = rewritten(file, data, damage[0])
    return content


def rewritten(file: str, data: bytes, damage: Changed) -> bytes:
    if file == "config.yaml":
        return yaml.safe_dump(change(yaml.safe_load(data), damage), sort_keys=False).encode()
    return json.dumps(change(json.loads(data), damage), indent=2).encode()


def saved(name: str, data: bytes, damage: Changed) -> Files:
    """A checkpoint that holds something else, under a checksum that is right: as of another version, or another run."""
    import torch

    from metalstm.runs.checkpoint import as_manifest, checksum

    state = torch.load(io.BytesIO(data), weights_only=True)
    # What is inside of the optimizer's state is that of torch, which is not asked to be checked.
    inside = {key: state.pop(key) for key in ("outer",) if key in state and damage.which % 7}
    buffer = io.BytesIO()
    torch.save(change(state, damage) | inside, buffer)
    data = buffer.getvalue()
    manifest = str(Path(name).with_name("manifest.json"))
    said = json.loads(whole()[manifest] or b"")
    said["files"]["state.pt"] = {"size": len(data), "sha256": checksum(data)}
    return {name: data, manifest: as_manifest(said)}


def prepare(root: Path) -> None:
    """What odd paths may name: a run, a file, an empty folder, and a link to itself."""
    work = root / "work"
    put(work / "run", whole())
    put(work / "other", whole())
    (work / "file").write_bytes(b"")
    (work / "empty").mkdir()
    (work / "loop").symlink_to("loop")


def begin(case: Case, root: Path) -> Ended:
    """Gives the directory to the command."""
    prepare(root)
    content = whole()
    for file, damage in case.damage:
        content = happen(content, file, damage)
    place = root / "work" / "run"
    shutil.rmtree(place)
    put(place, content)
    for file, damage in case.damage:
        if damage == "a loop":
            (place / file).symlink_to(file)
    return run(case.command, case.arguments, root, cheap=False)


def play(case: Case, root: Path) -> list[str]:
    """Gives the directory to the command, and says what is wrong with how it ended."""
    # That no checkpoint is whole is written to the run's log.
    return faults(begin(case, root), case.arguments, lambda name: name.endswith(("train.log", ".lock", ".cache")))
