"""Images of a person's own: bounded before they are decoded, turned upright, laid on paper.

Legend: a picture is an RGB image.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP")
MOST_PIXELS = 64_000_000  # that are decoded, as 8,000 x 8,000; they take 256 MB, or twice that with transparency
LONGEST_SIDE = 65_535  # pixels, as JPEG has them
MOST_SCANS = 100  # of a JPEG: each goes over all of the picture
LARGE = 4_000_000  # pixels: a larger picture is reduced as it is decoded
SPARE = 4  # times as many pixels a side are kept then as are needed
BLANK = 8  # levels of 255: a picture whose colours differ by less has nothing on it


class Picture(NamedTuple):
    """An image as it is seen."""

    image: Image.Image  # RGB
    paper: str = "white"  # that it was laid on where it is transparent
    reduced: bool = False  # whether it was made smaller as it was decoded


def read_picture(data: bytes, side: int) -> Picture:
    """Read a PNG, JPEG or BMP, turned upright as its camera says.

    A transparent picture is laid on white paper; on black where nothing would be seen on white.

    Args:
        data: of the file.
        side: pixels that are needed in height and width.

    Raises:
        one of UNREADABLE: no whole image of these, one out of bounds, or of more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # there is a bound of our own
            with opened(data) as image:
                check_kind(image, data)
                image.verify()  # checksums, which decoding alone does not look at
            with opened(data) as image:
                reduced = reduce(image, side)
                check_size(image)
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
    except UnidentifiedImageError as error:
        raise ValueError("no PNG, JPEG or BMP image") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: make it smaller") from error
    except (struct.error, zlib.error) as error:
        raise ValueError(str(error)) from error
    if image.mode in ("P", "PA") and image.palette is None:
        raise ValueError("its palette is missing")
    if image.has_transparency_data:
        return laid_on_paper(image, side)
    return Picture(image if image.mode == "RGB" else image.convert("RGB"), reduced=reduced)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=FORMATS)


def check_kind(image: Image.Image, data: bytes) -> None:
    """Refuse what would lose what it shows, or takes too long to decode at any size."""
    if image.mode[0] in "IF":
        raise ValueError(f"its pixels are of mode {image.mode}, wanted 8 bits a channel")
    if image.format != "JPEG" or "progressive" in image.info:  # others are decoded at a part of their size
        check_size(image)
    if image.format == "JPEG" and (scans := data.count(b"\xff\xda")) > MOST_SCANS:
        raise ValueError(f"it is a JPEG of {scans:,} scans, wanted at most {MOST_SCANS}: save it again")


def check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise ValueError(
            f"it has {width:,} x {height:,} pixels, wanted at most {MOST_PIXELS:,} in all and {LONGEST_SIDE:,} a side: "
            "make it smaller"
        )


def reduce(image: Image.Image, side: int) -> bool:
    """Have a large JPEG decoded at 1/2, 1/4 or 1/8 of its size, which is quick; says whether it is."""
    size = image.size
    if size[0] * size[1] > LARGE:
        image.draft(None, (SPARE * side, SPARE * side))
    return image.size != size


def laid_on_paper(transparent: Image.Image, side: int) -> Picture:
    """Lay a picture on white paper, or on black where nothing would be seen on white."""
    whole = transparent.convert("RGBA")
    factor = min(whole.size) // (SPARE * side) if whole.width * whole.height > LARGE else 1
    if factor > 1:
        whole = whole.reduce(factor)
    picture = laid_on("white", whole)
    if is_blank(picture) and not is_blank(on_black := laid_on("black", whole)):
        return Picture(on_black, "black", factor > 1)
    return Picture(picture, reduced=factor > 1)


def laid_on(paper: str, transparent: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", transparent.size, paper), transparent).convert("RGB")


def is_blank(picture: Image.Image) -> bool:
    levels = np.asarray(picture).reshape(-1, 3)
    return bool((np.ptp(levels, axis=0) < BLANK).all())
