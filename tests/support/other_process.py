"""`metalstm-train` as on a host with other data, weights or versions: `python other_process.py WHAT ARGUMENTS`."""

from __future__ import annotations

import sys
from typing import Any

import torch

from metalstm.cli import train
from metalstm.datasets.images.glyphs import GlyphsSettings, load_glyphs
from metalstm.experiment import build_learner, experiment
from metalstm.learners.base import Learner

make_learner = build_learner.make_learner


def almost(*given: Any) -> Learner:
    """A learner of which one weight is another, by its last bits."""
    learner = make_learner(*given)
    with torch.no_grad():
        next(learner.parameters()).view(-1)[0] *= 1 + 1e-6
    return learner


if __name__ == "__main__":
    what = sys.argv.pop(1)
    if what == "data":
        GlyphsSettings.load = lambda given: load_glyphs(given.classes, given.examples, given.seed + 1)  # type: ignore[method-assign]
    elif what == "weights":
        experiment.make_learner = almost
    elif what == "versions":
        torch.__version__ = "1.0"
    train.main()
