"""Truncations and single flipped bits of the compiled kernel in its cache: the part `kernel`.

Most are shown to what looks at a library before it is loaded. A sample is met by real processes, which load what they
find: the right numbers must come out, and the library must be whole again.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from stress.torture.damage import FLIPS, SHOWN, TRUNCATIONS, Damage, flipped, truncated
from stress.torture.run import TortureError
from stress.torture.workshop import Workshop

PROCESSES = 5  # of each kind of damage
# What a process does with the kernel, and a digest of the numbers that come out.
PROGRAM = """
import hashlib, torch
from metalstm.nn.kernel.compiled import describe
from metalstm.nn.kernel.layer import lstm_layer
generator = torch.Generator().manual_seed(0)
shapes = [(2, 7, 9, 5), (2, 44, 5), (2, 44, 11), (2, 44)]
given = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
states, _ = lstm_layer(*given)
gradients = torch.autograd.grad(states.square().sum(), given, create_graph=True)
again = torch.autograd.grad(sum(one.square().sum() for one in gradients), given)
results = [one.detach().numpy().tobytes() for one in (states, *gradients, *again)]
print(describe(), hashlib.sha256(b"".join(results)).hexdigest())
"""


def numbers(cache: Path) -> str:
    """What a process says that computes with the kernel; how it died where it did."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METALSTM")}
    environment |= {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[-200:]}"


def a_kernel(cache: Path) -> tuple[Path, str]:
    """Has a kernel compiled; its file, and what a process says that computes with it.

    Raises:
        TortureError: there is no compiler.
    """
    said = numbers(cache)
    found = list((cache / "metalstm").glob("sweeps-*.so"))
    if not said.startswith("compiled sweeps ") or len(found) != 1:
        raise TortureError(f"no compiled kernel: {said}")
    return found[0], said


def accepted(library: Path, damage: Damage, count: int, rng: random.Random) -> list[str]:
    """Damages the library or its manifest, again and again, in memory; what would have been loaded."""
    from metalstm.nn.kernel.shared_object import fits, made_from, manifest_path

    wanted, files = made_from(), [library, manifest_path(library)]
    contents = [file.read_bytes() for file in files]
    if not fits(*contents, wanted):
        raise TortureError(f"{library} does not fit its manifest")
    missed = []
    for _ in range(count):
        which = rng.randrange(2)
        changed, words = damage(contents[which], rng)
        if fits(*(changed if number == which else content for number, content in enumerate(contents)), wanted):
            missed.append(f"{files[which].name}: {words}: would be loaded")
    return missed


def harmful(library: Path, right: str, damage: Damage, count: int, rng: random.Random) -> list[str]:
    """Damages the library on disk before each of some processes; those that it did something to."""
    cache, content = library.parents[1], library.read_bytes()
    missed = []
    for _ in range(count):
        changed, words = damage(content, rng)
        library.write_bytes(changed)
        said = numbers(cache)
        if said != right or library.read_bytes() != content:
            missed.append(f"{words}: {said if said != right else 'not made anew'}")
        library.write_bytes(content)
    return missed


def kernel(workshop: Workshop) -> dict[str, Any]:
    """The part."""
    rng = workshop.random("kernel")
    library, right = a_kernel(workshop.folder / "kernel_cache")
    cut = accepted(library, truncated, TRUNCATIONS, rng)
    changed = accepted(library, flipped, FLIPS, rng)
    processes = min(PROCESSES, workshop.most)
    met = [harmful(library, right, damage, processes, rng) for damage in (truncated, flipped)]
    print(
        f"kernel  {TRUNCATIONS} truncations, {FLIPS} flipped bits: {len(cut)} and {len(changed)} not detected; "
        f"{2 * processes} met by processes: {len(met[0]) + len(met[1])} did harm",
        flush=True,
    )
    return {
        "kernel_truncations_tried": TRUNCATIONS,
        "kernel_truncations_detected": TRUNCATIONS - len(cut),
        "kernel_bit_flips_tried": FLIPS,
        "kernel_bit_flips_detected": FLIPS - len(changed),
        "kernel_damage_met_by_processes": 2 * processes,
        "kernel_damage_harmless": 2 * processes - sum(map(len, met)),
        "problems": [*cut[:SHOWN], *changed[:SHOWN], *met[0][:SHOWN], *met[1][:SHOWN]],
    }
