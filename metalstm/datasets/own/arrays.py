"""Inputs and labels as Python hands them over, arrays or lists of any kind: checked, and made as a run's data is.

Legend: B examples, S time steps, F features, N labels, O numbers to predict.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.datasets.base import Dataset
from metalstm.datasets.files.reader import as_float
from metalstm.errors import DataError, first_line
from metalstm.tasks.examples import Examples

LABELS = "give a whole number from 0 on for each example, or a name for each"
NUMBERS = "give numbers: a tensor, an array, or lists"
MOST_LABELS = 2**16
FARTHEST = 2.0  # from 0, of pixels from 0 to 1 to which somebody may have added noise


class Wanted(NamedTuple):
    """The kind of input that a run reads."""

    dataset: Dataset
    one_length: bool  # whether its model takes sequences of the dataset's length alone

    def inputs(self, given: Any, lengths: Any = None) -> tuple[Tensor, Tensor | None]:
        """Return inputs of one task, [1, B, S, F], and how many steps of each are real, [1, B]; None: all.

        Args:
            given: [B, S, F], or B sequences [S, F] that may differ in length.
            lengths: of padded inputs, [B]; None: they are not padded.

        Raises:
            DataError: they are not what the run reads.
        """
        values, real = padded(given)
        if values.ndim != 3 or values.shape[2] != self.dataset.features or 0 in values.shape:
            raise DataError.of(
                f"inputs have the shape {list(values.shape)}, but the run reads [examples, time steps, "
                f"{self.dataset.features} features]",
                "give them so; an image is a row of pixels a time step",
            )
        if real is not None and lengths is not None:
            raise DataError.of("inputs have several lengths, and lengths are given besides", "leave lengths out")
        real = real if lengths is None else checked_lengths(lengths, *values.shape[:2])
        self.check_length(values.shape[1], real)
        if real is not None:  # what lies beyond may be anything: nothing reads it
            values = values.masked_fill((torch.arange(values.shape[1]) >= real.unsqueeze(1)).unsqueeze(2), 0)
        values = self.tokens(values) if self.dataset.vocabulary else self.numbers(values)
        return values.unsqueeze(0), None if real is None else real.unsqueeze(0)

    def check_length(self, steps: int, real: Tensor | None) -> None:
        """Whether the run's model can read sequences as long as these."""
        if self.one_length and (real is not None or steps != self.dataset.steps):
            raise DataError.of(
                f"inputs have {'several lengths' if real is not None else f'{steps} time steps'}, but the run's model "
                f"reads {self.dataset.steps} time steps at once",
                "give sequences of that length",
            )

    def numbers(self, values: Tensor) -> Tensor:
        """Return the values as float32, pixels of 0..255 as 0..1."""
        pixels = self.dataset.images
        if values.dtype == torch.uint8 and not pixels:
            raise DataError.of(
                "inputs are torch.uint8, as pixels are, but the run was not trained on images",
                "give float32, prepared as the run's data is",
            )
        if pixels and values.dtype == torch.uint8 and int(values.max()) == 1:
            raise DataError.of(
                "inputs are torch.uint8 of 0 and 1 alone, but uint8 is taken as 0..255, where 1 is next to nothing",
                "give them as float32, or as bool",
            )
        values = as_float(values).float()
        if not values.isfinite().all():
            raise DataError.of("inputs have values that are not finite in float32", "mend them, or leave them out")
        if pixels and values.abs().max() > FARTHEST:
            raise DataError.of(
                f"inputs reach from {values.min():g} to {values.max():g}, but the run's pixels are from 0 to 1",
                "divide them by 255, or give them as uint8, which is taken as 0..255",
            )
        return values

    def tokens(self, values: Tensor) -> Tensor:
        """Return the values as int64, each a token of the run's vocabulary."""
        last = self.dataset.vocabulary - 1
        if values.is_floating_point() or int(values.min()) < 0 or int(values.max()) > last:
            raise DataError.of(
                f"inputs are {values.dtype} from {values.min():g} to {values.max():g}, but the run reads tokens, which "
                f"are whole numbers from 0 to {last}",
                "give a folder of texts, which the run's own reader turns into tokens",
            )
        return values.long()

    def targets(self, given: Any) -> tuple[Tensor, list[str] | None]:
        """Labels of one task, [1, B], with their names; or numbers, [1, B, O], which have none.

        Raises:
            DataError: they are not what the run predicts.
        """
        if self.dataset.kind == "regression":
            values = tensor("targets", given)
            if values.ndim != 2 or values.shape[1] != self.dataset.outputs or not values.isfinite().all():
                raise DataError.of(
                    f"targets have the shape {list(values.shape)}, but the run predicts [examples, "
                    f"{self.dataset.outputs} numbers], all finite",
                    "give them so",
                )
            return values.float().unsqueeze(0), None
        names = texts(given)
        known = sorted(set(names or ()))
        values = tensor("labels", given if names is None else [known.index(name) for name in names], LABELS)
        if values.ndim != 1 or len(values) == 0 or values.is_floating_point() or int(values.min()) < 0:
            raise DataError.of(
                f"labels are {values.dtype} of the shape {list(values.shape)}, or below 0",
                LABELS,
            )
        if int(values.max()) >= MOST_LABELS:
            raise DataError.of(
                f"a label is {int(values.max())}, but there are at most {MOST_LABELS}", "count labels from 0 on"
            )
        return values.long().unsqueeze(0), known or [str(label) for label in range(int(values.max()) + 1)]

    def whole(self, examples: Examples) -> Examples:
        """Return the examples of a task, checked.

        Raises:
            DataError: they are not what the run reads, or of several tasks.
        """
        inputs, _, lengths = examples
        if inputs.ndim != 4 or len(inputs) != 1:
            raise DataError.of(
                f"examples have inputs of the shape {list(inputs.shape)}, which is not one task",
                "give those of one task: [1, examples, time steps, features]",
            )
        inputs, lengths = self.inputs(inputs[0], None if lengths is None else lengths[0])
        targets, _ = self.targets(examples.targets[0])
        return Examples(inputs, targets, lengths)


