"""Examples that say nothing are counted: all alike, without a change, in two classes or two splits."""

from __future__ import annotations

import torch
from torch import Tensor

from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.repeats import empty_data


def images(classes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (classes, 3, 4, 4), generator=generator, dtype=torch.uint8)


def named(examples: Tensor, prefix: str = "c", **more: object) -> ClassDataset:
    return ClassDataset(examples, [f"{prefix}{number}" for number in range(len(examples))], **more)  # type: ignore[arg-type]


def test_whole_data_is_not_warned_of() -> None:
    assert empty_data({"meta_train": named(images(4)), "meta_test": named(images(3, 1), "d"), "other": object()}) == []


def test_all_examples_are_the_same() -> None:
    blank = torch.full((3, 3, 4, 4), 255, dtype=torch.uint8)
    alike, constant = empty_data({"meta_train": named(blank), "meta_test": named(blank, "d")})
    assert alike == "all 18 examples are identical: nothing can be learned from them"
    assert "6 of 6 classes have constant examples only, 18 in all, such as 'c0'" in constant


def test_the_examples_of_a_class_are_the_same() -> None:
    examples = images(4)
    examples[2] = examples[2, :1]
    (said,) = empty_data({"meta_train": named(examples)})
    assert said == (
        "1 of 4 classes have identical examples only, 3 in all, such as 'c2': each is one example over and over"
    )


def test_silence() -> None:
    examples = torch.rand(3, 3, 5, 2)
    examples[1] = torch.rand(3, 1, 2)
    assert "1 of 3 classes have constant examples only, 3 in all, such as 'c1'" in empty_data({"t": named(examples)})[0]
    striped = images(2)
    striped[:] = striped[:, :, :1]  # every row is the same, but no image is blank
    assert empty_data({"t": named(striped)}) == []


def test_what_is_beyond_an_example_does_not_count() -> None:
    examples = torch.rand(2, 3, 5, 2)
    examples[0, :, :2] = 1.0
    examples[0, 2] = 7.0
    counts, lengths = torch.tensor([2, 3]), torch.tensor([[2, 2, 5], [5, 5, 5]])
    said = empty_data({"t": named(examples, counts=counts, lengths=lengths)})
    assert "1 of 2 classes have identical examples only, 2 in all, such as 'c0'" in said[0]


def test_an_example_in_two_classes_and_two_splits() -> None:
    train, test = images(3), images(3, 1)
    train[1, 2] = train[0, 1]
    test[2, 0] = train[2, 2]
    classes, splits = empty_data({"meta_train": named(train), "meta_test": named(test, "d")})
    assert classes == "examples found in more than one class: 2, such as one in 'c0' and 'c1'"
    assert "more than one split: 1, such as one in 'c2' of meta_train and 'd2' of meta_test" in splits


def test_what_people_have_in_common_is_no_repeat() -> None:
    films = images(4)
    films[2, 0] = films[0, 0]  # liked by two
    assert empty_data({"t": named(films, together=2)}) == []
    films[1, 0] = films[0, 0]  # liked and not liked by one
    assert "more than one class: 1" in empty_data({"t": named(films, together=2)})[0]


def test_a_page_with_specks_is_blank_and_counted() -> None:
    pages = images(3)
    pages[0] = 250 + pages[0] % 6
    pages[1, 2] = 250 + pages[1, 2] % 6
    whole, further = empty_data({"t": named(pages)})
    assert "1 of 3 classes have constant examples only, 3 in all" in whole
    assert further == "1 of 3 examples of 1 further classes, such as 'c1', are constant, too"
