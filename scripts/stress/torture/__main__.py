"""Breaks real runs in every way we know of, many times, and writes what survived to `reliability.json`.

    scripts/stress/torture.sh                        all parts, with 200 random SIGKILLs: about an hour on one core
    scripts/stress/torture.sh 20 --only kills flips  some parts; the figures of the others stay in the file

The parts: `kills`, SIGKILL at random moments of training; `saves`, at each stage of a checkpoint's save; `flips`, files
cut off or with a bit flipped; `kernel`, the same of the compiled kernel in its cache; `disk`, a full one; `starts`, in
the same instant; `races`, for one run directory; `stops`, SIGTERM; `screens`, SIGHUP, closed pipes and terminals that
are gone; `removed`, the run directory; `metrics`, damage to metrics.jsonl; `sweeps`, SIGKILL of a whole sweep under
each launcher of this machine. Ends with 1 where anything did not survive.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported

from stress.torture import damage, disk, kernel, kills, metrics, removed, report, saves, screens, sweeps, together
from stress.torture.run import TortureError
from stress.torture.workshop import Workshop

PARTS = {
    "starts": together.starts,
    "races": together.races,
    "flips": damage.flips,
    "kernel": kernel.kernel,
    "disk": disk.disk,
    "saves": saves.saves,
    "stops": kills.stops,
    "screens": screens.screens,
    "removed": removed.removed,
    "metrics": metrics.metrics,
    "kills": kills.kills,
    "sweeps": sweeps.sweeps,
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "kills", nargs="?", type=int, default=200, help="random SIGKILLs; no other part stops more processes than that"
    )
    parser.add_argument("--only", nargs="+", metavar="PART", default=[], help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=report.OUT, help="the report")
    args = parser.parse_args(arguments)
    args.only = [part for given in args.only for part in given.split(",") if part] or list(PARTS)
    unknown = [part for part in args.only if part not in PARTS]
    if unknown or args.kills < 1:
        parser.error(f"no part: {', '.join(unknown)}" if unknown else f"{args.kills} kills")
    return args


def command(args: argparse.Namespace) -> str:
    """What to type for the same again; not where the report went."""
    words = ["scripts/stress/torture.sh", str(args.kills)]
    words += [] if args.only == list(PARTS) else ["--only", ",".join(args.only)]
    words += [] if args.seed == 0 else ["--seed", str(args.seed)]
    return shlex.join(words)


def main() -> None:
    args = parse()
    problems = []
    try:
        report.read(args.out)  # not to find out in an hour that it cannot be added to
        with tempfile.TemporaryDirectory(prefix="torture_") as folder:
            workshop = Workshop(Path(folder), args.seed, args.kills)
            for part in args.only:
                started = time.monotonic()
                figures = PARTS[part](workshop)
                seconds = time.monotonic() - started
                report.add(args.out, part, figures, command(args), args.seed, seconds)
                problems += [f"{part}: {problem}" for problem in figures["problems"]]
                print(f"{part} done in {seconds:.0f} s, {len(figures['problems'])} problems", flush=True)
    except TortureError as error:
        sys.exit(f"error: {error}")
    print(f"written to {args.out}")
    if problems:
        sys.exit("\n".join(f"error: {problem}" for problem in problems))


if __name__ == "__main__":
    main()
