"""The package in Python: the same runs as the commands make, the same errors, and nothing left behind."""

from __future__ import annotations

import doctest
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

import metalstm
from metalstm import Run, api, load, meta_train
from metalstm.errors import CheckpointError, ConfigError, DataError, Interrupted
from metalstm.learners.finetune import FineTune
from metalstm.learners.objective import task_metric
from support.commands import only_run, tiny
from support.places import REPOSITORY

README = REPOSITORY / "README.md"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_figures: None) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """`trained(*overrides, **changes)`: a tiny run, made once for all tests."""
    folder = tmp_path_factory.mktemp("trained")
    made: dict[str, Run] = {}

    def run(*overrides: str, **changes: Any) -> Run:
        given = [*overrides, *tiny(scratch_tasks=0, steps=3, **changes), f"output_dir={folder}"]
        key = " ".join(given)
        if key not in made:
            made[key] = meta_train(*given)
        return made[key]

    return run


def test_what_the_readme_shows() -> None:
    (shown,) = re.findall(r"```python\n(>>> .*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert api.__doc__ is not None
    assert api.__doc__.endswith(f"\n\n{shown}")
    test = doctest.DocTestParser().get_doctest(shown, {}, "README", str(README), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said: list[str] = []
    assert runner.run(test, out=said.append).failed == 0, "".join(said)


def test_the_run_is_the_command_s(in_process: Any, capsys: Any) -> None:
    given = tiny(scratch_tasks=0, steps=3)
    assert in_process("train", *given, "output_dir=command").code == 0
    capsys.readouterr()
    run = meta_train(*given, "output_dir=python")
    assert capsys.readouterr() == ("", "")
    command = Run(only_run(Path("command").absolute()))
    assert run.path.parent == Path("python/glyphs_3w1s_maml")
    for key in ("value", "curve", "protocol"):
        assert run.result[key] == command.result[key]
    assert run.result["command"] == ["metalstm-train", *given, "output_dir=python"]
    assert run.metrics == command.metrics
    assert [record["step"] for record in run.metrics] == [1, 2, 3, 3]
    assert "maml, 2 steps" in (run.path / "train.log").read_text(encoding="utf-8")
    assert str(run) in (run.path / "train.log").read_text(encoding="utf-8")
    assert repr(run) == f"Run('{run.path}')"


def test_nothing_is_left_behind() -> None:
    """Of Hydra, of the log, of signal handlers: also where a run fails, and within a user's own Hydra."""
    handlers = [signal.getsignal(each) for each in SIGNALS]
    Path("own").mkdir()
    Path("own/mine.yaml").write_text("a: 1\n")
    with initialize_config_dir(str(Path("own").absolute()), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        for steps in (1, 2):
            assert meta_train(*tiny(scratch_tasks=0, steps=steps)).result["training"]["steps"] == steps
        with pytest.raises(ConfigError):
            meta_train(*tiny(ways=70))
        assert GlobalHydra.instance().hydra is mine
        assert compose("mine").a == 1
    logger = logging.getLogger("metalstm")
    assert (logger.handlers, logger.propagate) == ([], True)
    assert [signal.getsignal(each) for each in SIGNALS] == handlers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["wasy=5"], "wasy is no setting\n  fix: did you mean ways?"),
        (["ways=5,20"], "ways=5,20 gives several values"),
        (["-m", "ways=5,20"], "'-m' cannot be read"),
        (["learner=mamal"], "learner=mamal is unknown\n  fix: use learner=<one of anil,"),
        (["ways=0", "steps=x"], "steps=x is not a whole number"),
        (["ways=70"], "split 'meta_validation' of dataset 'glyphs' has 50 classes"),
        (["resume=nowhere"], "nowhere is not a directory"),
        (["learner=null"], "a group is null or a number"),
    ],
)
def test_the_errors_are_the_commands(given: list[str], said: str, in_process: Any) -> None:
    with pytest.raises((ConfigError, CheckpointError), match=re.escape(said)) as caught:
        meta_train(*given)
    assert list(Path().iterdir()) in ([], [Path("work")])
    if "-m" not in given and "ways=5,20" not in given:
        ended = in_process("train", *given)
        assert (ended.code, ended.err) == (caught.value.exit_code, f"{caught.value}\n")


def stop_in_step(count: int, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from metalstm.training.outer_optimizer import OuterOptimizer

    real = OuterOptimizer.step
    calls: list[None] = []

    def step(self: Any, *given: Any) -> Any:
        calls.append(None)
        if len(calls) == count:
            os.kill(os.getpid(), number)
        return real(self, *given)

    monkeypatch.setattr(OuterOptimizer, "step", step)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Interrupted)])
