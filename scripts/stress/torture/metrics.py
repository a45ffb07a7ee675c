"""Damage of all kinds to metrics.jsonl between two processes of a run: the part `metrics`."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stress.torture.damage import flipped, truncated
from stress.torture.kills import LAST_TERM, random_stops
from stress.torture.run import LEARNERS, LOOK_EVERY, Run
from stress.torture.states import EndState
from stress.torture.workshop import Workshop

ROUNDS = 30  # at most, runs
IN_A_RUN = 3  # times that its file is damaged


def of_lines(change: Callable[[list[bytes], int], list[bytes]]) -> Callable[[bytes, random.Random], tuple[bytes, str]]:
    """Damage done to the lines at a random place."""

    def damage(data: bytes, rng: random.Random) -> tuple[bytes, str]:
        lines = data.splitlines(keepends=True)
        place = rng.randrange(len(lines))
        return b"".join(change(lines, place)), f"line {place + 1} of {len(lines)}"

    return damage


WAYS: dict[str, Callable[[bytes, random.Random], tuple[bytes, str]]] = {
    "cut": truncated,
    "flipped": flipped,
    "lines gone": of_lines(lambda lines, at: lines[:at] + lines[at + 3 :]),
    "lines again": of_lines(lambda lines, at: lines[: at + 1] + lines[max(0, at - 3) :]),
    "half a line": of_lines(lambda lines, at: [*lines[:at], lines[at][: len(lines[at]) // 2], *lines[at + 1 :]]),
    "NUL bytes": of_lines(lambda lines, at: [*lines[:at], bytes(len(lines[at])), *lines[at + 1 :]]),
    "a huge line": of_lines(lambda lines, at: [*lines[:at], b"9" * 2**20 + b"\n", *lines[at:]]),
    "no mapping": of_lines(lambda lines, at: [*lines[:at], b"[1, 2]\n", *lines[at:]]),
}


def unclean(metrics: Path) -> list[str]:
    """What is wrong with the lines of a run that is over."""
    places = []
    for number, line in enumerate(metrics.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            places.append((record["step"], *sorted(name.partition("/")[0] for name in record if name != "step")[:1]))
        except (ValueError, KeyError, TypeError):
            return [f"line {number} cannot be read: {line[:50]!r}"]
    return [] if places == sorted(set(places)) else ["lines are out of order, or there twice"]


def damaged_and_resumed(run: Run, rng: random.Random, reference: EndState, ways: list[str]) -> list[str]:
    """Kills a run again and again and damages its metrics; what was not as in a run that nothing stopped."""
    steps = sorted(stop.step or 0 for stop in random_stops(rng, len(ways), signal.SIGTERM))
    try:
        for way, step in zip(ways, steps, strict=True):
            process = run.start()
            while process.alive and (process.began_at is None or run.last_step < min(step, LAST_TERM)):
                time.sleep(LOOK_EVERY)
            process.signal(signal.SIGKILL)
            process.wait()
            assert run.path is not None
            file = run.path / "metrics.jsonl"
            if process.popen.returncode != -signal.SIGKILL or not file.exists() or not file.stat().st_size:
                return [f"ended with {process.popen.returncode}:\n{process.err}"]
            damaged, words = WAYS[way](file.read_bytes(), rng)
            if rng.random() < 0.1:
                file.unlink()
            else:
                file.write_bytes(damaged)
            process.out_file.write_text(f"{way}: {words}\n", encoding="utf-8")
        end = run.finish()
        assert run.path is not None
        changed = [f"{name} differs" for name in end.differences(reference) if name != "metrics"]
        return [*changed, *unclean(run.path / "metrics.jsonl")]
    finally:
        run.end()


def metrics(workshop: Workshop) -> dict[str, Any]:
    """The part."""
    rng, problems, rounds = workshop.random("metrics"), [], min(ROUNDS, workshop.most)
    for number in range(rounds):
        learner, ways = LEARNERS[number % len(LEARNERS)], rng.sample(list(WAYS), IN_A_RUN)
        found = damaged_and_resumed(workshop.new_run(learner), rng, workshop.reference(learner), ways)
        problems += [f"{', '.join(ways)}, {learner}: {problem}" for problem in found]
        said = found or "the same weights bit for bit, metrics in order"
        print(f"metrics  {number + 1}/{rounds}  {', '.join(ways)}, {learner}: {said}", flush=True)
    return {"metrics_damaged": rounds * IN_A_RUN, "problems": problems}
