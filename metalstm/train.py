"""The old door: `python -m metalstm.train`, as `torchrun` lines have it, is `metalstm-train`."""

from metalstm.cli.train import main

if __name__ == "__main__":
    main()
