"""Tasks drawn from a pool: in this one each image says which class and which example it is."""

from typing import Any

import pytest
import torch
from torch import Tensor

from metalstm.errors import DataError
from metalstm.tasks.classes import SPLITS, ClassDataset, check_disjoint, distinct
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskShape, seeded_generator

CLASSES, EXAMPLES = 11, 7
SHAPE = TaskShape(ways=5, shots=2, queries=3)


@pytest.fixture(scope="module")
def pool() -> ClassDataset:
    images = torch.zeros(CLASSES, EXAMPLES, 2, 3, dtype=torch.uint8)
    images[:, :, 0, 0] = torch.arange(CLASSES).unsqueeze(1)
    images[:, :, 1, 2] = torch.arange(EXAMPLES)
    images[:, :, 0, 1] = 255
    return ClassDataset(images, [f"class{number}" for number in range(CLASSES)])


def sample(pool: ClassDataset, tasks: int = 50, shape: TaskShape = SHAPE, seed: int = 0) -> TaskBatch:
    return pool.sample(tasks, shape, seeded_generator(seed))


def who(examples: Examples) -> tuple[Tensor, Tensor]:
    """Each input's class and example, [T, B] each."""
    pixels = (examples.inputs * 255).round().long()
    return pixels[..., 0, 0], pixels[..., 1, 2]


def test_pixels_are_between_nought_and_one(pool: ClassDataset) -> None:
    inputs = sample(pool).support.inputs
    assert (inputs[..., 0, 1] == 1).all()
    assert (inputs[..., 1, 0] == 0).all()
    assert (inputs.min(), inputs.max()) == (0, 1)


def test_a_task_has_distinct_classes(pool: ClassDataset) -> None:
    for part, per_class in zip(sample(pool)[:2], (2, 3), strict=True):
        classes, _ = who(part)
        by_place = classes.unflatten(1, (5, per_class))
        assert (by_place == by_place[..., :1]).all()  # ordered by class
        assert all(len(set(row)) == 5 for row in by_place[..., 0].tolist())


def test_support_and_query_share_classes_but_no_example(pool: ClassDataset) -> None:
    tasks = sample(pool)
    (support_class, support_example), (query_class, query_example) = who(tasks.support), who(tasks.query)
    for task in range(tasks.tasks):
        support = list(zip(support_class[task].tolist(), support_example[task].tolist(), strict=True))
        query = list(zip(query_class[task].tolist(), query_example[task].tolist(), strict=True))
        assert len(set(support + query)) == len(support) + len(query) == 25
        assert {number for number, _ in support} == {number for number, _ in query}


def test_a_label_is_the_classs_place_in_its_task(pool: ClassDataset) -> None:
    tasks = sample(pool)
    places = torch.arange(5)
    assert torch.equal(tasks.support.targets, places.repeat_interleave(2).expand(50, -1))
    assert torch.equal(tasks.query.targets, places.repeat_interleave(3).expand(50, -1))
    (support_class, _), (query_class, _) = who(tasks.support), who(tasks.query)
    for task in range(tasks.tasks):
        of_support = dict(zip(tasks.support.targets[task].tolist(), support_class[task].tolist(), strict=True))
        of_query = dict(zip(tasks.query.targets[task].tolist(), query_class[task].tolist(), strict=True))
        assert of_support == of_query
    assert len({tuple(row) for row in support_class.tolist()}) > 40  # a class has no label of its own


def test_classes_say_what_each_label_stands_for(pool: ClassDataset) -> None:
    tasks = sample(pool)
    assert tasks.classes.shape == (50, 5)
    assert tasks.classes.dtype == torch.int64
    for part in (tasks.support, tasks.query):
        assert torch.equal(tasks.classes.gather(1, part.targets), who(part)[0])
    assert len({tuple(row) for row in tasks.classes.tolist()}) > 40


def test_all_classes_examples_and_places_are_equally_likely(pool: ClassDataset) -> None:
    drawn = 4000
    tasks = sample(pool, tasks=drawn)
    classes, examples = who(tasks.support)
    first_class = torch.bincount(classes[:, 0], minlength=CLASSES)
    first_example = torch.bincount(examples[:, 0], minlength=EXAMPLES)
    in_task = torch.bincount(classes[:, ::2].flatten(), minlength=CLASSES)
    in_query = torch.bincount(who(tasks.query)[1].flatten(), minlength=EXAMPLES)
    for counts, draws in ((first_class, drawn), (first_example, drawn), (in_task, 5 * drawn), (in_query, 15 * drawn)):
        expected = draws / len(counts)
        assert counts.sum() == draws
        assert (counts - expected).abs().max() < 5 * expected**0.5  # five standard deviations


