"""Many inputs, each once, from a seed: counts them and what went wrong into the file of reliability results.

scripts/stress/fuzz.sh 2000              2,000 inputs of seed 0
scripts/stress/fuzz.sh 5000 --seed 7     others
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from .parts import PARTS, Part, play

OUT = Path(__file__).parents[3] / "outputs" / "reference" / "reliability.json"
EVERY = 100  # inputs between two lines of progress


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/stress/fuzz.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--parts", nargs="+", choices=[part.name for part in PARTS], help="some only; nothing is written"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args(arguments)


def fuzz(part: Part, count: int, number: int) -> tuple[int, dict[str, list[Any]]]:
    """Plays inputs of a part; gives how many, and by what was wrong the inputs that it was wrong with."""
    played: set[str] = set()
    wrong: dict[str, list[Any]] = {}

    def once(case: Any) -> None:
        if repr(case) in played or len(played) == count:
            return
        played.add(repr(case))
        for fault in play(part, case):
            kind = " ".join(fault.split()[:4])  # without the input's own words
            wrong.setdefault(kind, []).append(case)
            if len(wrong[kind]) == 1:
                print(f"{part.name}: {fault}\n  {case!r:.1500}", flush=True)
        if len(played) % EVERY == 0:
            print(f"{part.name}: {len(played)} of {count} inputs, {len(wrong)} kinds of fault", flush=True)

    quiet = settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while len(played) < count:  # an input may be drawn twice
        seed(number)(quiet(given(part.inputs)(once)))()
        number += 1_000_003
    return len(played), wrong


def merge(path: Path, values: dict[str, Any]) -> None:
    """Writes the values into a JSON file whose other values stay."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(before | values, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    args = parse()
    started = time.monotonic()
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    chosen = [part for part in PARTS if args.parts is None or part.name in args.parts]
    for part in chosen:
        share = part.share / sum(other.share for other in chosen)
        counts[part.name], wrong = fuzz(part, math.ceil(args.inputs * share), args.seed)
        faults.update({fault: len(cases) for fault, cases in wrong.items()})
    tracebacks = sum(number for fault, number in faults.items() if fault.startswith("traceback"))
    print(f"{counts.total()} inputs, {tracebacks} tracebacks, {faults.total() - tracebacks} other faults, "
          f"{time.monotonic() - started:.0f} s")  # fmt: skip
    if args.parts is None:
        merge(
            args.out,
            {
                **{"fuzzed_inputs": counts.total(), "tracebacks": tracebacks},
                **{
                    "fuzz_seed": args.seed,
                    "fuzz_parts": dict(counts),
                    "fuzz_other_faults": faults.total() - tracebacks,
                },
            },
        )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
