"""Images of a person's own: bounded before they are decoded, large photos read quickly, transparent ones on paper."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from metalstm.datasets.images.drawings import read_drawing
from metalstm.datasets.own.folder import load_folder
from metalstm.datasets.own.folder_readers import read_image
from metalstm.datasets.own.pictures import read_picture
from metalstm.errors import DataError


def saved(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says how large it is."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    whole = saved(Image.new("RGB", (4, 4)))
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def letter(ink: str, paper: str | tuple[int, ...], mode: str = "RGBA") -> Image.Image:
    image = Image.new(mode, (60, 60), paper)
    ImageDraw.Draw(image).line((10, 10, 50, 45), fill=ink, width=6)
    return image


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (claiming(13_000, 13_000), "it has 13,000 x 13,000 pixels, wanted at most 64,000,000"),
        (claiming(70_000, 2), "it has 70,000 x 2 pixels, wanted .* 65,535 a side: make it smaller"),
        (claiming(2**31 - 1, 2**31 - 1), "more than 178,956,970 pixels: make it smaller"),
        (saved(Image.new("RGB", (9, 9)), "JPEG", progressive=True) + b"\xff\xda" * 101, "wanted at most 100: save it"),
        (saved(Image.new("I;16", (9, 9))), "mode I;16, wanted 8 bits a channel"),
        (saved(Image.new("RGB", (9, 9)))[:-20], "(?i)truncated"),
        (saved(Image.new("RGB", (9, 9)), "GIF"), "no PNG, JPEG or BMP image"),
    ],
    ids=["bomb", "long", "most", "scans", "16 bits", "cut off", "gif"],
)
def test_what_is_refused_at_once(data: bytes, words: str) -> None:
    begin = time.monotonic()
    with pytest.raises((ValueError, OSError, SyntaxError), match=words):
        read_image(data, 28)
    assert time.monotonic() - begin < 2


def test_a_bomb_is_named_with_exit_code_3(tmp_path: Path) -> None:
    for label in range(6):
        (tmp_path / f"class{label}").mkdir()
        (tmp_path / f"class{label}" / "a.png").write_bytes(claiming(20_000, 20_000) if label else b"")
    with pytest.raises(DataError, match=r"class1/a\.png: cannot be read: it has more than .* pixels") as error:
        load_folder(tmp_path)
    assert error.value.exit_code == 3
    assert str(error.value).count("error:") == 6  # five, and how many more


@pytest.mark.parametrize("size", [(6000, 4000), (9000, 1000)])
def test_a_large_photo_is_read_quickly(size: tuple[int, int]) -> None:
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    whole = small.resize(size, Image.Resampling.BICUBIC)
    begin = time.monotonic()
    read = read_image(saved(whole, "JPEG", quality=95), 28)
    assert time.monotonic() - begin < 5
    assert read.how == "reduced"
    exact = np.asarray(whole.resize((28, 28), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(read.values.numpy() - exact).max() <= 4


def test_a_photo_of_a_phone_is_read_at_a_part_of_its_size() -> None:
    assert (read_image(saved(Image.new("L", (9600, 8000), 90), "JPEG"), 28).values == 90).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (65_535, 3)])
def test_any_proportions_are_read(size: tuple[int, int]) -> None:
    data = saved(Image.new("L", size, 100))
    assert (read_image(data, 28).values == 100).all()
    assert read_drawing(data).shape == (28, 28)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_without_transparency_it_is_as_it_was(mode: str) -> None:
    levels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image = Image.fromarray(levels).convert(mode)
    data = saved(image, "JPEG" if mode == "CMYK" else "PNG")
    with Image.open(io.BytesIO(data)) as again:
        rgba = again.convert("RGBA")
    before = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    before = before.resize((28, 28), Image.Resampling.BILINEAR)
    assert torch.equal(read_image(data, 28).values, torch.from_numpy(np.array(before)))


def test_a_camera_on_its_side() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the right of the picture is its top
    image = Image.new("RGB", (40, 20))
    image.paste("white", (20, 0, 40, 20))
    upright = read_picture(saved(image, "JPEG", exif=exif), 28).image
    assert upright.size == (20, 40)
    top, bottom = np.asarray(upright.convert("L"))[[5, 35]].mean(axis=1)
    assert (top < 30, bottom > 220) == (True, True)


def test_dark_ink_on_transparent_paper_is_on_white() -> None:
    transparent = read_image(saved(letter("black", (0, 0, 0, 0))), 28)
    assert torch.equal(transparent.values, read_image(saved(letter("black", "white", "RGB")), 28).values)
    assert transparent.note == transparent.how == ""


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_white_ink_on_transparent_paper_is_on_black(mode: str) -> None:
    clear = (255, 0) if mode == "LA" else (255, 255, 255, 0)
    read = read_image(saved(letter("white", clear, mode)), 28)
    assert torch.equal(read.values, read_image(saved(letter("white", "black", "RGB")), 28).values)
    assert "white ink" in read.note


def test_white_ink_is_ink_to_a_drawing() -> None:
    white = read_drawing(saved(letter("white", (0, 0, 0, 0))))
    assert torch.equal(white, read_drawing(saved(letter("black", "white", "RGB"))))
    assert white.float().mean() > 5


def test_nothing_at_all_stays_white() -> None:
    read = read_image(saved(Image.new("RGBA", (30, 30), (9, 9, 9, 0))), 28)
    assert (read.values == 255).all()
    assert read.note == ""


def test_large_transparent_pictures_are_reduced() -> None:
    clear = Image.new("RGBA", (2600, 2000), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 1300, 2000))
    read = read_image(saved(clear), 28)
    assert read.how == "reduced"
    assert (read.values[:, :13] < 5).all()
    assert (read.values[:, 15:] > 250).all()


def test_white_ink_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in range(6):
        (tmp_path / f"class{label}").mkdir()
        for number in range(2):
            image = letter("white" if number else "black", (0, 0, 0, 0)).rotate(label * 30)
            (tmp_path / f"class{label}" / f"{number}.png").write_bytes(saved(image))
    load_folder(tmp_path)
    assert "6 of 12 files, such as" in caplog.text
    assert "class0/1.png: white ink on transparent paper: it is laid on black" in caplog.text
