"""TensorBoard: an event file in the run's directory; `tensorboard --logdir outputs` shows all runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

from google.protobuf.json_format import ParseDict
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter

from metalstm.config.text import shown
from metalstm.registry import register
from metalstm.tracking.base import Ending, Record, TrackedRun, Tracker

FOLDER = "tensorboard"


@register("tracker", "tensorboard")
class TensorBoard(Tracker):
    """Writes a new event file at each start: a killed process leaves half an event, and events of steps done again."""

    file: BinaryIO
    events: Any

    def begin(self, run: TrackedRun) -> None:
        folder = run.path / FOLDER
        folder.mkdir(exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        now = time.time()
        self.file = (folder / f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}").open("xb")
        self.events = RecordWriter(self.file)
        self.write(Event(wall_time=now, file_version="brain.Event:2"))
        self.write(Event(wall_time=now, summary=hyperparameters(run)))

    def log(self, records: Sequence[Record]) -> None:
        for record in records:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in record.values.items()]
            self.write(Event(step=record.step, wall_time=record.time, summary=Summary(value=values)))
        self.file.flush()

    def end(self, ending: Ending) -> None:
        self.file.close()

    def write(self, event: Any) -> None:
        self.events.write(event.SerializeToString())


def hyperparameters(run: TrackedRun) -> Any:
    """Return the settings, for TensorBoard's HPARAMS, where runs are compared by them."""
    start = SessionStartInfo(group_name=run.name, start_time_secs=time.time())
    for name, value in run.settings.items():
        ParseDict(shown(value) if value is None or isinstance(value, list) else value, start.hparams[name])
    content = metadata.create_summary_metadata(HParamsPluginData(session_start_info=start))
    tag = metadata.SESSION_START_INFO_TAG
    return Summary(value=[Summary.Value(tag=tag, metadata=content, tensor=metadata.NULL_TENSOR)])
