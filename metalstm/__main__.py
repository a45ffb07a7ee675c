"""`python -m metalstm train ...` is `metalstm-train ...`, and likewise for the other commands.

`python -m metalstm check ...` is `metalstm-train ... --check`.
"""

import importlib
import sys

COMMANDS = ("train", "test", "adapt", "report", "runs", "search", "check")


def main() -> None:
    """Run the command that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"error: a command is missing\nfix: python -m metalstm {'|'.join(COMMANDS)} ...")
    command = sys.argv.pop(1)
    if command == "check":
        command = "train"
        sys.argv.append("--check")
    sys.argv[0] = f"metalstm-{command}"
    importlib.import_module(f"metalstm.cli.{command}").main()


if __name__ == "__main__":
    main()