def test_classes_are_drawn_independently_of_examples(pool: ClassDataset) -> None:
    classes, examples = who(sample(pool, tasks=4000).support)
    together = torch.zeros(CLASSES, EXAMPLES)
    together.index_put_((classes[:, 0], examples[:, 0]), torch.ones(4000), accumulate=True)
    expected = 4000 / together.numel()
    assert (together - expected).abs().max() < 5 * expected**0.5


def test_a_task_may_use_up_the_pool(pool: ClassDataset) -> None:
    tasks = sample(pool, shape=TaskShape(CLASSES, 3, EXAMPLES - 3))
    classes, examples = (torch.cat(pair, dim=1) for pair in zip(who(tasks.support), who(tasks.query), strict=True))
    whole = set(range(CLASSES * EXAMPLES))
    assert all(set(row) == whole for row in (classes * EXAMPLES + examples).tolist())


def test_the_generator_alone_decides(pool: ClassDataset) -> None:
    first = sample(pool)
    torch.manual_seed(1)
    assert torch.equal(first.support.inputs, sample(pool).support.inputs)
    assert not torch.equal(first.support.inputs, sample(pool, seed=1).support.inputs)


def test_distinct_rows() -> None:
    rows = distinct(6, 7, 5, 4, seeded_generator(0))
    assert rows.shape == (6, 7, 4)
    assert all(len(set(row)) == 4 and set(row) <= set(range(5)) for row in rows.flatten(0, 1).tolist())
    with pytest.raises(RuntimeError):
        distinct(1, 1, 3, 4, seeded_generator(0))


