"""`metalstm-adapt`: a trained learner learns a person's own task from a few files, and sorts others by it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from metalstm.config.schema import AdaptSettings, TrainSettings
    from metalstm.datasets.base import Dataset
    from metalstm.datasets.files.support_set import OwnExamples
    from metalstm.errors import Problem
    from metalstm.learners.base import Learner
    from metalstm.tasks.examples import Examples

log = logging.getLogger(__name__)


def adapt(config: DictConfig) -> None:
    """Reads a run and a person's files, adapts, and writes what was asked for."""
    from pathlib import Path

    import torch

    from metalstm.config.parse import adapt_settings
    from metalstm.datasets.files.support_set import as_examples, read_query, read_support
    from metalstm.experiment import identity
    from metalstm.experiment.restore import learner_for, open_dataset, reader_of
    from metalstm.runs import logs
    from metalstm.runtime import device

    given = adapt_settings(config)
    check_asked(given)
    path = Path(given.run)
    settings = identity.run_settings(path)
    settings.device, settings.threads, settings.memory_budget = given.device, given.threads, given.memory_budget
    check_run(given, settings)
    logs.start_log()
    device.use_machine(settings.device, settings.threads, settings.memory_budget)
    dataset = open_dataset(path, settings, given.dataset_root, given.allow_changed_data)
    labels: list[str] = []
    support = query = None
    if given.support is not None:
        reader = reader_of(dataset)
        folder = Path(given.support)
        labels, support = read_support(folder, reader)
        check_whole(settings, dataset, folder, support)
        if given.query is not None:
            folder = Path(given.query)
            query = read_query(folder, reader)
            check_whole(settings, dataset, folder, query)
    learner = learner_for(path, settings, dataset, len(labels) if labels else None)
    examples = None if support is None else as_examples(support).to(torch.device(settings.device))
    steps = settings.steps_tested if given.steps is None else given.steps
    if support is not None:
        if settings.steps_are_shots:
            steps = max(support.labels.count(label) for label in support.labels)
        unit = "shots" if settings.steps_are_shots else "steps"
        log.info("support   %d examples of %d labels, %d %s", len(support.names), len(labels), steps, unit)
    if query is not None and support is not None and examples is not None:
        sort_query(given, learner, support, examples, query, labels, steps)
    if given.export is not None:
        export_weights(given, settings, learner, examples, labels, steps)


def check_asked(given: AdaptSettings) -> None:
    """Whether there is anything to do, and where to put it.

    Raises:
        ConfigError: with every problem found.
    """
    from pathlib import Path

    from metalstm.errors import ConfigError, Problem
    from metalstm.evaluation.predict import FORMATS

    problems: list[Problem] = []
    if given.query is not None and given.support is None:
        problems.append(Problem("query, but no support set to learn from", "give support=<a folder with labels>"))
    if given.query is None and given.export is None:
        problems.append(Problem("nothing is asked for", "give support=... and query=..., or export=..."))
    if given.export is not None and not given.export.endswith(".safetensors"):
        problems.append(Problem(f"export={given.export} is no safetensors file", "use export=<name>.safetensors"))
    if given.query is not None:
        if Path(given.out).suffix.lower() not in FORMATS:
            known = ", ".join(f"out=<name>{suffix}" for suffix in FORMATS)
            problems.append(Problem(f"out={given.out}: its ending names no format", f"use one of {known}"))
        problems += unwritable("out", given.out, given.overwrite)
    if given.export is not None:
        problems += unwritable("export", given.export, given.overwrite)
        problems += unwritable("export", card_of(given.export), given.overwrite)
    if problems:
        raise ConfigError(*problems)
    if given.export is not None:
        from metalstm.learners.export import need_safetensors

        need_safetensors()


