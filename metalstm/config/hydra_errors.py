"""Hydra's errors, and the system's, in the words of this package."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from metalstm.config.compose import setting_names
from metalstm.config.extras import install
from metalstm.config.text import did_you_mean, pasted
from metalstm.errors import ConfigError, MetalstmError, Problem, unusable
from metalstm.registry import GROUPS


def as_ours(error: Exception, config_name: str) -> MetalstmError | None:
    """Return an error as one that the person at the command line can mend; None: it is a mistake of this program."""
    if isinstance(error, MetalstmError):
        return error
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return ConfigError(config_problem(error, config_name))
    if isinstance(error, BrokenPipeError):  # see `run_command`
        return None
    if isinstance(error, OSError):  # such as of a sweep's directory, which Hydra makes
        return unusable(error)
    if out_of_memory(error):
        return ConfigError.of(
            f"there is not enough memory: {str(error).splitlines()[0] if str(error) else 'none is left'}",
            "use a smaller memory_budget, a smaller model, or fewer inner steps",
        )
    return None


@contextmanager
def in_our_words(config_name: str) -> Iterator[None]:
    """Open a context in which whatever a person can mend is raised as one of our errors.

    Raises:
        MetalstmError: in place of Hydra's errors, the system's, and those of memory.
    """
    try:
        yield
    except Exception as raised:
        error = as_ours(raised, config_name)
        if error is None or error is raised:
            raise
        raise error from None if os.environ.get("METALSTM_DEBUG") != "1" else raised


def out_of_memory(error: Exception) -> bool:
    """Whether a tensor or an object was too large for the machine; torch has an error of its own for GPUs alone."""
    said = (
        "can't allocate memory",
        "out of memory",
        "Storage size calculation overflowed",
        "integer multiplication overflow",
    )
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(one in str(error) for one in said)
    )


def launcher_remedy(choice: str) -> str:
    """Return what to do about a launcher that is not there, such as `joblib`, which `cores` is made of."""
    library = choice.split("_")[0]
    if library in ("joblib", "submitit", "ray"):
        return install(library)
    ours = {"cores": "joblib", "slurm": "submitit", "cluster": "ray"}
    return "use hydra/launcher=" + ", or ".join(f"{name} ({install(extra)})" for name, extra in ours.items())


def unknown_setting(name: str, known: list[str]) -> Problem:
    """Return what is wrong with a name that is no setting.

    Args:
        name: as it was given.
        known: all settings of the command, and its groups.
    """
    group, parted, rest = name.partition(".")
    siblings = [one.partition(".")[2] for one in known if one.startswith(f"{group}.")]
    if parted and siblings and (rest in siblings or "did you mean" not in did_you_mean(rest, siblings)):
        return Problem(f"{name} is no setting of the chosen {group}", f"leave it out, or choose another {group}")
    for group in GROUPS:  # such as dataset_root, which other commands have
        if group in known and name.startswith(f"{group}_") and name not in known:
            return Problem(f"{name} is no setting", f"did you mean {group}.{name.removeprefix(f'{group}_')}?")
    return Problem(f"{name} is no setting", did_you_mean(name, known))


def config_problem(error: Exception, config_name: str) -> Problem:
    """Return what Hydra found wrong with the command line, in our words where we know better ones."""
    text = str(error)
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return unknown_setting(unknown.group(1), setting_names(config_name))
    no_folder = re.search(r"Additional config directory '([^']*)' not found", text)
    if no_folder:
        return Problem(f"--config-dir: there is no folder {no_folder.group(1)}", "name a folder of configs of your own")
    no_config = re.search(r"Cannot find primary config '([^']*)'", text)
    if no_config:
        fix = "name a file in --config-dir=<folder>, without its .yaml"
        return Problem(f"--config-name={no_config.group(1)}: there is no such config", fix)
    missing = re.search(r"Could not find '([^']+)/([^'/]+)'", text)
    if missing:
        group, choice = missing.groups()
        if group == "hydra/launcher":
            return Problem(f"{group}={choice} is not there", launcher_remedy(choice))
        available = re.search(r"Available options in '[^']+':\n((?:\t.*\n?)+)", text)
        listed = ", ".join(available.group(1).split()) if available else "none"
        return Problem(f"{group}={choice} is unknown", f"use {group}=<one of {listed}>")
    if text.startswith("Config group override must be"):  # learner=null
        return Problem("a group is null or a number", "use group=<name>; --help lists the names")
    unreadable = getattr(error, "override", None)
    if unreadable is not None and "Ambiguous value" not in text:
        name, equals, value = str(unreadable).partition("=")
        form = f"quote the value for Hydra, and all of it for the shell: {pasted(name, value)}"
        return Problem(f"'{unreadable}' cannot be read", form if equals else "write name=value")
    ambiguous = re.search(r"Ambiguous value for argument '([^']+)'", text)
    if ambiguous:
        return Problem(
            f"{ambiguous.group(1)} gives several values", "give one value, or run them all with metalstm-train -m"
        )
    if "Interpolation" in type(error).__name__:
        return Problem(text.splitlines()[0], r"write \${ for ${ as it stands; ${NAME} is another setting's value")
    first, *rest = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, (KeyError, AssertionError, RecursionError)):  # whose own words say little
        first = f"Hydra cannot use this command line: {type(error).__name__}: {first}"
    return Problem(first, " ".join(rest) or "see --help; name=value sets a value, group=choice picks a group")