EXAMPLES_OF_TWO = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"examples": EXAMPLES_OF_TWO.double()}, "are no sequences of classes"),
        ({"examples": torch.zeros(2, 3, 16, dtype=torch.uint8)}, "are no sequences of classes"),
        ({"examples": torch.zeros(3, 3, 4, 4)}, r"names \(2,\) do not fit"),
        ({"counts": torch.ones(3)}, r"counts \(3,\) do not fit"),
        ({"lengths": torch.ones(2)}, r"lengths \(2,\) do not fit"),
        ({"sources": torch.ones(2, 4)}, r"sources \(2, 4\) do not fit"),
    ],
)
def test_a_pool_refuses_what_does_not_fit(given: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClassDataset(**{"examples": EXAMPLES_OF_TWO, "names": ["a", "b"]} | given)


def numbered(counts: list[int], **given: Any) -> ClassDataset:
    """Classes of several sizes; a token says the class and the example, and what is no example says -1."""
    largest = max(counts)
    tokens = 100 * torch.arange(len(counts)).unsqueeze(1) + torch.arange(largest)
    tokens = tokens.masked_fill(torch.arange(largest) >= torch.tensor(counts).unsqueeze(1), -1)
    names = [f"class{number}" for number in range(len(counts))]
    return ClassDataset(tokens[:, :, None, None].expand(-1, -1, 3, 1), names, torch.tensor(counts), **given)


def test_classes_of_several_sizes() -> None:
    counts = [5, 9, 6, 20]
    pool = numbered(counts)
    assert pool.smallest() == ("class0", 5)
    drawn = pool.sample(200, TaskShape(3, 2, 3), seeded_generator(0))
    inputs = torch.cat([part.inputs for part in drawn[:2]], dim=1)
    assert inputs.dtype == torch.int64
    assert inputs.shape == (200, 15, 3, 1)
    found = set(inputs.flatten().tolist())
    assert found == {100 * number + example for number, count in enumerate(counts) for example in range(count)}
    assert all(len(set(row.tolist())) == 15 for row in inputs[:, :, 0, 0])


def test_lengths_go_with_their_examples() -> None:
    lengths = torch.arange(1, 13).view(2, 6)
    drawn = ClassDataset(lengths[:, :, None, None].float().expand(-1, -1, 12, 1), ["a", "b"], None, lengths).sample(
        9, TaskShape(2, 2, 3), seeded_generator(0)
    )
    for part in drawn[:2]:
        assert torch.equal(part.lengths, part.inputs[:, :, 0, 0].long())
        assert len(part.lengths.unique()) > 6


def test_what_no_example_has_is_cut() -> None:
    lengths = torch.tensor([[3, 3, 3], [5, 2, 9]])
    pool = ClassDataset(torch.zeros(2, 3, 9, 1), ["a", "b"], torch.tensor([3, 2]), lengths)
    assert {part.inputs.shape[2] for part in pool.sample(4, TaskShape(2, 1, 1), seeded_generator(0))[:2]} <= {3, 5}


def test_the_queries_of_a_class_come_from_other_sources() -> None:
    sources = torch.arange(20).expand(4, -1) % 7
    pool = numbered([20, 18, 19, 20], sources=sources)
    drawn = pool.sample(300, TaskShape(3, 3, 7), seeded_generator(0))
    (support, query) = (part.inputs[:, :, 0, 0] % 100 % 7 for part in drawn[:2])
    seen = set()
    for task in range(300):
        for way in range(3):
            of_support, of_query = (set(part[task].view(3, -1)[way].tolist()) for part in (support, query))
            assert not of_support & of_query
            seen |= {(min(of_support), min(of_query))}
    assert len(seen) > 15
    tokens = torch.cat([part.inputs[:, :, 0, 0] for part in drawn[:2]], dim=1)
    assert all(len(set(row.tolist())) == 30 for row in tokens)
    assert len(tokens.unique()) == 77  # every example comes up


def test_a_source_again_where_there_is_no_other() -> None:
    pool = numbered([6, 6], sources=torch.tensor([[0, 0, 0, 1, 1, 1]] * 2))
    drawn = pool.sample(50, TaskShape(2, 2, 4), seeded_generator(0))
    tokens = torch.cat([part.inputs[:, :, 0, 0] for part in drawn[:2]], dim=1)
    assert all(len(set(row.tolist())) == 12 for row in tokens)
    of_support, of_query = (part.inputs[:, :, 0, 0].view(50, 2, -1) % 100 // 3 for part in drawn[:2])
    assert (of_support[..., 0] == of_support[..., 1]).all()
    other = (of_query != of_support[..., :1]).sum(-1)
    assert (other == 3).all()  # all of the other one, and one more


def test_a_task_is_a_group_where_classes_belong_together() -> None:
    pool = numbered([6, 9, 7, 6, 8, 6], together=2)
    drawn = pool.sample(300, TaskShape(2, 2, 3), seeded_generator(0))
    assert drawn.classes.shape == (300, 2)
    assert torch.equal(drawn.classes[:, 1], drawn.classes[:, 0] + 1)
    counts = torch.bincount(drawn.classes[:, 0], minlength=6)
    assert counts[[1, 3, 5]].sum() == 0
    assert (counts[[0, 2, 4]] - 100).abs().max() < 50  # five standard deviations
    for part in drawn[:2]:
        assert torch.equal(part.inputs[:, :, 0, 0] // 100, drawn.classes.gather(1, part.targets))
    with pytest.raises(ValueError, match="6 classes are no groups of 4"):
        numbered([6] * 6, together=4)


def pool_of(*names: str) -> ClassDataset:
    return ClassDataset(torch.zeros(len(names), 1, 2, 2, dtype=torch.uint8), names)


def test_disjoint_splits_pass() -> None:
    check_disjoint(dict(zip(SPLITS, (pool_of("a", "b"), pool_of("c"), pool_of("d", "e")), strict=True)))


def test_a_class_in_two_splits_is_named() -> None:
    pools = dict(
        zip(SPLITS, (pool_of("alpha", "beta", "gamma"), pool_of("delta"), pool_of("beta", "alpha")), strict=True)
    )
    with pytest.raises(DataError) as caught:
        check_disjoint(pools)
    (problem,) = caught.value.problems
    assert problem.what == "2 classes are in both meta_train and meta_test: alpha, beta"
    assert "one split only" in problem.fix
    assert caught.value.exit_code == 3


def test_every_overlap_is_told_at_once() -> None:
    many = [f"class{number}" for number in range(9)]
    pools = dict(zip(SPLITS, (pool_of(*many), pool_of(*many), pool_of("class8", "other")), strict=True))
    with pytest.raises(DataError) as caught:
        check_disjoint(pools)
    whats = [problem.what for problem in caught.value.problems]
    assert len(whats) == 3
    assert whats[0].endswith(": class0, class1, class2, class3, class4, ...")
    assert all(name in str(caught.value) for name in SPLITS)
