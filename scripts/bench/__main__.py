"""Times one second-order MAML meta-gradient of an LSTM in several systems, side by side.

    scripts/bench/bench.sh                                   everything: about half an hour on two cores
    scripts/bench/bench.sh --settings 20w5s_t4 --hidden 64   a part of it
    scripts/bench/bench.sh --growth                          how metalstm's own cost grows with each size
    scripts/bench/bench.sh --training                        where the time of a training step goes
    scripts/bench/bench.sh --processes                       what a second process is worth
    scripts/bench/bench.sh --memory                          what a memory budget does for long sequences

The systems: `metalstm`; `higher` with `torch.nn.LSTM`, a task at a time; `torch_func`, vmap and grad, cell by cell;
`jax`, jit(grad(vmap)) with scan; and `matmul`, the matrix products of metalstm's algorithm and nothing else. All get
the same numbers, and nothing is timed before their meta-gradients agree.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
from pathlib import Path

from bench.problem import QUICK, SETTINGS, BenchmarkError, variants
from bench.system import CLASSES, require_jax
from metalstm.config.extras import install

HIDDEN = [64, 128, 256]
BUSY = 0.5  # processes that want a core, averaged over a minute
OUT = Path(__file__).parents[2] / "outputs" / "reference" / "benchmark"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument(
        "--hidden", nargs="+", type=positive, default=HIDDEN, help="64 brings 4 directions and 2 layers along"
    )
    parser.add_argument(
        "--systems", nargs="+", choices=CLASSES, default=list(CLASSES), help="metalstm, the reference, is always there"
    )
    parser.add_argument("--rounds", type=positive, default=7, help="timed steps of each system; slow cases get fewer")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the results")
    parser.add_argument("--growth", action="store_true", help="time and memory of metalstm against each size")
    parser.add_argument("--training", action="store_true", help="a training step's parts, and the speed that it keeps")
    parser.add_argument("--processes", action="store_true", help="training steps of one process and of two")
    parser.add_argument("--memory", action="store_true", help="peak memory within a budget, and by count alone")
    parser.add_argument("--quick", action="store_true", help="one tiny case instead, for a try")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is below 1")
    return number


def command(args: argparse.Namespace) -> str:
    """What to type for the same run again; not where its results went."""
    words = ["scripts/bench/bench.sh"]
    for name, default in vars(parse([])).items():
        value = getattr(args, name)
        if name != "out" and value != default:
            words.append(f"--{name}")
            words += [] if value is True else [str(item) for item in (value if isinstance(value, list) else [value])]
    return shlex.join(words)


def main() -> None:
    args = parse()
    warn_if_busy()
    try:
        if args.growth:
            run_growth(args)
        elif args.training:
            from bench import training

            training.run(args.quick, args.threads, command(args), args.out)
        elif args.processes:
            from bench import processes

            processes.run(args.quick, args.rounds, command(args), args.out)
        elif args.memory:
            from bench import memory

            memory.run(args.quick, args.threads, command(args), args.out)
        else:
            run_comparison(args)
    except BenchmarkError as error:
        sys.exit(f"error: {error}")


def warn_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > BUSY:
        print(
            f"warning: other programs keep this machine busy (load average {load:.1f}). Threads wait for each other at "
            "every small product, so one that has lost its core can make times many times too long.",
            file=sys.stderr,
        )


def run_growth(args: argparse.Namespace) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchmarkError(f"matplotlib is not installed: {install('figures')}")
    from bench import growth

    growth.run(args.quick, args.threads, command(args), args.out)


def run_comparison(args: argparse.Namespace) -> None:
    names = [name for name in CLASSES if name in args.systems or name == "metalstm"]
    if "jax" in names:
        require_jax()
    if args.quick:
        cases = [QUICK]
    else:
        cases = [case for setting in args.settings for case in variants(SETTINGS[setting], args.hidden)]
    from bench import compare

    compare.run(cases, names, args.rounds, args.threads, command(args), args.out)
    print((args.out / "benchmark.md").read_text())


if __name__ == "__main__":
    main()
