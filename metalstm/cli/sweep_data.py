"""The data of a sweep's jobs, and what they are made of: checked before the first job, each dataset read once."""

from __future__ import annotations

from collections.abc import Sequence

from metalstm.cli.sweep_checks import Refusals
from metalstm.config.schema import TrainSettings
from metalstm.experiment.experiment import check_start
from metalstm.experiment.resume import check_fingerprint
from metalstm.experiment.session import warm_start
from metalstm.sweeps.job import Job


def check_data(left: Sequence[tuple[Job, TrainSettings]], refusals: Refusals) -> None:
    """As `check`, of the jobs that are not over, once their settings are in order; each dataset is made once."""
    by_dataset: dict[str, list[tuple[Job, TrainSettings]]] = {}
    for job, settings in left:
        by_dataset.setdefault(repr(settings.dataset), []).append((job, settings))
    for alike in by_dataset.values():
        dataset = None
        with refusals.of(*(job for job, _ in alike)):
            dataset = alike[0][1].dataset.load()
        for job, settings in alike if dataset else []:
            with refusals.of(job):
                experiment = check_start(settings, dataset)
                if job.begun:
                    check_fingerprint(job.path, dataset, settings.allow_changed_data)
                else:
                    warm_start(experiment, None)
    refusals.say()
