"""Meta-learning with LSTMs: meta-train, adapt to unseen tasks, and measure how fast they are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metalstm.api import Run as Run
    from metalstm.api import load as load
    from metalstm.api import meta_train as meta_train

__version__ = "0.2.0"
__all__ = ["Run", "load", "meta_train"]


def __getattr__(name: str) -> Any:
    """Return what Python is to use of this package, imported when it is first asked for."""
    if name in __all__:
        from metalstm import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
