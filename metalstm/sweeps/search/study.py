"""The memory of a search: Optuna's study, in a file that a killed search goes on from."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, Trial

from metalstm.config.extras import install
from metalstm.errors import CheckpointError, ConfigError
from metalstm.sweeps.search.process import Validated
from metalstm.sweeps.search.space import Space

DATABASE = "search.db"
NAME = "search"
# Trials that are to be complete before one is pruned: a median of fewer says little.
COMPLETE_FIRST = 5
Direction = Literal["minimize", "maximize"]
State = Literal["complete", "pruned", "failed"]


class Tried(NamedTuple):
    """A trial that is over."""

    number: int
    state: State
    value: float | None  # the best on meta-validation, where the trial is complete
    step: int | None  # of that value, or that it was pruned at
    reason: str | None  # that it failed for
    settings: dict[str, float | str]  # by name


class Study:
    """The trials of a search, over and under way.

    Which settings a trial has depends on the seed, its number and the trials before it, and on nothing else, so that a
    search that was killed and gone on with is the one never stopped.

    Args:
        folder: of the search.
        spaces: what is searched.
        direction: of better.
        seed: of what the sampler draws.
        defaults: settings to try first, by name; None: they are not in the spaces.

    Raises:
        CheckpointError: the file is there and cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        spaces: Sequence[Space],
        direction: Direction,
        seed: int,
        defaults: Mapping[str, float | str] | None,
    ) -> None:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = (folder / DATABASE).absolute()
        self.spaces = spaces
        self.direction = direction
        self.seed = seed
        try:
            self.study: OptunaStudy = optuna.create_study(
                storage=f"sqlite:///{path}",
                study_name=NAME,
                direction=direction,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=COMPLETE_FIRST),
                load_if_exists=True,
            )
            if defaults is not None and not self.study.trials:
                self.study.enqueue_trial(dict(defaults))
        except (SQLAlchemyError, RuntimeError, AssertionError) as error:
            raise CheckpointError.of(
                f"{path} cannot be used: {str(error).splitlines()[0]}", "remove it, or give search=<another folder>"
            ) from error

    def over(self) -> list[Tried]:
        """Return the trials that are over, by number."""
        return [tried(trial) for trial in self.study.trials if trial.state.is_finished()]

    def next(self) -> TrialUnderWay:
        """Return the trial that a killed search has left, or a new one."""
        import optuna

        left = self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        number = left[0].number if left else sum(trial.state.is_finished() for trial in self.study.trials)
        digest = hashlib.sha256(repr((self.seed, "search", number)).encode()).digest()
        self.study.sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "little"))
        trial = optuna.trial.Trial(self.study, left[0]._trial_id) if left else self.study.ask()
        return TrialUnderWay(self, trial, {space.name: space.suggest(trial) for space in self.spaces})

    def best(self) -> Tried | None:
        """Return the best trial so far; None: none is complete."""
        return next((one for one in self.ranked() if one.state == "complete"), None)

    def ranked(self) -> list[Tried]:
        """Return the trials that are over, the best first; pruned and failed ones last."""
        sign = 1 if self.direction == "minimize" else -1
        return sorted(self.over(), key=lambda one: math.inf if one.value is None else sign * one.value)

    def importances(self) -> dict[str, float]:
        """Return the part of each setting in being good (Watanabe et al. 2023); empty if too little is known."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

        if len(self.spaces) < 2 or sum(one.state == "complete" for one in self.over()) < 2 * COMPLETE_FIRST:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is new in Optuna
            return dict(get_param_importances(self.study, evaluator=PedAnovaImportanceEvaluator()))


class TrialUnderWay:
    """A trial that is not over.

    Args:
        study: that it is of.
        trial: Optuna's.
        settings: by name.
    """

    def __init__(self, study: Study, trial: Trial, settings: dict[str, float | str]) -> None:
        self.study = study
        self.trial = trial
        self.settings = settings
        self.number = trial.number
        self.reported: dict[int, float] = study.study.trials[trial.number].intermediate_values  # by step

    def report(self, found: Validated) -> None:
        """Write a meta-validation down, once however often it is reported."""
        if found.step not in self.reported:
            self.trial.report(found.value, found.step)
            self.reported[found.step] = found.value

    def hopeless(self) -> bool:
        """Whether it is worse so far than the median of the complete trials was at this step."""
        return self.trial.should_prune()

    def complete(self) -> Tried:
        """End it with its best meta-validation, or as failed where none is a number."""
        finite = {step: value for step, value in self.reported.items() if math.isfinite(value)}
        if not finite:
            return self.diverge("meta-validation is not finite")
        better = min if self.study.direction == "minimize" else max
        step = better(finite, key=lambda step: finite[step])
        return self.tell("complete", finite[step], step=step)

    def prune(self, step: int) -> Tried:
        return self.tell("pruned", step=step)

    def diverge(self, reason: str) -> Tried:
        """End it as failed. To Optuna it is pruned, so that settings like these are known as bad and left alone."""
        return self.tell("pruned", reason=reason)

    def fail(self, reason: str) -> Tried:
        """End it as failed, which says nothing of its settings."""
        return self.tell("failed", reason=reason)

    def tell(self, state: State, value: float | None = None, **attributes: Any) -> Tried:
        """End it; what is said of it is written before that."""
        for name, attribute in attributes.items():
            self.trial.set_user_attr(name, attribute)
        return tried(self.study.study.tell(self.trial, value, optuna_states()[state]))


def optuna_states() -> dict[State, Any]:
    from optuna.trial import TrialState

    return {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def tried(trial: FrozenTrial) -> Tried:
    (state,) = (name for name, state in optuna_states().items() if state == trial.state)
    step, reason = (trial.user_attrs.get(name) for name in ("step", "reason"))
    value = trial.value if state == "complete" else None
    return Tried(trial.number, state if reason is None else "failed", value, step, reason, dict(trial.params))


def need_optuna() -> None:
    """Make sure of Optuna.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError.of("a search takes Optuna, which is not installed", install("search"))
