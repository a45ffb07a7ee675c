"""MLflow: all runs in one SQLite file in the output folder, which `mlflow ui` shows."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what is tracked stays on this machine

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from metalstm.config.text import shown
from metalstm.files.writing import TEMPORARY
from metalstm.registry import register
from metalstm.tracking.base import Ending, Record, TrackedRun, Tracker

DATABASE = "mlflow.db"
EXPERIMENT = "metalstm"
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100  # that MLflow takes


@register("tracker", "mlflow")
class MLflow(Tracker):
    """Keeps a run under the id that its directory remembers.

    MLflow has a metric's value at a step as often as it is logged, and cannot take one back. So what it has is not
    logged again: steps that a killed run does once more give the same values, unless on a GPU or with another number of
    processes or threads, where MLflow keeps those from before the kill and `metrics.jsonl` has those that count.
    """

    client: Any
    run_id: str
    known: set[tuple[str, int]]  # names and steps that it has

    def begin(self, run: TrackedRun) -> None:
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)  # tables made, versions found: nothing for a run's screen
        self.client = MlflowClient(tracking_uri(run))
        known = self.find(run)
        if known is None:
            tags = {"metalstm.run": str(run.path.absolute())}
            known = self.client.create_run(self.experiment(run), run_name=run.name, tags=tags)
            run.remember_id("mlflow", known.info.run_id)
        self.run_id = known.info.run_id
        self.client.update_run(self.run_id, status="RUNNING")
        self.log_settings(run.settings, known.data.params)
        self.known = {
            (name, metric.step)
            for name in known.data.metrics
            for metric in self.client.get_metric_history(self.run_id, name)
        }

    def find(self, run: TrackedRun) -> Any:
        """Return the run, if it has been tracked here before."""
        run_id = run.known_id("mlflow")
        try:
            return None if run_id is None else self.client.get_run(run_id)
        except MlflowException:  # the database is another one
            return None

    def experiment(self, run: TrackedRun) -> str:
        """Return the id of what all runs are in."""
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                artifacts = (run.output_dir.absolute() / "mlflow_artifacts").as_uri()
                return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifacts))
            except MlflowException:  # another process has just made it
                found = self.client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id)

    def log_settings(self, settings: Mapping[str, Any], known: Mapping[str, str]) -> None:
        """Log settings as parameters; those that a resumed run has changed as a tag, as parameters cannot change."""
        texts = {name: shown(value) for name, value in settings.items()}
        new = [Param(name, text) for name, text in texts.items() if name not in known]
        for first in range(0, len(new), PARAMS_AT_ONCE):
            self.client.log_batch(self.run_id, params=new[first : first + PARAMS_AT_ONCE])
        changed = [f"{name}={text}" for name, text in texts.items() if known.get(name, text) != text]
        if changed:
            self.client.set_tag(self.run_id, "metalstm.resumed_with", " ".join(changed))

    def log(self, records: Sequence[Record]) -> None:
        metrics = []
        for record in records:
            for name, value in record.values.items():
                if (name, record.step) not in self.known:
                    self.known.add((name, record.step))
                    metrics.append(Metric(name, value, int(1000 * record.time), record.step))
        for first in range(0, len(metrics), METRICS_AT_ONCE):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + METRICS_AT_ONCE])

    def end(self, ending: Ending) -> None:
        self.client.set_terminated(self.run_id, STATUS[ending])


def tracking_uri(run: TrackedRun) -> str:
    """Where runs are kept: in `<output folder>/mlflow.db`, unless MLflow's own variable names another place."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if named:
        return named
    path = run.output_dir.absolute() / DATABASE
    if not path.exists():
        make_database(path)
    return f"sqlite:///{path}"


def make_database(path: Path) -> None:
    """Make an empty database, which is whole or not there.

    MLflow takes seconds for it, and can do nothing with one that a process killed meanwhile has left.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        MlflowClient(f"sqlite:///{temporary}")
        with suppress(FileExistsError):  # another process has made it
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