def test_stopped_and_gone_on_with(
    number: int, kind: type[BaseException], trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers = [signal.getsignal(each) for each in SIGNALS]
    with monkeypatch.context() as patch:
        stop_in_step(2, number, patch)
        with pytest.raises(kind, match=r"stopped after step 2 by SIG.*\n  fix: go on with resume=outputs/") as caught:
            meta_train(*tiny(scratch_tasks=0, steps=3))
    assert [signal.getsignal(each) for each in SIGNALS] == handlers
    run = Run(str(caught.value).rpartition("resume=")[2])
    with pytest.raises(CheckpointError, match="it is not over\n  fix: if there is one, go on with it: resume="):
        _ = run.result
    assert meta_train(f"resume={run.path}").path == run.path
    assert run.metrics == trained().metrics
    assert run.result["curve"] == trained().result["curve"]


def test_in_a_thread(trained: Any) -> None:
    """Where signals are not to be had, as in servers that run notebooks or applications."""
    made: list[Run] = []
    thread = threading.Thread(target=lambda: made.append(meta_train(*tiny(scratch_tasks=0, steps=3))))
    thread.start()
    thread.join()
    assert made[0].metrics == trained().metrics


def test_torch_waits_until_it_is_needed() -> None:
    script = "import sys, metalstm\nfrom metalstm import Run, load, meta_train\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = metalstm.trian


NO_INNER_STEPS = {"learner.inner_steps": None}
CHOICES = [
    ((), {}),
    (("learner=memory",), NO_INNER_STEPS | {"shots": 2}),
    (("learner=proto_maml",), {}),
    (("learner=finetune",), {}),
    (("dataset=sinusoid",), {"ways": 1, "shots": 4, "dataset.classes": None}),
]


@pytest.mark.parametrize(("overrides", "changes"), CHOICES)
def test_a_task_is_the_meta_test_s(overrides: tuple[str, ...], changes: dict[str, Any], trained: Any) -> None:
    """What the learner makes of a task is what the run was judged by; and a pair of one's own is no other thing."""
    run = trained(*overrides, **changes)
    per_task = json.loads((run.path / "per_task.json").read_text(encoding="utf-8"))["learner"]
    learner = load(run)
    for number in (0, 5):
        task = learner.task(number)
        adapted = learner.adapt(task.support)
        predicted = adapted.predict(task.query)
        metric = task_metric(learner.dataset.kind, predicted.unsqueeze(0), task.query.targets).item()
        assert metric == pytest.approx(per_task["values"][per_task["at"].index(run.result["steps"])][number], abs=1e-5)
        pair = (task.support.inputs[0].numpy(), task.support.targets[0].numpy())
        assert torch.equal(learner.adapt(pair).predict(task.query.inputs[0].numpy()), predicted)
    if "learner=memory" not in overrides:
        before = learner.adapt(task.support, steps=0).predict(task.query)
        assert not torch.equal(before, predicted)
    if learner.dataset.kind == "classification":
        assert adapted.names == ["0", "1", "2"]
        assert torch.allclose(predicted.sum(dim=1), torch.ones(len(predicted), dtype=torch.float64))
    assert repr(learner).startswith("TrainedLearner(")
    assert isinstance(learner.learner(learner.settings.ways), FineTune) == ("learner=finetune" in overrides)


def test_a_folder_as_with_the_command(trained: Any, in_process: Any) -> None:
    rng = np.random.default_rng(0)
    for folder in ("support/cat", "support/dog", "query"):
        Path(folder).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(rng.integers(0, 256, (20, 20), dtype=np.uint8)).save(f"{folder}/{number}.png")
    run = trained()
    adapted = load(str(run.path)).adapt("support")
    ended = in_process("adapt", f"run={run.path}", "support=support", "query=query")
    assert ended.code == 0, ended.err
    written = [line.split(",")[2:] for line in Path("predictions.csv").read_text(encoding="utf-8").splitlines()]
    assert written[0] == adapted.names == ["cat", "dog"]
    found = adapted.predict(Path("query"))
    assert torch.allclose(found, torch.tensor([[float(x) for x in row] for row in written[1:]]).double(), atol=1e-6)


def test_other_numbers_of_labels(trained: Any) -> None:
    inputs, labels = torch.rand(4, 28, 28), [0, 1, 2, 3]
    assert load(trained("learner=proto_maml")).adapt((inputs, labels)).predict(inputs).shape == (4, 4)
    with pytest.raises(ConfigError, match="the support set has 4 labels, but the run was trained for ways=3"):
        load(trained()).adapt((inputs, labels))


@pytest.mark.parametrize(
    ("inputs", "labels", "said"),
    [
        (
            torch.rand(2, 28, 27),
            [0, 1],
            r"inputs have the shape \[2, 28, 27\], but the run reads \[examples, time steps",
        ),
        (torch.rand(28, 28), [0, 1], r"inputs have the shape \[28, 28\]"),
        (torch.rand(2, 28, 28), [0.0, 1.0], "labels are torch.float32"),
        (torch.rand(2, 28, 28), [0, -1], "labels are torch.int64 .*below 0"),
        (torch.rand(2, 28, 28), [0, 0], "the support set has one label"),
        (torch.rand(2, 28, 28), [0, 1, 2], "there are 2 inputs, but 3 labels"),
    ],
)
def test_pairs_that_do_not_fit(inputs: Any, labels: Any, said: str, trained: Any) -> None:
    with pytest.raises(DataError, match=said):
        load(trained()).adapt((inputs, labels))


def test_what_there_is_not(trained: Any) -> None:
    with pytest.raises(
        ConfigError, match="split=test is unknown\n  fix: use one of meta_train, meta_validation, meta_"
    ):
        load(trained()).task(split="test")
    with pytest.raises(CheckpointError, match="nowhere is not a directory"):
        load("nowhere")
    with pytest.raises(ConfigError, match="device=cuda:99 cannot be used here"):
        load(trained(), device="cuda:99")
    for budget in (0, 2.5, "x", True):
        with pytest.raises(ConfigError, match="is not a whole number of at least 1"):
            load(trained(), memory_budget=budget)  # type: ignore[arg-type]
    run = trained("dataset=sinusoid", ways=1, shots=4, **{"dataset.classes": None})
    with pytest.raises(DataError, match=r"targets have the shape \[4\], but the run predicts \[examples, 1 numbers\]"):
        load(run).adapt((torch.rand(4, 1, 1), torch.rand(4)))
