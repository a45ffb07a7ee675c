"""Real runs that lose their screen, their directory or their metrics at a random moment."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from stress.torture import metrics, removed, screens
from stress.torture.chain import Stop, stopped_again_and_again
from stress.torture.workshop import Workshop


@pytest.mark.slow
def test_hang_ups(workshop: Workshop) -> None:
    stops = [Stop(signal.SIGHUP, 9), Stop(signal.SIGHUP, 31)]
    outcome = stopped_again_and_again(workshop.new_run("maml"), stops, workshop.reference("maml"))
    assert (outcome.problems, outcome.stops, outcome.lost) == ([], 2, [0, 0])


@pytest.mark.slow
@pytest.mark.parametrize("way", screens.WAYS)
def test_screens(way: str, workshop: Workshop) -> None:
    reference = workshop.reference("maml")
    assert screens.goes_on(workshop.new_run("maml"), screens.WAYS[way](), random.Random(way), reference) == []


@pytest.mark.slow
@pytest.mark.parametrize("way", removed.WAYS)
def test_directories(way: str, workshop: Workshop) -> None:
    run = workshop.new_run("maml", log_every=1)
    assert removed.taken_away(run, removed.WAYS[way], random.Random(way)) == []


@pytest.mark.slow
def test_metrics(workshop: Workshop) -> None:
    ways = ["flipped", "NUL bytes", "lines again"]
    reference = workshop.reference("maml")
    assert metrics.damaged_and_resumed(workshop.new_run("maml"), random.Random(0), reference, ways) == []


LINES = b"".join(b'{"step": %d, "meta_train/loss": 1.0}\n' % step for step in range(1, 10))


@pytest.mark.parametrize("way", ["lines again", "half a line", "NUL bytes", "a huge line", "no mapping"])
def test_what_is_not_clean_is_seen(way: str, tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(LINES)
    assert metrics.unclean(file) == []
    file.write_bytes(metrics.WAYS[way](LINES, random.Random(1))[0])
    assert metrics.unclean(file) != []
