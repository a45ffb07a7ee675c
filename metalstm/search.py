"""`metalstm-search`: looks for better settings on meta-validation, by trials that can be stopped and gone on with."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metalstm.arguments import version_option
from metalstm.command import ending_with_errors, in_our_words

if TYPE_CHECKING:
    from pathlib import Path

    from metalstm.config import TrainSettings
    from metalstm.run.interruption import Interruption
    from metalstm.searching.plan import Plan
    from metalstm.searching.study import Study, Tried

log = logging.getLogger(__name__)

USAGE = "metalstm-search SETTING... [trials=20] [search=DIR]"
HELP = """\
Settings are those of metalstm-train, name=value. One that has several values is searched:

  'outer_lr=interval(1e-4,1e-1)'            any number in between
  'outer_lr=tag(log,interval(1e-4,1e-1))'   on a logarithmic scale, as rates want it
  'learner.inner_steps=int(interval(1,5))'  a whole number, 1 and 5 included
  'learner.inner_steps=range(1,5)'          the same, 5 not included; range(1,9,2): 1, 3, 5, 7
  model.pooling=last,mean                   one of these; 'model.pooling=choice(last,mean)' is the same

EXAMPLES
  metalstm-search dataset=sinusoid ways=1 shots=5 steps=500 validate_every=100 \\
      'outer_lr=tag(log,interval(1e-4,1e-1))' 'learner.inner_lr=tag(log,interval(1e-3,1))'
  metalstm-search learner=maml,anil 'model.hidden_size=range(32,129,32)' trials=50 search=outputs/searches/mine

The same command given again goes on until there are so many trials: a trial that was stopped goes on in its run
directory, and what is over is not run again. More trials may be asked for at any time.

A trial is a run in a process of its own, DIR/trial_<number>, and is judged by its best meta-validation; meta-test
stays unseen. The first one has the settings that the command would have without spaces, where these are in them; the
others are Optuna's (TPE). One that does worse at a meta-validation than the median of the complete ones did is pruned
(from the fifth complete one on), and one that diverges has failed; neither stops the search. With validate_every
several times smaller than steps there is more to prune.

DIR is OUTPUT_DIR/searches/<dataset>_<ways>w<shots>s_<learner>_<digest of the settings> unless named. It holds
trials.md (all trials), best.yaml (the best one, and the command that trains with its settings), search.log and
search.db (Optuna's; optuna-dashboard can show it).
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="metalstm-search",
        usage=USAGE,
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    version_option(parser)
    parser.add_argument("settings", nargs="+", metavar="SETTING", help="name=value, or a space to search; see below")
    with ending_with_errors():
        given = parser.parse_args().settings
        with in_our_words("train"):
            search(given)


def search(given: Sequence[str]) -> None:
    """A search, begun or gone on with.

    Raises:
        MetalstmError: the settings are wrong, or the search was stopped, or no trial came to anything.
    """
    from metalstm.run.directory import log_to_file, screen_log
    from metalstm.run.interruption import Interruption
    from metalstm.run.lock import RunLock
    from metalstm.searching.plan import keep_plan
    from metalstm.searching.study import need_optuna

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
    from metalstm.dataset_settings import REGRESSION
    from metalstm.errors import DivergedError
    from metalstm.searching import summary
    from metalstm.searching.study import Study
    from metalstm.searching.trials import Search

    regression = settings.dataset.name in REGRESSION
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
    from metalstm.fields import command
    from metalstm.searching import summary
    from metalstm.searching.trials import trial_directory

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
    """The command line: how many trials, the search's folder, its plan, and the settings of one trial.

    Raises:
        ConfigError: it is wrong, or the settings at one end of a space are.
    """
    from pathlib import Path

    from metalstm.composition import readable
    from metalstm.errors import ConfigError, Problem
    from metalstm.files import expanded
    from metalstm.searching.plan import Plan, check_searchable
    from metalstm.searching.space import parse

    own = {"trials": "20", "search": ""}
    for text in given:
        name, _, value = text.partition("=")
        if name in own:
            own[name] = value
    fixed, spaces = parse(readable([text for text in given if text.partition("=")[0] not in own], sweep=True))
    check_searchable(spaces)
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


def checked(overrides: Sequence[str]) -> TrainSettings:
    """The settings of a run.

    Raises:
        ConfigError: they are wrong.
    """
    from metalstm.composition import composed
    from metalstm.config import train_settings

    with in_our_words("train"):
        return train_settings(composed("train", overrides))


def defaults(plan: Plan) -> dict[str, float | str] | None:
    """What the searched settings are without a search, by name; None: one of them is in no space."""
    from metalstm.config import GROUPS
    from metalstm.fields import flat, plain

    values = flat(plain(checked(plan.fixed)))
    values |= {group: values[f"{group}.name"] for group in GROUPS}
    found = {space.name: space.placed(values.get(space.name)) for space in plan.spaces}
    return {name: value for name, value in found.items() if value is not None} if None not in found.values() else None


if __name__ == "__main__":
    main()