def padded(given: Any) -> tuple[Tensor, Tensor | None]:
    """Sequences of one length as [B, S, F]; of several, padded with zeros, and their lengths [B]."""
    if not isinstance(given, (list, tuple)) and getattr(getattr(given, "dtype", None), "kind", None) != "O":
        return tensor("inputs", given), None
    values = [tensor("inputs", one) for one in given]
    if not values or any(one.ndim != 2 or one.shape[1] != values[0].shape[1] or len(one) == 0 for one in values):
        shapes = ", ".join(str(list(one.shape)) for one in values[:3])
        raise DataError.of(
            f"inputs are {len(values)} sequences of the shapes {shapes or '[]'}{', ...' * (len(values) > 3)}",
            "give each as [time steps, features], with as many features as the others",
        )
    if len({one.dtype for one in values}) > 1:
        values = [as_float(one).float() for one in values]
    lengths = torch.tensor([len(one) for one in values])
    return pad_sequence(values, batch_first=True), lengths if len(set(lengths.tolist())) > 1 else None


def checked_lengths(given: Any, examples: int, steps: int) -> Tensor | None:
    """How many steps of each sequence are real, [B]; None: all of each."""
    lengths = tensor("lengths", given)
    whole = not lengths.is_floating_point() and lengths.dtype != torch.bool
    if lengths.shape != (examples,) or not whole or not 1 <= int(lengths.min()) <= int(lengths.max()) <= steps:
        raise DataError.of(
            f"lengths are {lengths.dtype} of the shape {list(lengths.shape)}, but there are {examples} inputs of "
            f"{steps} time steps",
            f"give a whole number from 1 to {steps} for each input",
        )
    return None if int(lengths.min()) == steps else lengths.long()


def texts(given: Any) -> list[str] | None:
    """Labels that are names; None: they are not."""
    values = given if isinstance(given, (Tensor, list, tuple)) else np.asarray(given).tolist()
    found = isinstance(values, (list, tuple)) and len(values) > 0 and all(isinstance(one, str) for one in values)
    return [str(one) for one in values] if found else None


def tensor(what: str, given: Any, remedy: str = NUMBERS) -> Tensor:
    """Whatever holds numbers as a tensor on the CPU that nothing else writes into.

    Raises:
        DataError: it holds something else.
    """
    try:
        if isinstance(given, Tensor):
            values = given.detach().cpu().to_dense().clone()
        else:
            if np.ma.is_masked(given):
                raise TypeError("some are masked")
            values = torch.from_numpy(native(np.array(given)))
        if values.is_complex():
            raise TypeError("they are complex")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError.of(f"{what} cannot be read as numbers: {first_line(error)}", remedy) from error
    return values if values.is_floating_point() or values.dtype in (torch.bool, torch.uint8) else values.long()


def native(array: Any) -> Any:
    """Return the array in a type that torch has.

    Raises:
        TypeError: it holds no numbers.
    """
    kinds: dict[str, Any] = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float32, "c": np.complex128}
    if array.dtype.kind not in kinds:
        raise TypeError(f"their type is {array.dtype.name}")
    with np.errstate(over="ignore"):  # what is infinite then is refused
        return array if array.dtype == np.uint8 else array.astype(kinds[array.dtype.kind])
