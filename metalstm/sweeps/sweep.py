"""`metalstm-train -m`: a run for each combination of the given values, and a summary over seeds.

A sweep's directory is named by its command and a job's by its values, so that the same command given again finds what
is there: jobs that are over are left as they are, half-done ones go on, and the rest is run.
"""

from __future__ import annotations

import logging

from metalstm.errors import ConfigError
from metalstm.files.reading import read_json
from metalstm.files.writing import write_atomically, writing
from metalstm.runs.layout import RESULT
from metalstm.runs.lock import RunLock
from metalstm.runs.logs import start_log
from metalstm.sweeps.job import Sweep, failure_of
from metalstm.sweeps.launch import launch, one_by_one
from metalstm.sweeps.summary import Outcome, as_csv, rows, table

log = logging.getLogger(__name__)


def carry_out(sweep: Sweep) -> int:
    """Run what is not over, and writes the summary; the first failed job's exit code, or 0."""
    start_log()
    try:
        sweep.path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # of a path that no system takes, a ValueError
        raise ConfigError.of(
            f"output_dir: {sweep.path} cannot be written: {getattr(error, 'strerror', None) or error}",
            "give output_dir=<a folder of yours>",
        ) from error
    with RunLock(sweep.path):
        over, begun = (sum(getattr(job, name) for job in sweep.jobs) for name in ("over", "begun"))
        log.info("sweep     %s", sweep.path)
        log.info("jobs      %d: %d over, %d half done", len(sweep.jobs), over, begun - over)
        if sweep.launched:
            launch(sweep.jobs, sweep.path, sweep.config)
        else:
            one_by_one(sweep.jobs)
        summarise(sweep)
    failures = [failure for job in sweep.jobs if (failure := failure_of(job)) is not None]
    return failures[0].exit_code if failures else 0


def summarise(sweep: Sweep) -> None:
    """Show and writes the sweep's table."""
    outcomes = []
    for job in sweep.jobs:
        failure = failure_of(job)
        result = read_json(job.path / RESULT) if failure is None else None
        outcomes.append(Outcome(job.path.name, job.swept, result, None if failure is None else failure.reason))
    made = rows(outcomes)
    path = sweep.path / "summary.csv"
    log.info("%s", table(made))
    with writing(path):
        write_atomically(path, as_csv(made).encode("utf-8", errors="replace"))
    log.info("summary   %s", path)
