"""The procedural characters: reproducible, dealt out without overlap, and neither trivial nor hopeless."""

import time

import pytest
import torch

from metalstm.datasets.base import Dataset
from metalstm.datasets.images.glyphs import STROKES, characters, load_glyphs, spline
from metalstm.errors import ConfigError
from metalstm.tasks.classes import SPLITS, ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape, seeded_generator


@pytest.fixture(scope="module")
def glyphs() -> Dataset:
    return load_glyphs()


def pools(dataset: Dataset) -> list[ClassDataset]:
    return [pool for pool in map(dataset.splits.__getitem__, SPLITS) if isinstance(pool, ClassDataset)]


def pixels(dataset: Dataset) -> torch.Tensor:
    return torch.cat([pool.examples for pool in pools(dataset)])


def test_the_default_is_made_in_seconds() -> None:
    start = time.process_time()
    load_glyphs()
    assert time.process_time() - start < 10


def test_shapes_counts_and_disjoint_names(glyphs: Dataset) -> None:
    assert [pool.classes for pool in pools(glyphs)] == [400, 50, 150]
    assert all(pool.examples.shape == (pool.classes, 20, 28, 28) for pool in pools(glyphs))
    names = [name for pool in pools(glyphs) for name in pool.names]
    assert sorted(names) == [f"glyph_{number:04d}" for number in range(1, 601)]
    assert names != sorted(names)  # dealt out by a permutation
    assert pixels(glyphs).dtype == torch.uint8
    assert (glyphs.kind, glyphs.steps, glyphs.features) == ("classification", 28, 28)
    assert glyphs.outputs is None
    assert glyphs.images


def test_the_seed_and_nothing_else_decides() -> None:
    first = load_glyphs(classes=30, examples=3, seed=0)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        again = load_glyphs(classes=30, examples=3, seed=0)
    finally:
        torch.set_num_threads(threads)
    other = load_glyphs(classes=30, examples=3, seed=1)
    assert torch.equal(pixels(first), pixels(again))
    assert first.fingerprint == again.fingerprint
    assert [pool.names for pool in pools(first)] == [pool.names for pool in pools(again)]
    assert (pixels(first) != pixels(other)).float().mean() > 0.1
    assert first.fingerprint != other.fingerprint
    assert pools(first)[2].names != pools(other)[2].names


def test_ink_on_an_empty_page(glyphs: Dataset) -> None:
    images = pixels(glyphs)
    page = (images == 0).float().mean(dim=(2, 3))  # [C, E]
    assert 0.7 < page.mean() < 0.9
    assert page.min() > 0.4  # no blot
    assert images.flatten(2).amax(dim=2).min() > 127  # every drawing has full ink somewhere
    between = ((images > 0) & (images < 150)).float().mean() / (images > 0).float().mean()
    assert 0.1 < between < 0.6  # strokes have soft borders
    marks = images.float()
    across = (marks.sum(dim=2) * torch.arange(28)).sum(-1) / marks.sum(dim=(2, 3))
    assert 12.5 < across.mean() < 14.5  # centred, and shifted by a few pixels within a class
    assert 0.5 < across.std(dim=1).mean() < 4


def test_drawings_of_a_class_differ_and_resemble_each_other(glyphs: Dataset) -> None:
    images = pools(glyphs)[2].examples[:60, :10].float().flatten(2) / 255  # [C, E, pixels]
    distances = torch.cdist(images.flatten(0, 1), images.flatten(0, 1)).view(60, 10, 60, 10).transpose(1, 2)
    same = distances.diagonal(dim1=0, dim2=1)[~torch.eye(10, dtype=torch.bool)]  # [pairs, C]
    different = distances[~torch.eye(60, dtype=torch.bool)]
    assert same.min() > 1
    assert same.mean() < 0.95 * different.mean()


def test_pixels_alone_do_neither_well_nor_at_chance(glyphs: Dataset) -> None:
    tasks = TaskSampler(glyphs.splits["meta_test"], TaskShape(5, 1, 5), 400, 0, "meta_test")(0)
    distances = torch.cdist(tasks.query.inputs.flatten(2), tasks.support.inputs.flatten(2))
    guesses = tasks.support.targets.gather(1, distances.argmin(dim=-1))
    accuracy = (guesses == tasks.query.targets).float().mean()
    assert 0.4 < accuracy < 0.65


def test_characters_fill_the_page_with_one_to_four_strokes() -> None:
    controls, strokes = characters(200, seeded_generator(0, "test"))
    assert sorted(set(strokes.tolist())) == [1, 2, 3, 4]
    used = torch.arange(STROKES) < strokes.unsqueeze(1)
    assert controls[used].abs().max() <= 1 + 1e-5
    reach = torch.stack([drawing[: int(count)].abs().max() for drawing, count in zip(controls, strokes, strict=True)])
    assert torch.allclose(reach, torch.ones(200), atol=1e-5)


def test_a_stroke_passes_through_its_knots_and_keeps_a_line_straight() -> None:
    knots = torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, 0.0, 3.0])
    stroke = spline(knots)
    assert (stroke - knots.unsqueeze(1)).abs().amin(dim=1).max() < 0.1
    assert stroke[0] == knots[0]
    assert torch.isclose(stroke[-1], knots[-1])
    line = spline(torch.arange(7.0))
    assert torch.allclose(line, torch.linspace(0, 6, len(line)), atol=1e-5)


def test_too_little_to_split_is_refused_at_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        load_glyphs(classes=11, examples=1)
    assert len(refusal.value.problems) == 2
    smallest = load_glyphs(classes=12, examples=2)
    assert [pool.classes for pool in pools(smallest)] == [8, 1, 3]
