"""Where the parts do their work: a folder, and for each learner a run that nothing stops, made when first asked for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stress.torture.run import Run
from stress.torture.states import EndState


class Workshop:
    """A folder for runs.

    Args:
        folder: for everything.
        seed: of all that is drawn.
        most: processes that a part stops, at most.
        cache: an `$XDG_CACHE_HOME` of the runs; None: one of their own.
    """

    def __init__(self, folder: Path, seed: int, most: int, cache: Path | None = None) -> None:
        self.folder = folder
        self.seed = seed
        self.most = most
        self.cache = folder / "cache" if cache is None else cache
        self.references: dict[str, EndState] = {}
        self.made = 0

    def random(self, part: str) -> random.Random:
        """A stream of its own for each part, so that what one draws does not depend on which others run."""
        return random.Random(f"{self.seed}/{part}")

    def new_run(self, learner: str, **changes: Any) -> Run:
        self.made += 1
        return Run(self.folder / f"run_{self.made:04d}", learner, self.cache, **changes)

    def reference(self, learner: str, environment: Mapping[str, str] | None = None) -> EndState:
        """How a run ends that nothing stopped."""
        if learner not in self.references or environment is not None:
            self.references[learner] = self.new_run(learner).finish(environment)
        return self.references[learner]
