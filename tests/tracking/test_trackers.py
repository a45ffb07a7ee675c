"""TensorBoard, MLflow and Weights & Biases, read back by their own means: they have what `metrics.jsonl` has."""

from __future__ import annotations

import json
import struct
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto import wandb_internal_pb2

from metalstm.tracking import mlflow
from metalstm.tracking.base import Record, TrackedRun, result_values
from metalstm.tracking.follow import LIBRARIES, make_tracker
from support.commands import only_run, tiny

Curves = dict[str, list[tuple[int, float]]]  # by name: steps and values


def in_file(run: Path) -> Curves:
    """What a run's own files have."""
    curves: Curves = defaultdict(list)
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        step = record.pop("step")
        for name, value in record.items():
            curves[name].append((step, value))
    if (run / "result.json").exists():
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        for name, value in result_values(result).items():
            curves[name].append((result["training"]["steps"], value))
    return dict(curves)


def in_tensorboard(run: Path, store: Path) -> Curves:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    assert b"dataset.name" in events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def in_mlflow(run: Path, store: Path) -> Curves:
    client = MlflowClient(f"sqlite:///{store.absolute() / 'mlflow.db'}")
    (tracked,) = [one for one in all_in_mlflow(client) if one.data.tags["metalstm.run"] == str(run.absolute())]
    assert tracked.data.params["dataset.name"] == "glyphs"
    histories = {name: client.get_metric_history(tracked.info.run_id, name) for name in tracked.data.metrics}
    return {name: sorted((point.step, point.value) for point in points) for name, points in histories.items()}


def all_in_mlflow(client: MlflowClient) -> Any:
    return client.search_runs([client.get_experiment_by_name("metalstm").experiment_id])


def in_wandb(run: Path, store: Path) -> Curves:
    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    for _ in range(200):  # a process of the library's own writes; it may be a moment behind
        records = [(record.WhichOneof("record_type"), record) for record in wandb_records(path.read_bytes())]
        if "exit" in dict(records):
            break
        time.sleep(0.05)
    curves: Curves = defaultdict(list)
    for kind, record in records:
        if kind == "history":
            values = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for name, value in values.items():
                if not name.startswith("_"):
                    curves[name].append((values["_step"], value))
    return dict(curves)


def wandb_records(data: bytes) -> Iterator[Any]:
    """The records in a .wandb file, which is a LevelDB log: blocks of 32 KiB, records in pieces."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


READ = {"tensorboard": in_tensorboard, "mlflow": in_mlflow, "wandb": in_wandb}


def check(found: Curves, wanted: Curves) -> None:
    """The same names, the same steps, each once, and values to within float32."""
    assert found.keys() == wanted.keys()
    for name, points in wanted.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in points], rel=1e-6), name


def test_a_run_tracked_by_all_and_gone_on_with(
    in_process: Any,
) -> None:
    assert set(READ) == set(LIBRARIES)
    ended = in_process("train", *tiny(steps=4), "logger=tensorboard+mlflow+wandb")
    assert (ended.code, ended.err) == (0, "")
    assert "warning" not in ended.out
    assert "tracked   tensorboard --logdir outputs\n" in ended.out
    run, store = only_run(Path()), Path("outputs")
    wanted = in_file(run)
    assert {"meta_train/loss", "meta_validation/accuracy", "meta_test/accuracy", "meta_test/scratch_accuracy"} <= set(
        wanted
    )
    for read in READ.values():
        check(read(run, store), wanted)

    ended = in_process("train", f"resume={run}", "steps=6")  # goes on being tracked
    assert (ended.code, ended.err) == (0, "")
    assert "warning" not in ended.out
    earlier = {name: points for name, points in wanted.items() if name.startswith("meta_test/")}
    wanted = in_file(run)
    assert wanted["meta_train/loss"][-1][0] == 6
    check(in_tensorboard(run, store), wanted)
    check(in_wandb(run, store), wanted)
    # MLflow takes nothing back, and so has the result after four steps as well.
    check(in_mlflow(run, store), {name: earlier.get(name, []) + points for name, points in wanted.items()})
    client = MlflowClient(f"sqlite:///{store.absolute() / 'mlflow.db'}")
    (tracked,) = all_in_mlflow(client)  # one run still
    assert tracked.info.status == "FINISHED"
    assert (tracked.data.params["steps"], tracked.data.tags["metalstm.resumed_with"]) == ("4", "steps=6")


def test_a_tracker_that_comes_later_has_the_whole_run(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    in_process("train", *tiny(steps=2, scratch_tasks=0))
    run = only_run(Path())
    assert {path.name for path in run.iterdir()} & {"tensorboard", "mlflow.json", "wandb"} == set()
    ended = in_process("train", f"resume={run}", "steps=4", "logger=tensorboard")
    assert ended.code == 0
    assert "changed: logger from none to tensorboard" in ended.out
    check(in_tensorboard(run, Path()), in_file(run))
    ended = in_process("train", f"resume={run}", "steps=5", "logger=none")
    assert ended.code == 0
    assert "logger: none" in (run / "config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LIBRARIES)
def test_steps_that_a_killed_run_does_again_are_there_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "outputs" / "glyphs_5w1s_maml" / "2026-01-31T00-00-00-000000"
    path.mkdir(parents=True)
    run = TrackedRun(path, tmp_path / "outputs", {"dataset.name": "glyphs", "steps": 8, "train_ways": None})
    records = [Record(step, {"meta_train/loss": 1 / step}, 1e9 + step) for step in range(1, 9)]
    killed = make_tracker(name)
    killed.begin(run)
    killed.log(records[:3])
    killed.log(records[3:6])
    if name == "wandb":
        killed.end("interrupted")  # its own process, or there would be two
    resumed = make_tracker(name)
    resumed.begin(run)
    later = [record._replace(time=2e9) for record in records]
    resumed.log(later[:4])  # the last checkpoint was at step 4
    resumed.log(later[4:])
    resumed.end("finished")
    found = READ[name](path, tmp_path / "outputs")
    check(found, {"meta_train/loss": [(record.step, record.values["meta_train/loss"]) for record in records]})


def test_mlflow_keeps_runs_where_its_own_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TrackedRun(tmp_path / "run", tmp_path, {})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    assert mlflow.tracking_uri(run) == "http://localhost:5000"
    assert list(tmp_path.iterdir()) == []


def test_a_process_killed_while_mlflow_makes_its_database_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(uri: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow, "MlflowClient", half)
    with pytest.raises(KeyboardInterrupt):
        mlflow.tracking_uri(TrackedRun(tmp_path / "run", tmp_path, {}))
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("given", ["tensorbord", "none+mlflow", "mlflow+mlflow", "mlflow+"])
def test_an_unknown_logger(given: str, in_process: Any) -> None:
    ended = in_process("train", f"logger={given}")
    assert ended.code == 2
    assert ended.err.splitlines() == [
        f"error: logger={given}, but it must be none, or some of mlflow, tensorboard, wandb, each once, joined by +",
        "  fix: use logger=none, logger=mlflow, logger=mlflow+tensorboard ...",
    ]
    assert list(Path().iterdir()) == []
