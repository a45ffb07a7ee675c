"""The processes that `torchrun` has started: how they come together, and how they end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from metalstm.errors import ConfigError
from metalstm.runtime.heartbeat import Heartbeat
from metalstm.runtime.processes import SINGLE, TO_ANSWER, TO_JOIN, Processes, ProcessGroup

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


TO_SPEAK = 2.0  # seconds; as soon as one process has ended, `torchrun` stops the others, whatever they have to say


@contextmanager
def processes_together() -> Iterator[Processes]:
    """Open a context with the processes of this run, as `torchrun` has started them; without it, this one alone.

    If one of them fails, the others end too. Only the first to fail says why.

    Raises:
        ConfigError: the environment is not as `torchrun` leaves it.
        LostProcessError: another process has ended, or cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield SINGLE
        return
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing:
        raise ConfigError.of(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}, but {', '.join(missing)} is not in the environment",
            "start with torchrun --nproc-per-node=N -m metalstm.train, or unset WORLD_SIZE",
        )
    rank, count = (int(os.environ[name]) for name in VARIABLES[:2])
    processes = ProcessGroup(rank, count, int(os.environ.get("LOCAL_RANK", rank)))
    with processes.answering():
        store, *_ = next(rendezvous("env://", timeout=TO_JOIN))
        heartbeat = Heartbeat(store, rank, count, processes.remedy)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=count, timeout=TO_ANSWER)
    heartbeat.start()
    try:
        yield processes
        processes.wait()  # for the first one, which has most to write
    except SystemExit:  # of one that leaves it to the first one to say why
        heartbeat.stop()
        time.sleep(TO_SPEAK)
        raise
    except Exception as error:
        code = code_of_first_failure(store, rank, getattr(error, "exit_code", 1))
        if code is None:
            raise
        sys.exit(code)
    finally:
        heartbeat.stop()
        if processes.of_gradients is None:  # or its threads may still run as Python ends, which aborts the process
            dist.destroy_process_group()
    if processes.of_gradients is not None:  # of NCCL, which would wait for one that is lost
        dist.destroy_process_group()


def code_of_first_failure(store: Store, rank: int, exit_code: int) -> int | None:
    """Return the exit code of the process that failed first; None: it is this one, which is to say why."""
    try:
        failed, code = store.compare_set("failed", "", f"{rank} {exit_code}").split()
    except RuntimeError:  # the store is gone, and so is whoever else might say it
        return None
    return None if int(failed) == rank else int(code)
