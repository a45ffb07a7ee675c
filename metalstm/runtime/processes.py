"""More than one process for one run: each takes its share of every task batch, and all take the same outer steps.

`torchrun` starts them, on one host or several, and says in its environment variables how many there are. The first one
alone reads and writes the run directory.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from metalstm.config.text import pasted
from metalstm.errors import ConfigError, LostProcessError, MetalstmError

T = TypeVar("T")

TO_JOIN = timedelta(minutes=2)
# Whoever waits may have to wait for long: for a download, say. It is the heartbeat that tells dead from slow.
TO_ANSWER = timedelta(days=7)


class Stateful(Protocol):
    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any) -> Any: ...


class Processes:
    """The processes of a run, as one of them sees them; of this class there is a single one, and it waits for nobody.

    All of them call every method but `shard` and `stream` in the same order.
    """

    rank = 0
    count = 1

    @property
    def first(self) -> bool:
        """Whether this one reads and writes the run directory, and speaks."""
        return self.rank == 0

    def take_device(self, name: str) -> None:
        """Make `cuda` mean a GPU of this process's own, and sends gradients from GPU to GPU.

        Raises:
            ConfigError: there is none.
        """

    def shard(self, tasks: int) -> slice:
        """Return which of so many tasks are this process's own."""
        return slice(tasks)

    def stream(self, purpose: str) -> str:
        """Return the name of this process's random stream for what is drawn task by task."""
        return purpose

    def average(self, loss: Tensor, parameters: Sequence[Tensor], tasks: int) -> Tensor:
        """Return the loss over all processes' tasks, of which this one's is the mean over `tasks`.

        Gradients likewise.
        """
        return loss

    def means(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the means of metrics [T] over all processes' tasks."""
        return {name: value.mean().item() for name, value in metrics.items()}

    def gathered(self, value: T) -> list[T]:
        """Return what all processes have, in their order."""
        return [value]

    def all_reduce(self, number: int | None) -> int | None:
        """Return the largest number that any of them has."""
        return number

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what the first process makes."""
        return make()

    def share_path(self, path: Path | None) -> Path:
        """Return the run's directory, which the first one knows."""
        assert path is not None
        return path

    def broadcast(self, stateful: Stateful) -> None:
        """Give all of them the state that the first one has."""

    def wait(self) -> None:
        """Until all have come here."""

    def refuse(self, error: MetalstmError) -> NoReturn:
        """Raise an error that all have found alike: the first one says it, and then all end."""
        raise error

    @contextmanager
    def one_of_each_host_first(self) -> Iterator[None]:
        """Open a context for what leaves something behind for the other processes of its host, such as a cache."""
        yield


SINGLE = Processes()


class ProcessGroup(Processes):
    """Several processes.

    Args:
        rank: this one's number.
        count: how many there are.
        local_rank: its number on its host.
    """

    def __init__(self, rank: int, count: int, local_rank: int) -> None:
        self.rank = rank
        self.count = count
        self.local_rank = local_rank
        self.of_gradients: Any = None  # None: the one of all else
        self.run: Path | None = None  # its directory, once it is known

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Wait for the others in this context.

        Raises:
            LostProcessError: one of them is gone.
        """
        try:
            yield
        except RuntimeError as error:
            # Without the place in gloo's source before, and its good wishes after.
            said = re.sub(r"^\[[^\]]*\] *", "", str(error).partition("\n")[0]).partition(". ")[0]
            raise LostProcessError.of(
                f"process {self.rank} of {self.count} has lost another one: {said}", self.remedy()
            ) from error

    def remedy(self) -> str:
        """Return what to do when a process is lost."""
        run = "resume=<this run's directory>" if self.run is None else pasted("resume", self.run)
        return f"see what ended it, and go on with {run}, with as many processes as you like"

    def take_device(self, name: str) -> None:
        if not name.startswith("cuda"):
            return
        if name != "cuda":
            raise ConfigError.of(
                f"device={name}, but each of {self.count} processes takes a GPU of its own", "use device=cuda"
            )
        if self.local_rank >= torch.cuda.device_count():
            raise ConfigError.of(
                f"device=cuda, but process {self.rank} is number {self.local_rank + 1} on its host, "
                f"which has {torch.cuda.device_count()} GPUs",
                "start no more processes on a host than it has GPUs, or use device=cpu",
            )
        torch.cuda.set_device(self.local_rank)
        with self.answering():
            self.of_gradients = dist.new_group(backend="nccl", timeout=TO_ANSWER)

    def shard(self, tasks: int) -> slice:
        first, end = (tasks * number // self.count for number in (self.rank, self.rank + 1))
        return slice(first, end)

    def stream(self, purpose: str) -> str:
        return f"{purpose} in process {self.rank}" if self.rank else purpose

    def average(self, loss: Tensor, parameters: Sequence[Tensor], tasks: int) -> Tensor:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in trained]
        # One buffer, so that all goes around once; weighted, for shares differ where tasks do not divide.
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), loss.detach().view(1), loss.new_ones(1)])
        flat *= tasks
        with self.answering():
            dist.all_reduce(flat, group=self.of_gradients)
        flat /= flat[-1].clone()
        parts = flat[:-2].split([parameter.numel() for parameter in trained])
        for parameter, part in zip(trained, parts, strict=True):
            parameter.grad = part.view_as(parameter)
        return flat[-2]

    def means(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        sums = [torch.stack((value.sum(), value.new_tensor(len(value)))) for value in metrics.values()]
        table = torch.stack(sums).double().cpu()  # [metrics, 2]
        with self.answering():
            dist.all_reduce(table)
        return dict(zip(metrics, (table[:, 0] / table[:, 1]).tolist(), strict=True))

    def gathered(self, value: T) -> list[T]:
        values: list[Any] = [None] * self.count
        with self.answering():
            dist.all_gather_object(values, value)
        return values

    def all_reduce(self, number: int | None) -> int | None:
        largest = torch.tensor(-1 if number is None else number)
        with self.answering():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return None if largest < 0 else int(largest)

    def from_first(self, make: Callable[[], T]) -> T:
        error = None
        given: list[Any] = [None, None]  # what it has made, or the exit code of what went wrong
        if self.first:
            try:
                given = [make(), None]
            except MetalstmError as raised:
                error, given = raised, [None, raised.exit_code]
        with self.answering():
            dist.broadcast_object_list(given)
        if error is not None:
            raise error
        made: T = given[0]
        return made if given[1] is None else sys.exit(given[1])

    def share_path(self, path: Path | None) -> Path:
        self.run = self.from_first(lambda: path)
        assert self.run is not None
        return self.run

    def broadcast(self, stateful: Stateful) -> None:
        def saved() -> bytes:
            buffer = io.BytesIO()
            torch.save(stateful.state_dict(), buffer)
            return buffer.getvalue()

        state = self.from_first(saved)
        if not self.first:  # from whatever GPU they were on
            stateful.load_state_dict(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True))

    def wait(self) -> None:
        self.all_reduce(None)

    def refuse(self, error: MetalstmError) -> NoReturn:
        if self.first:
            raise error
        sys.exit(error.exit_code)

    @contextmanager
    def one_of_each_host_first(self) -> Iterator[None]:
        if self.local_rank > 0:
            self.wait()
        yield
        if self.local_rank == 0:
            self.wait()
