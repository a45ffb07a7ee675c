"""`--help`: what a command does, its groups, and every setting with its value and its meaning, from the YAML files."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from metalstm.composition import composed
from metalstm.fields import flat, shown

GROUPS = ("dataset", "model", "learner", "experiment")
EXPLAINED_BY = {"learner": "maml"}  # what several choices of a group share is said in one of them
COLUMN = 36  # where meanings begin
NARROWEST = 80


def asked_for(arguments: Sequence[str]) -> bool:
    return "--help" in arguments or "-h" in arguments


def help_text(config_name: str, arguments: Sequence[str]) -> str:
    """The help of a command.

    Args:
        config_name: the command, such as `train`.
        arguments: of its command line; settings and groups in it are shown as chosen.

    Raises:
        HydraException, OmegaConfBaseException: as `composition.composed`.
    """
    from omegaconf import OmegaConf

    config = composed(config_name, [one for one in arguments if not one.startswith("-")], with_hydra=True)
    hydra = config.hydra
    choices = {group: hydra.runtime.choices[group] for group in GROUPS if group in hydra.runtime.choices}
    values = OmegaConf.to_container(OmegaConf.masked_copy(config, [str(name) for name in config if name != "hydra"]))
    assert isinstance(values, dict)
    parts = [hydra.help.header.strip(), *group_lists(choices), *settings(config_name, values, choices)]
    return "\n\n".join([*parts, hydra.help.footer.strip()]) + "\n"


def group_lists(choices: Mapping[str, Any]) -> Iterator[str]:
    """For each group, its choices and what each is."""
    for group in choices:
        names = sorted(item.name.removesuffix(".yaml") for item in files("metalstm.configs").joinpath(group).iterdir())
        lines = [row(f"{group}={name}", title(group, name)) for name in names if not name.startswith("_")]
        yield "\n".join([f"{group.upper()}S{', or none' if choices[group] is None else ''}", *lines])


def settings(config_name: str, values: Mapping[Any, Any], choices: Mapping[str, Any]) -> Iterator[str]:
    """All settings with their values: the command's own in the sections of its file, then those of each group."""
    own = {str(name): value for name, value in values.items() if name not in choices}
    for section, meanings in sections(yaml_text(config_name)):
        lines = [row(setting(name, own[name]), meaning) for name, meaning in meanings.items()]
        yield "\n".join([section.upper() or "SETTINGS", *lines])
    for group, choice in choices.items():
        if values.get(group) is None:  # an experiment's settings are those of the others
            continue
        explained = meanings_of(group, choice)
        lines = [
            row(setting(name, value), explained.get(name.removeprefix(f"{group}."), ""))
            for name, value in flat({group: values[group]}).items()
            if name != f"{group}.name"
        ]
        if lines:
            yield "\n".join([f"{group.upper()}={choice}", *lines])


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


def yaml_text(name: str) -> str:
    return files("metalstm.configs").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def title(group: str, choice: str) -> str:
    """What a choice is, in the first words of its file."""
    comments = [line[2:] for line in yaml_text(f"{group}/{choice}").splitlines() if line.startswith("# ")]
    return " ".join(line for line in comments if not line.startswith("@"))


def sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The parts of a command's file, each with a name, or none, and its settings' meanings."""
    text = re.sub(r"^(defaults|hydra):\n(?: .*\n|\n)*", "", text, flags=re.MULTILINE)
    named = re.split(r"^# (.*)\n", text, flags=re.MULTILINE)[1:]
    for name, body in zip(named[::2], named[1::2], strict=True):
        if meanings(body):
            yield ("" if name == named[0] else name.rstrip(".")), meanings(body)


def meanings(text: str) -> dict[str, str]:
    """For each setting at the top of a YAML text, the comment beside it."""
    return dict(re.findall(r"^(\w+):[^#\n]*(?:# (.*))?$", text, re.MULTILINE))


def meanings_of(group: str, choice: str) -> dict[str, str]:
    """The same for a choice of a group, with what it has from the files that it is made of."""
    text = yaml_text(f"{group}/{choice}")
    base = [EXPLAINED_BY[group]] if choice != EXPLAINED_BY.get(group, choice) else []
    found: dict[str, str] = {}
    for parent in [*base, *re.findall(r"^  - (\w+)$", text, re.MULTILINE)]:
        if parent != "_self_":
            found |= meanings_of(group, parent)
    return found | {name: comment for name, comment in meanings(text).items() if comment}
