"""`--help`: what a command does, its groups, and every setting with its value and its meaning, from the YAML files."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Traversable
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from metalstm import registry
from metalstm.cli.arguments import parsed
from metalstm.config.compose import composed
from metalstm.config.plugins import as_yaml
from metalstm.config.text import flat, shown

GROUPS = ("dataset", "model", "learner", "experiment")
EXPLAINED_BY = {"learner": "maml"}  # what several choices of a group share is said in one of them
COLUMN = 36  # where meanings begin
NARROWEST = 80


def asked_for(arguments: Sequence[str]) -> bool:
    return "--help" in arguments or "-h" in arguments


def help_text(config_name: str, arguments: Sequence[str]) -> str:
    """Return the help of a command.

    Args:
        config_name: the command, such as `train`.
        arguments: of its command line; settings and groups in it are shown as chosen, those of a person's own configs
            among them.

    Raises:
        HydraException, OmegaConfBaseException: as `composition.composed`.
    """
    given = parsed(arguments)
    config = composed(
        given.config_name or config_name, given.overrides, True, folder=given.config_dir, main=given.config_path
    )
    hydra = config.hydra
    chosen = {str(group): choice for group, choice in hydra.runtime.choices.items() if not group.startswith("hydra")}
    choices = {group: chosen[group] for group in [*GROUPS, *sorted(chosen.keys() - set(GROUPS))] if group in chosen}
    sources = Sources.of(hydra.runtime.config_sources)
    values = OmegaConf.to_container(OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"]))
    assert isinstance(values, dict)
    parts = [hydra.help.header.strip(), *sources.group_lists(choices), *sources.settings(config_name, values, choices)]
    return "\n\n".join([*parts, hydra.help.footer.strip()]) + "\n"


class Sources:
    """The YAML files that a command line composes from, and what they say of themselves.

    Args:
        folders: where they are; the first that has a file counts.
    """

    def __init__(self, folders: Sequence[Traversable]) -> None:
        self.folders = folders

    @classmethod
    def of(cls, searched: Sequence[Any]) -> Sources:
        """Return the package's, and folders of a person's own in Hydra's list of what it has searched."""
        own = [Path(str(source.path)) for source in searched if source.schema == "file"]
        return cls([files("metalstm.configs"), *own])

    def text(self, name: str) -> str:
        """Return a file's text; nothing where there is none."""
        for folder in self.folders:
            file = folder.joinpath(f"{name}.yaml")
            if file.is_file():
                return file.read_text(encoding="utf-8")
        group, _, choice = name.rpartition("/")
        return as_yaml(group, choice) if group in registry.GROUPS else ""

    def choices(self, group: str) -> list[str]:
        """Return the names in a group."""
        inner = [folder.joinpath(group) for folder in self.folders]
        found = {file.name for folder in inner if folder.is_dir() for file in folder.iterdir()}
        names = {name.removesuffix(".yaml") for name in found if name.endswith(".yaml") and name[0] not in "_."}
        return sorted({*names, *(registry.registered(group) if group in registry.GROUPS else ())})

    def group_lists(self, choices: Mapping[str, Any]) -> Iterator[str]:
        """For each group, its choices and what each is."""
        for group in choices:
            lines = [row(f"{group}={name}", title(self.text(f"{group}/{name}"))) for name in self.choices(group)]
            yield "\n".join([f"{group.upper()}S{', or none' if choices[group] is None else ''}", *lines])

    def settings(self, config_name: str, values: Mapping[Any, Any], choices: Mapping[str, Any]) -> Iterator[str]:
        """All settings with their values: the command's own in the sections of its file, then those of each group."""
        own = {str(name): value for name, value in values.items() if name not in choices}
        for section, meanings in sections(self.text(config_name)):
            lines = [row(setting(name, own[name]), meaning) for name, meaning in meanings.items() if name in own]
            yield "\n".join([section.upper() or "SETTINGS", *lines])
        for group, choice in choices.items():
            if not isinstance(values.get(group), Mapping):  # an experiment's settings are those of the others
                continue
            explained = self.meanings_of(group, choice)
            lines = [
                row(setting(name, value), explained.get(name.removeprefix(f"{group}."), ""))
                for name, value in flat({group: values[group]}).items()
                if name != f"{group}.name"
            ]
            if lines:
                yield "\n".join([f"{group.upper()}={choice}", *lines])

    def meanings_of(self, group: str, choice: str) -> dict[str, str]:
        """For each setting of a choice of a group, the comment beside it, also in the files that it is made of."""
        text = self.text(f"{group}/{choice}")
        base = [EXPLAINED_BY[group]] if group in EXPLAINED_BY and choice != EXPLAINED_BY[group] else []
        found: dict[str, str] = {}
        for parent in [*base, *re.findall(r"^  - (\w+)$", text, re.MULTILINE)]:
            if parent not in ("_self_", choice):
                found |= self.meanings_of(group, parent)
        return found | {name: comment for name, comment in meanings(text).items() if comment}


def setting(name: str, value: Any) -> str:
    return f"{name}=..." if value == "???" else f"{name}={shown(value)}"


def row(left: str, right: str) -> str:
    """Two columns, the right one as wide as the terminal lets it be."""
    left = f"  {left}"
    if not right:
        return left
    width = max(shutil.get_terminal_size((120, 24)).columns, NARROWEST) - COLUMN
    lines = textwrap.wrap(right, width)
    begin = left.ljust(COLUMN) if len(left) < COLUMN else f"{left}\n{' ' * COLUMN}"
    return f"\n{' ' * COLUMN}".join([begin + lines[0], *lines[1:]])


def title(text: str) -> str:
    """Return what a choice is, in the first words of its file."""
    comments = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    return " ".join(line for line in comments if not line.startswith("@"))


def sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the parts of a command's file, each with a name, or none, and its settings' meanings."""
    text = re.sub(r"^(defaults|hydra):\n(?: .*\n|\n)*", "", text, flags=re.MULTILINE)
    named = re.split(r"^# (.*)\n", text, flags=re.MULTILINE)[1:]
    for name, body in zip(named[::2], named[1::2], strict=True):
        if meanings(body):
            yield ("" if name == named[0] else name.rstrip(".")), meanings(body)


def meanings(text: str) -> dict[str, str]:
    """For each setting at the top of a YAML text, the comment beside it."""
    return dict(re.findall(r"^(\w+):[^#\n]*(?:# (.*))?$", text, re.MULTILINE))
