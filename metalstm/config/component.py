"""The settings of a component: a dataset, a model or a learner. Each has its own in its file, by these rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metalstm.errors import Problem


@dataclass(kw_only=True)
class ComponentSettings:
    """The settings of one component, with what the component can do as attributes of their class.

    Args:
        name: of the component, as in `learner=<name>`.
    """

    name: str

    def values(self) -> dict[str, Any]:
        """Return the plain values that the component is made of."""
        return {name: value for name, value in vars(self).items() if name != "name"}

    def problems(self, run: Any) -> Iterator[Problem]:
        """Yield what does not go together with the other settings of a run; each is in bounds by itself."""
        return iter(())
