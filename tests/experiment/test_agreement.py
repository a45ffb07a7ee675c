"""What the processes of a run must have alike, and how it is said where they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from metalstm.errors import ConfigError
from metalstm.experiment import agreement
from metalstm.experiment.agreement import check_same_settings, digest, who_has_what
from metalstm.runtime.processes import SINGLE, Processes


class Two(Processes):
    """This process, and one that has something else in place of some of it."""

    count = 2

    def __init__(self, **other: str) -> None:
        self.other = other

    def gathered(self, value: Any) -> list[Any]:
        return [value, {name: self.other.get(name, own) for name, own in value.items()}]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("ab", "a in process 0, b in process 1"),
        ("aba", "a in processes 0 and 2, b in process 1"),
        ("abbb", "a in process 0, b in processes 1, 2 and 3"),
        ("a" * 500 + "b", "a in processes 0, 1, 2 and 497 more, b in process 500"),
    ],
)
def test_who_has_what(values: str, words: str) -> None:
    assert who_has_what(list(values)) == words


def test_all_that_differs_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check_same_settings(Two(seed="1", numpy="1.0", ways="3"), {"seed": 0, "ways": 3})
    seed, numpy = caught.value.problems
    assert seed.what == "seed is not the same for all processes: 0 in process 0, 1 in process 1"
    assert numpy.what.startswith("numpy is not the same for all processes: ")
    assert numpy.fix == "install the same numpy on all hosts"
    check_same_settings(Two(), {"seed": 0})


@pytest.mark.parametrize("name", ["metalstm", "code of metalstm", "torch", "numpy"])
def test_versions(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^error: {name} is not the same for all processes: .* in process 1\n"):
        check_same_settings(Two(**{name: "another"}), {})


def test_one_process_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "versions", lambda: pytest.fail("looked"))
    check_same_settings(SINGLE, {"seed": 0})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_digest_is_of_every_bit(dtype: torch.dtype) -> None:
    model = nn.LayerNorm(5).to(dtype)
    model.register_buffer("scale", torch.tensor(1.0))
    before = digest(model)  # type: ignore[arg-type]
    assert digest(model) == before  # type: ignore[arg-type]
    for weight in (model.weight, model.bias, model.scale):
        weight.data.view(-1).view(torch.uint8)[-1] ^= 1
        assert digest(model) != before  # type: ignore[arg-type]
        weight.data.view(-1).view(torch.uint8)[-1] ^= 1
    assert digest(model) == before  # type: ignore[arg-type]
