"""Truncations and single flipped bits at random places of a checkpoint's files: the part `flips`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stress.torture.workshop import Workshop

TRUNCATIONS, FLIPS = 100, 1000
SHOWN = 5  # undetected ones named one by one
Damage = Callable[[bytes, random.Random], tuple[bytes, str]]


def truncated(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    length = rng.randrange(len(data))
    return data[:length], f"cut to {length} bytes"


def flipped(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    place, bit = rng.randrange(len(data)), rng.randrange(8)
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed), f"bit {bit} of byte {place} flipped"


def undetected(checkpoint: Path, damage: Damage, count: int, rng: random.Random) -> list[str]:
    """Damages a file of a checkpoint, again and again; what `checkpoint.read` did not refuse.

    Args:
        checkpoint: its folder; as it was in the end.
        damage: from a file's content to another one, and what was done in words.
        count: how often.
        rng: picks the file, and the place in it.
    """
    import torch

    from metalstm.errors import CheckpointError
    from metalstm.runs.checkpoint import read

    files = sorted(path for path in checkpoint.iterdir() if path.is_file())
    missed = []
    for _ in range(count):
        file = rng.choice(files)
        data = file.read_bytes()
        changed, words = damage(data, rng)
        file.write_bytes(changed)
        try:
            read(checkpoint, torch.device("cpu"))
            missed.append(f"{file.name}: {words}: read as if whole")
        except CheckpointError:
            pass
        except Exception as error:
            missed.append(f"{file.name}: {words}: {type(error).__name__}: {error}")
        finally:
            file.write_bytes(data)
    read(checkpoint, torch.device("cpu"))  # what was refused was refused for its damage
    return missed


def a_checkpoint(folder: Path) -> Path:
    """One as a run writes it: weights, and the state of their optimizer."""
    import torch

    from metalstm.runs.checkpoint import LATEST, Checkpoints
    from metalstm.training.outer_optimizer import OuterOptimizer

    torch.manual_seed(0)
    model = torch.nn.LSTM(8, 8)
    outer = OuterOptimizer(model.parameters(), 1e-3, "constant", 10, None)
    outer.step(model(torch.randn(4, 2, 8))[0].square().mean(), 1)
    state = {"learner": model.state_dict(), "outer": outer.state_dict(), "step": 1, "validated": 0, "best": (1, 0.5)}
    return Checkpoints(folder / "checkpoints", 2).save(LATEST, 1, state)


def flips(workshop: Workshop) -> dict[str, Any]:
    """The part."""
    rng = workshop.random("flips")
    checkpoint = a_checkpoint(workshop.folder / "damaged")
    cut = undetected(checkpoint, truncated, TRUNCATIONS, rng)
    changed = undetected(checkpoint, flipped, FLIPS, rng)
    print(
        f"flips  {TRUNCATIONS} truncations, {FLIPS} flipped bits: {len(cut)} and {len(changed)} not detected",
        flush=True,
    )
    return {
        "truncations_tried": TRUNCATIONS,
        "truncations_detected": TRUNCATIONS - len(cut),
        "bit_flips_tried": FLIPS,
        "bit_flips_detected": FLIPS - len(changed),
        "problems": [*cut[:SHOWN], *changed[:SHOWN]],
    }
