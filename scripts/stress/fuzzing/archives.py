"""Small Omniglots: two zips or folders of a few characters, and what may be wrong with them."""

from __future__ import annotations

import functools
import io
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from PIL import Image, ImageDraw

from .damage import Broken, break_bytes, broken
from .harness import Ended, faults, run

PARTS = {"images_background": 6, "images_evaluation": 4}  # characters
PER_CHARACTER = 3
SETTINGS = (
    "dataset=omniglot",
    "dataset.root=omniglot",
    "ways=2",
    "queries=1",
    "train_queries=1",
    "model.hidden_size=8",
)
Members = dict[str, bytes]


class Data(NamedTuple):
    """An Omniglot: packed or not, and what is wrong with it."""

    zipped: bool
    damage: tuple[tuple[Any, ...], ...]
    settings: tuple[str, ...]


def png(mode: str = "1", size: tuple[int, int] = (105, 105), seed: int = 0, form: str = "PNG", **options: Any) -> bytes:
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).line((seed * 7 % 100, 5, 90, seed * 13 % 100), fill=0, width=3)
    buffer = io.BytesIO()
    (image if mode == "L" else image.convert(mode)).save(buffer, form, **options)
    return buffer.getvalue()


def claiming(width: int, height: int, depth: int = 1, colour: int = 0) -> bytes:
    """A PNG whose header says what its data does not hold; the header's checksum is right."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    whole = png()
    return whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]


def with_chunk(name: bytes, content: bytes) -> bytes:
    whole = png()
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return whole[:33] + chunk + whole[33:]


IMAGES: dict[str, Callable[[], bytes]] = {
    **{mode: functools.partial(png, mode) for mode in ("L", "P", "RGB", "RGBA", "LA", "I;16")},
    **{form: functools.partial(png, "L", form=form) for form in ("GIF", "JPEG", "BMP", "TIFF")},
    **{f"{side} pixels": functools.partial(png, size=(side, side)) for side in (1, 104, 106, 2000)},
    "not square": functools.partial(png, size=(105, 104)),
    "animated": lambda: png("L", save_all=True, append_images=[Image.new("L", (105, 105))]),
    **{f"claims {w}x{h}": functools.partial(claiming, w, h) for w, h in ((0, 0), (105, 10**6), (20_000, 20_000))},
    "claims the most": functools.partial(claiming, 2**31 - 1, 2**31 - 1),
    "claims too much": functools.partial(claiming, 2**32 - 1, 105),
    "odd depth": functools.partial(claiming, 105, 105, 7),
    "odd colour": functools.partial(claiming, 105, 105, 1, 9),
    "long text": functools.partial(with_chunk, b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21))),
    "broken text": functools.partial(with_chunk, b"zTXt", b"a\0\0junk"),
    "no colours": functools.partial(with_chunk, b"PLTE", b""),
    "broken profile": functools.partial(with_chunk, b"iCCP", b"a\0\0junk"),
    "odd animation": functools.partial(with_chunk, b"acTL", b"\0"),
    "odd size": functools.partial(with_chunk, b"pHYs", b"\0"),
    "unknown": functools.partial(with_chunk, b"ABCD", b""),
}
NAMES = [
    *("../evil.png", "/evil.png", "C:/evil.png", "..\\evil.png", "images_background/../../evil.png", "a/b", "a/b/", ""),
    *("images_background/A/character01/é.png", "images_background/A/character01/x.png", "x" * 60_000, "a/b/c.png", "/"),
    *("images_background/Tifinagh_0/character01/0000_01.png", "images_evaluation/T/character01/x.PNG", "a\nb/c/d.png"),
    *(
        "images_background//x/y.png",
        "./a/b/c.png",
        "~/a/b.png",
        "images_evaluation/images_evaluation/a/b/c.png",
        "nul\0/b/c.png",
    ),
]
which = st.integers(0, 17)
part = st.sampled_from(list(PARTS))
image_damage = st.one_of(broken(), st.sampled_from(sorted(IMAGES)))
DAMAGE: SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("image"), part, which, image_damage),
    st.tuples(st.just("image"), part, which, image_damage),
    st.tuples(st.just("file"), part, broken()),
    st.tuples(st.just("file"), part, broken("flipped", "a byte changed", "zeros", "cut", "truncated")),
    st.tuples(st.just("end of file"), part, broken("flipped", "a byte changed", "zeros", "cut", "truncated")),
    st.tuples(st.just("member"), part, st.sampled_from(NAMES)),
    st.tuples(st.just("gone"), part, which),
    st.tuples(st.just("method"), part, which, st.sampled_from([1, 8, 9, 12, 14, 93, 97, 99])),
    st.tuples(st.just("odd"), part, which, st.sampled_from(["folder", "loop", "nowhere", "pipe"])),
    st.tuples(st.just("part"), part, st.sampled_from(["gone", "folder", "file", "loop", "pipe", "the other"])),
    st.tuples(st.just("cache"), broken()),
)


def data() -> SearchStrategy[Data]:
    odd = st.sampled_from(
        ["ways=5", "ways=3", "shots=3", "dataset.split=lake", "dataset.rotations=none", "dataset.download=false"]
    )
    settings = st.lists(odd, max_size=1).map(tuple)
    return st.builds(Data, st.booleans(), st.lists(DAMAGE, min_size=1, max_size=2).map(tuple), settings)


@functools.cache
def whole(name: str) -> Members:
    alphabet = {"images_background": "Tifinagh", "images_evaluation": "Tibetan"}[name]
    return {
        f"{name}/{alphabet}_{number % 2}/character{number // 2 + 1:02}/{number:04}_{drawer:02}.png": png(
            seed=9 * number + drawer
        )
        for number in range(PARTS[name])
        for drawer in range(PER_CHARACTER)
    }


def build(case: Data, root: Path) -> None:
    """Makes the data in a folder."""
    root.mkdir()
    for name in PARTS:
        mine = [damage for damage in case.damage if damage[1] == name]
        members = dict(whole(name))
        for kind, _, *rest in mine:
            MEMBERS.get(kind, lambda members, *_: None)(members, *rest)
        if case.zipped:
            pack(root / f"{name}.zip", members, [damage for damage in mine if damage[0] == "method"])
        else:
            unpack(root, members)
        for kind, _, *rest in mine:
            PLACES.get(kind, lambda *_: None)(root, name, root / (f"{name}.zip" if case.zipped else name), *rest)


def broken_image(members: Members, at: int, how: Broken | str) -> None:
    name = list(members)[at % len(members)]
    members[name] = IMAGES[how]() if isinstance(how, str) else break_bytes(members[name], how)


MEMBERS: dict[str, Callable[..., Any]] = {
    "image": broken_image,
    "member": lambda members, name: members.update({name: png()}),
    "gone": lambda members, at: members.pop(list(members)[at % len(members)]),
}


def pack(path: Path, members: Members, methods: list[tuple[Any, ...]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for _, _, at, method in methods:  # said in both headers, and not done
            info = archive.infolist()[at % len(members)]
            info.compress_type = method
            end = archive.fp.tell()
            archive.fp.seek(info.header_offset + 8)
            archive.fp.write(struct.pack("<H", method))
            archive.fp.seek(end)


def unpack(root: Path, members: Members) -> None:
    for name, content in members.items():
        file = root / name.replace("..", "up").strip("/").replace("\0", "0")[:200]
        if not file.is_dir():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def odd_file(root: Path, name: str, place: Path, at: int, how: str) -> None:
    if place.is_dir():
        become(sorted(place.rglob("*.png"))[at % 9], how)


def odd_part(root: Path, name: str, place: Path, how: str) -> None:
    other = next(part for part in PARTS if part != name)
    if how == "the other":
        remove(place)
        pack(place.with_suffix(".zip"), whole(other), [])
    else:
        become(place, how)


def become(path: Path, how: str) -> None:
    remove(path)
    if how == "folder":
        path.mkdir()
    elif how in ("loop", "nowhere"):
        path.symlink_to(path if how == "loop" else path.with_name("nowhere"))
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "file":
        path.write_bytes(b"")


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def broken_file(root: Path, name: str, place: Path, how: Broken) -> None:
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*.png"))
    if files:
        files[how.number % len(files)].write_bytes(break_bytes(files[how.number % len(files)].read_bytes(), how))


def broken_end(root: Path, name: str, place: Path, how: Broken) -> None:
    """Where a zip's list of members is."""
    if place.is_file():
        content = place.read_bytes()
        begin = content.find(b"PK\x01\x02")
        place.write_bytes(content[:begin] + break_bytes(content[begin:], how))


PLACES: dict[str, Callable[..., Any]] = {
    "odd": odd_file,
    "part": odd_part,
    "file": broken_file,
    "end of file": broken_end,
}


def begin(case: Data, root: Path) -> Ended:
    """Begins a run on the data."""
    from metalstm.datasets.images import omniglot
    from metalstm.datasets.images.omniglot import load_omniglot
    from metalstm.datasets.images.omniglot_files import Counts

    counts = Counts(*PARTS.values(), per_character=PER_CHARACTER, meta_train=5, meta_validation=2)
    folder = root / "work" / "omniglot"
    build(case, folder)
    arguments = (*SETTINGS, *case.settings)
    with mock.patch.object(omniglot, "load_omniglot", functools.partial(load_omniglot, counts=counts)):
        for damage in case.damage:
            if damage[0] == "cache":  # of data that is whole
                run("train", arguments, root)
                for cache in folder.glob("*.cache"):
                    cache.write_bytes(break_bytes(cache.read_bytes(), damage[1]))
        return run("train", arguments, root)


def play(case: Data, root: Path) -> list[str]:
    """Begins a run on the data, and says what is wrong with how it ended."""
    return faults(begin(case, root), case.settings, lambda name: name.endswith(".cache"))