def unwritable(setting: str, name: str, overwrite: bool) -> list[Problem]:
    """What is wrong with the place of a file that is to be written; a file that is there must be free to overwrite."""
    import os
    from pathlib import Path

    from metalstm.errors import Problem
    from metalstm.files.writing import check_writable

    file = Path(name)
    fix = f"give {setting}=<a file in a folder of yours>"
    if file.exists() and not file.is_file():
        return [Problem(f"{setting}={name} is {'a folder' if file.is_dir() else 'no file'}", fix)]
    if not file.parent.is_dir():
        return [Problem(f"{setting}={name}: there is no folder {file.parent}", fix)]
    try:
        check_writable(file.parent)
    except OSError as error:
        return [Problem(f"{setting}={name}: nothing can be written to {file.parent}: {error.strerror or error}", fix)]
    if os.path.lexists(file) and not overwrite:
        return [Problem(f"{setting}={name}: there is such a file", f"give {setting}=<another>, or overwrite=true")]
    return []


def check_run(given: AdaptSettings, settings: TrainSettings) -> None:
    """Whether the run is one that can do what is asked.

    Raises:
        ConfigError: it cannot.
    """
    from metalstm.dataset_settings import REGRESSION
    from metalstm.errors import ConfigError

    name = settings.dataset.name
    if name in REGRESSION:
        raise ConfigError.of(
            f"run={given.run} was trained on dataset '{name}', which is regression",
            "give a run that tells classes apart",
        )
    if given.steps is not None and settings.steps_are_shots:
        raise ConfigError.of(
            f"steps={given.steps}, but learner={settings.learner.name} takes none: it reads the support set",
            "leave steps out",
        )


def check_whole(settings: TrainSettings, dataset: Dataset, folder: Path, own: OwnExamples) -> None:
    """A perceptron reads all steps at once, and takes examples of one length alone."""
    from metalstm.datasets.files.support_set import check_steps

    if settings.model.name == "mlp" and dataset.steps is not None:
        check_steps(folder, own, dataset.steps)


def sort_query(
    given: AdaptSettings,
    learner: Learner,
    support: OwnExamples,
    examples: Examples,
    query: OwnExamples,
    labels: list[str],
    steps: int,
) -> None:
    """Predicts a label for each query file; prints a table and writes all of it."""
    from pathlib import Path

    from metalstm.datasets.files.support_set import as_examples
    from metalstm.evaluation.predict import FORMATS, Predicted, as_table, predict
    from metalstm.runs.layout import shown_if_lost

    asked = as_examples(query).to(examples.inputs.device)
    predicted = Predicted(query.names, labels, predict(learner, examples, asked, steps, len(labels)))
    log.info("%s", as_table(predicted, support.labels))
    data = FORMATS[Path(given.out).suffix.lower()](predicted)
    with shown_if_lost(data.decode("utf-8", errors="replace")):
        write("out", given.out, data)
    log.info("written   %s", given.out)


def export_weights(
    given: AdaptSettings,
    settings: TrainSettings,
    learner: Learner,
    examples: Examples | None,
    labels: list[str],
    steps: int,
) -> None:
    """Writes the weights, and the card beside them."""
    from pathlib import Path

    from metalstm.learners.export import export

    assert given.export is not None
    file = Path(given.export)
    exported = export(learner, settings.learner.name, examples, steps, labels, f"run {given.run}", file)
    write("export", given.export, exported.weights)
    write("export", card_of(given.export), exported.card.encode("utf-8", errors="replace"))
    log.info("written   %s and %s", file, card_of(given.export))


def card_of(export: str) -> str:
    """The file beside exported weights that says what they are."""
    return export.removesuffix(".safetensors") + ".md"


def write(setting: str, name: str, data: bytes) -> None:
    """Writes a file that is whole or not there.

    Raises:
        ConfigError: it cannot be written.
    """
    from pathlib import Path

    from metalstm.errors import ConfigError
    from metalstm.files.writing import write_atomically

    try:
        write_atomically(Path(name), data)
    except OSError as error:
        raise ConfigError.of(
            f"{setting}={name} cannot be written: {error.strerror or error}",
            f"make room, or give {setting}=<a file in a folder of yours>",
        ) from error
