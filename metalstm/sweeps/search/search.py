"""`metalstm-search`: looks for better settings on meta-validation, by trials that can be stopped and gone on with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from metalstm.config.compose import composed, readable
from metalstm.config.hydra_errors import in_our_words
from metalstm.config.parse import train_settings
from metalstm.config.schema import TrainSettings
from metalstm.config.text import command, flat, plain
from metalstm.errors import ConfigError, DivergedError, Problem
from metalstm.files.paths import expanded
from metalstm.registry import GROUPS, settings_class
from metalstm.runs.lock import RunLock
from metalstm.runs.logs import log_to_file, screen_log
from metalstm.runtime.signals import Interruption
from metalstm.sweeps.search import summary
from metalstm.sweeps.search.plan import Plan, check_searchable, keep_plan
from metalstm.sweeps.search.space import parse
from metalstm.sweeps.search.study import Study, Tried, need_optuna
from metalstm.sweeps.search.trials import Search, trial_directory

log = logging.getLogger(__name__)


def search(given: Sequence[str]) -> None:
    """Begin a search, or go on with it.

    Raises:
        MetalstmError: the settings are wrong, or the search was stopped, or no trial came to anything.
    """
    need_optuna()
    with screen_log():
        trials, folder, plan, settings = understood(given)
        folder.mkdir(parents=True, exist_ok=True)
        with Interruption() as interruption, RunLock(folder):
            keep_plan(folder, plan)
            log_to_file(folder / "search.log")
            run(trials, folder, plan, settings, interruption)


def run(trials: int, folder: Path, plan: Plan, settings: TrainSettings, interruption: Interruption) -> None:
    """All of the trials that are left.

    Args:
        trials: how many there are to be in all.
        folder: of the search.
        plan: what is searched.
        settings: of any trial.
        interruption: asked while one runs.
    """
    regression = settings.dataset.kind == "regression"
    metric = "mse" if regression else "accuracy"
    study = Study(folder, plan.spaces, "minimize" if regression else "maximize", settings.seed, defaults(plan))
    log.info("search    %s", folder)
    log.info("trials    %d of %d over, to %s meta_validation/%s", len(study.over()), trials, study.direction, metric)

    def after(one: Tried) -> None:
        log.info("%s", summary.line(one))
        summary.write(folder, plan, study, metric)

    Search(folder, plan, study, lambda overrides: checked(overrides).steps, interruption).run(trials, after)
    best = study.best()
    if best is None:
        raise DivergedError.of(
            f"none of {len(study.over())} trials is complete", f"see {folder / summary.TABLE} for each one's reason"
        )
    finish(folder, plan, study, best)


def finish(folder: Path, plan: Plan, study: Study, best: Tried) -> None:
    """Says what was found."""
    log.info("the best:")
    for one in study.ranked()[:5]:
        log.info("%s", summary.line(one))
    shares = study.importances()
    if shares:
        log.info("decided   by %s", ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    log.info("table     %s", folder / summary.TABLE)
    log.info("best      %s", folder / summary.BEST)
    log.info("train     %s", summary.command(plan, best.settings))
    log.info("or test   %s", command("metalstm-train", resume=trial_directory(folder, best.number), test_tasks=600))


def understood(given: Sequence[str]) -> tuple[int, Path, Plan, TrainSettings]:
    """Return the command line: how many trials, the search's folder, its plan, and the settings of one trial.

    Raises:
        ConfigError: it is wrong, or the settings at one end of a space are.
    """
    own = {"trials": "20", "search": ""}
    for text in given:
        name, _, value = text.partition("=")
        if name in own:
            own[name] = value
    fixed, spaces = parse(readable([text for text in given if text.partition("=")[0] not in own], sweep=True))
    if not spaces:
        raise ConfigError.of(
            "there is nothing to search: every setting has one value",
            "give some several, e.g. 'outer_lr=tag(log,interval(1e-4,1e-1))'",
        )
    check_searchable(spaces, searched_of(fixed))
    plan = Plan(fixed, spaces)
    if not own["trials"].isdecimal() or not 1 <= int(own["trials"]) < 10**6:
        raise ConfigError.of(f"trials={own['trials']} is no number of trials", "give a whole number, e.g. trials=20")
    problems: list[Problem] = []
    first = [space.ends()[0] for space in spaces]
    settings = None
    for place, space in enumerate(spaces):
        for end in space.ends():
            try:
                settings = settings or checked([*fixed, *first])
                checked([*fixed, *first[:place], end, *first[place + 1 :]])
            except ConfigError as error:
                problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ConfigError(*problems)
    assert settings is not None
    name = f"{settings.dataset.name}_{settings.ways}w{settings.shots}s_{settings.learner.name}_{plan.digest()}"
    folder = own["search"] or Path(settings.output_dir) / "searches" / name
    return int(own["trials"]), expanded(folder, "search", ConfigError), plan, settings


def searched_of(overrides: Sequence[str]) -> frozenset[str]:
    """Return the settings of the dataset chosen that a search may vary."""
    with in_our_words("train"):
        name = composed("train", overrides).dataset.name
    return frozenset(settings_class("dataset", name).searched)


def checked(overrides: Sequence[str]) -> TrainSettings:
    """Return the settings of a run.

    Raises:
        ConfigError: they are wrong.
    """
    with in_our_words("train"):
        return train_settings(composed("train", overrides))


def defaults(plan: Plan) -> dict[str, float | str] | None:
    """Return what the searched settings are without a search, by name; None: one of them is in no space."""
    values = flat(plain(checked(plan.fixed)))
    values |= {group: values[f"{group}.name"] for group in GROUPS}
    found = {space.name: space.placed(values.get(space.name)) for space in plan.spaces}
    return {name: value for name, value in found.items() if value is not None} if None not in found.values() else None
