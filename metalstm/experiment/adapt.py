"""Adapt a trained learner to a person's own task from a few files, and sort others by it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from metalstm.config.parse import adapt_settings
from metalstm.config.schema import AdaptSettings, TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.files.support_set import OwnExamples, as_examples, check_steps, read_query, read_support
from metalstm.errors import ConfigError
from metalstm.evaluation.predict import FORMATS, Predicted, as_table, predict
from metalstm.experiment.build_learner import model_shape
from metalstm.experiment.identity import run_settings
from metalstm.experiment.restore import learner_for, open_dataset, reader_of
from metalstm.files.paths import card_of
from metalstm.files.writing import write_atomically
from metalstm.learners.base import Learner
from metalstm.learners.export import export, need_safetensors
from metalstm.runs.layout import shown_if_lost
from metalstm.runs.logs import start_log
from metalstm.runtime.device import use_machine
from metalstm.tasks.examples import Examples

log = logging.getLogger(__name__)


def adapt(config: DictConfig) -> None:
    """Read a run and a person's files, adapt, and write what was asked for."""
    given = adapt_settings(config)
    path = Path(given.run)
    settings = run_settings(path, given.plugins)
    settings.device, settings.threads, settings.memory_budget = given.device, given.threads, given.memory_budget
    check_run(given, settings)
    if given.export is not None:
        need_safetensors()
    start_log()
    use_machine(settings.device, settings.threads, settings.memory_budget)
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


def check_run(given: AdaptSettings, settings: TrainSettings) -> None:
    """Whether the run is one that can do what is asked.

    Raises:
        ConfigError: it cannot.
    """
    name = settings.dataset.name
    if settings.dataset.kind == "regression":
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
    """Refuse examples of several lengths for a model that reads all steps at once, as a perceptron does."""
    if model_shape(settings, dataset).one_length and dataset.steps is not None:
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
    """Write the weights, and the card beside them."""
    assert given.export is not None
    file = Path(given.export)
    exported = export(learner, settings.learner.name, examples, steps, labels, f"run {given.run}", file)
    write("export", given.export, exported.weights)
    write("export", card_of(given.export), exported.card.encode("utf-8", errors="replace"))
    log.info("written   %s and %s", file, card_of(given.export))


def write(setting: str, name: str, data: bytes) -> None:
    """Write a file that is whole or not there.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        write_atomically(Path(name), data)
    except OSError as error:
        raise ConfigError.of(
            f"{setting}={name} cannot be written: {error.strerror or error}",
            f"make room, or give {setting}=<a file in a folder of yours>",
        ) from error
