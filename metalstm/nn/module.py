"""Any `nn.Module` as a model: one pass for the weights of every task, by `torch.func`.

Legend: T tasks, B examples, S time steps, F features of a step, W features read, O outputs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from metalstm.config.fields import bounded
from metalstm.errors import ConfigError
from metalstm.nn.base import HEAD, Inputs, Keeps, Model, ModelSettings, Size
from metalstm.nn.slices import Weights
from metalstm.registry import register

GIVE = "give model.make=<module>:<function or class>, and the file as a plugin"
DOT = "__"  # stands for the dots in a module's names, which parameters of ours may not have
# Copies of what autograd saves of a pass: for its derivative, and for the derivative of that.
COPIES: dict[Keeps, int] = {"nothing": 1, "once": 2, "twice": 6}


class ModuleShape(NamedTuple):
    """The module and the sizes that decide a model's weights."""

    make: Callable[[], nn.Module]  # reads [B, S, F] into [B, W]
    steps: int  # S
    features: int  # F
    outputs: int  # O
    feature_size: int  # W
    dropout: float = 0.0  # before the head

    @property
    def one_length(self) -> bool:
        return True

    def build(self, generator: torch.Generator) -> ModuleModel:
        return ModuleModel(self, generator)


class ModuleModel(Model):
    """A module that reads sequences, with a linear head; the module draws nothing but what `generator` seeds.

    Args:
        shape: the module and the sizes.
        generator: seeds the module's own start, which torch draws.
    """

    def __init__(self, shape: ModuleShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape: ModuleShape = shape
        with seeded(generator):
            module = shape.make()
        for name, weight in module.named_parameters():
            self.register_parameter(name.replace(".", DOT), nn.Parameter(weight.detach().clone()))
        for name, buffer in module.named_buffers():
            self.register_buffer(name.replace(".", DOT), buffer.clone())
        self.draws = any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in module.modules())
        # Of torch's recurrent layers there is none for many weights at once: tasks are then read one after another.
        self.together = not any(isinstance(part, nn.RNNBase) for part in module.modules())
        self.form = (module,)  # not a part of this module: its weights are the ones above
        self.add_head(shape)

    def of_module(self, values: Weights) -> dict[str, Tensor]:
        """Return weights or buffers under the module's own names."""
        return {name.replace(DOT, "."): value for name, value in values.items() if name not in HEAD}

    def prepare(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the inputs [T, B, S, F] as they are.

        Raises:
            ValueError: sequences that end early.
        """
        if lengths is not None:
            raise ValueError("a module takes sequences of one length")
        return inputs

    def read_whole(self, prepared: Tensor, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        (module,) = self.form
        module.train(generator is not None)
        buffers = self.of_module(dict(self.named_buffers()))

        def read(own: dict[str, Tensor], inputs: Tensor) -> Tensor:
            features: Tensor = functional_call(module, {**own, **buffers}, (inputs,))
            return features

        own = self.of_module(weights)
        with seeded(generator) if self.draws and generator is not None else nullcontext():
            if self.together:
                features = vmap(read, randomness="different")(own, prepared)
            else:
                each = ({name: weight[task] for name, weight in own.items()} for task in range(len(prepared)))
                features = torch.stack([read(weights, inputs) for weights, inputs in zip(each, prepared, strict=True)])
        return self.drop(features, generator)

    def size_of(self, prepared: Tensor) -> Size:
        return Size(*prepared.shape[1:])

    def part(self, prepared: Tensor, which: slice) -> Tensor:
        return prepared[:, which]

    def bytes_of_pass(self, size: Size, keeps: Keeps) -> int:
        """Return a multiple of what autograd saves of one example, which is measured once."""
        return COPIES[keeps] * size.examples * saved_bytes(self.shape, size.steps, size.width)

    @property
    def layouts(self) -> int:
        return 0


class WithHead(nn.Module):
    """A `ModuleModel` for a single task, made of plain modules: the reference for `higher`."""

    def __init__(self, shape: ModuleShape) -> None:
        super().__init__()
        self.module = shape.make()
        self.head = nn.Linear(shape.feature_size, shape.outputs)

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        outputs: Tensor = self.head(self.module(inputs))
        return outputs

    @staticmethod
    def names(weights: Weights) -> dict[str, Tensor]:
        """Return a `ModuleModel`'s weights under the names that they have here."""
        own = {f"module.{name.replace(DOT, '.')}": value for name, value in weights.items() if name not in HEAD}
        return own | {"head.weight": weights["head_weight"], "head.bias": weights["head_bias"]}


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Open a context in which torch's global generator goes by `generator`; afterwards it is as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield


@functools.cache
def saved_bytes(shape: ModuleShape, steps: int, width: int) -> int:
    """Measure what autograd saves when the module reads one example, but for the weights themselves."""
    total = 0
    with torch.random.fork_rng(devices=[]):
        module = shape.make()
    own = {weight.data_ptr() for weight in module.parameters()}

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += 0 if tensor.data_ptr() in own else tensor.numel() * tensor.element_size()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        read = module.eval()(torch.zeros(1, steps, width))
    return total + int(read.numel() * read.element_size())


@register("model", "module")
@dataclass(kw_only=True)
class ModuleSettings(ModelSettings):
    """The settings of a module of one's own; a plugin's class may derive from it and have `module` and settings."""

    takes_higher: ClassVar[bool] = True

    make: str | None
    dropout: float = bounded(minimum=0, below=1)

    def module(self, **task: int) -> nn.Module:
        """Return a new module that reads [B, S, F] into [B, W].

        Args:
            task: `features` (F), `steps` (S); the function that `make` names gets those that it has arguments for.

        Raises:
            ConfigError: `make` names no function or class.
        """
        if self.make is None:
            raise ConfigError.of(f"model={self.name}, but it is not said which", GIVE)
        place, _, name = self.make.partition(":")
        try:
            make = getattr(import_module(place), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigError.of(f"model.make={self.make} cannot be had: {error}", GIVE) from error
        wanted = inspect.signature(make).parameters
        module: nn.Module = make(**{name: value for name, value in task.items() if name in wanted})
        return module

    def shape(self, inputs: Inputs, outputs: int) -> ModuleShape:
        if inputs.steps is None or inputs.vocabulary:
            what = "are tokens" if inputs.vocabulary else "have no fixed length"
            raise ConfigError.of(
                f"model={self.name}, but inputs of dataset '{inputs.dataset}' {what}", "use model=lstm"
            )
        steps, features = inputs.steps, inputs.features
        make = functools.partial(self.module, steps=steps, features=features)
        return ModuleShape(make, steps, features, outputs, width_read(self.name, make, steps, features), self.dropout)


def width_read(name: str, make: Callable[[], nn.Module], steps: int, features: int) -> int:
    """Try a module on two examples and return W.

    Raises:
        ConfigError: it does not read them into features, or changes its buffers as it reads.
    """
    shapes = f"[2, {steps}, {features}]"
    with torch.random.fork_rng(devices=[]):
        module = make()
        before = {name: buffer.clone() for name, buffer in module.named_buffers()}
        try:
            read = module(torch.zeros(2, steps, features))
        except Exception as error:  # of whatever kind
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError.of(
                f"model={name} does not read inputs {shapes}: {said}",
                "have it take [examples, steps, features]",
            ) from error
    if not isinstance(read, Tensor) or read.dim() != 2 or len(read) != 2:
        found = tuple(read.shape) if isinstance(read, Tensor) else type(read).__name__
        raise ConfigError.of(
            f"model={name} reads inputs {shapes} into {found}, not [2, features]",
            "return a row of features an example",
        )
    if any(not torch.equal(buffer, before[name]) for name, buffer in module.named_buffers()):
        raise ConfigError.of(
            f"model={name} changes its buffers as it reads, such as running statistics of batch norm",
            "use track_running_stats=False, or another norm",
        )
    return read.shape[1]
