"""What files of data hold: small whole ones of every kind, and odd ones that may lie in their place."""

from __future__ import annotations

import functools
import io
import json
import pickle
import struct
import tempfile
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Whole = dict[str, bytes]  # content by name


# What whole data is


def sound(form: str, seed: int, rate: int = 16000, subtype: str | None = None, channels: int = 1) -> bytes:
    import soundfile

    samples = 0.2 * np.random.default_rng(seed).normal(size=(1200, channels)).clip(-4, 4)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def image(mode: str, form: str, seed: int, size: tuple[int, int] = (24, 18), **options: Any) -> bytes:
    levels = np.random.default_rng(seed).integers(0, 256, (*size, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(levels)
    picture = picture if mode == "RGBA" else picture.convert("RGB").convert(mode)
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def table(seed: int, between: str = ",") -> bytes:
    rows = np.random.default_rng(seed).normal(seed % 5, 1, (6, 3))
    return "\n".join(["time,load,heat".replace(",", between), *(between.join(map(str, row)) for row in rows)]).encode()


def lines(seed: int) -> bytes:
    return f"please word{seed} now\nand more\n".encode()


def classes(suffix: str, content: Callable[[int], bytes], each: int = 2) -> Whole:
    return {
        f"class{label}/{number}_{label}{suffix}": content(each * label + number)
        for label in range(6)
        for number in range(each)
    }


def drives() -> Whole:
    def log(place: int) -> bytes:
        rows = [f"{n / 6.5},{5 + n % 3},{4 + n % 5 * place},{place + n % 7},{place / 2 - n % 4}" for n in range(40)]
        return "\n".join(["time,curL,curR,velL,velR", *rows, ""]).encode()

    return {f"terrain{place}/pro_0.csv": log(place) for place in range(5)}


def ratings() -> Whole:
    films = [f"{n:07}::War of Word{n} (19{50 + 3 * n})::Drama|War" for n in range(12)]
    rows = [f"{n // 6}::{(n // 6 + n % 6) % 12:07}::{(4, 6, 7, 8, 9, 10)[n % 6]}::{1000 + n}" for n in range(60, 120)]
    return {"movies.dat": "\n".join(films).encode(), "ratings.dat": "\n".join(rows).encode()}


def intents() -> Whole:
    domains = {f"domain{d}": [f"intent{d}a", f"intent{d}b"] for d in range(4)}
    rows = [[f"please word{d} number{n}", i] for d, both in enumerate(domains.values()) for i in both for n in range(3)]
    data = {"train": rows, "val": rows[::3], "test": rows[1::3], "oos_train": [["who won", "oos"]]}
    return {"data_full.json": json.dumps(data).encode(), "domains.json": json.dumps(domains).encode()}


def cifar() -> Whole:
    from metalstm.datasets.images.cifar_fs import CLASSES

    names = sorted(name.encode() for chosen in CLASSES.values() for name in chosen)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 3072), dtype=np.uint8)
    parts = {
        "meta": {b"fine_label_names": names},
        "train": {b"data": pixels, b"fine_labels": [n // 2 for n in range(200)]},
        "test": {b"data": pixels[:100], b"fine_labels": list(range(100))},
    }
    return {name: pickle.dumps(content, 4) for name, content in parts.items()}


def records() -> Whole:
    import wfdb

    with tempfile.TemporaryDirectory() as folder:
        for name in ("100", "105", "106", "200"):
            samples = np.random.default_rng(int(name)).normal(0, 0.3, (9 * 180, 2))
            wfdb.wrsamp(name, 360, ["mV"] * 2, ["a", "b"], samples, fmt=["16"] * 2, write_dir=folder)
            wfdb.wrann(name, "atr", np.arange(1, 9) * 180, list("NNVNNNVN"), write_dir=folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


# What else may lie there


def wav(**fields: int) -> bytes:
    """A wav whose header says what it likes."""
    given = {"tag": 1, "channels": 1, "rate": 16000, "bytes": 32000, "align": 2, "bits": 16, "size": 2400} | fields
    form = struct.pack("<HHIIHH", *(given[name] for name in ("tag", "channels", "rate", "bytes", "align", "bits")))
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", given["size"]) + bytes(range(240)) * 10
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    """An npy file with such a header."""
    content = text.encode("latin1", "replace") + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(content) % (2**16 if version == (1, 0) else 2**32))
    return b"\x93NUMPY" + bytes(version) + length + content + bytes(400)


def said(shape: str = "(5, 3)", kind: str = "'<f8'", more: str = "") -> bytes:
    return header(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, {more}}}")


def png(width: int, height: int, *chunks: tuple[bytes, bytes], depth: int = 8, colour: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(bytes(2000))), (b"IEND", b"")]
    whole = (struct.pack(">I", len(data)) + n + data + struct.pack(">I", zlib.crc32(n + data)) for n, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image("RGB", "JPEG", 3, exif=exif)


def standard_wav(width: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, width, 16000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(range(256)) * 12)
    return buffer.getvalue()


def odd_recordings() -> list[bytes]:
    odd = (0, 2, 3, 6, 7, 17, 24, 64, 85, 0xFFFE, 0xFFFF)
    rates = (0, 1, 99, 100, 1000, 44_100, 768_000, 10**6, 2**31, 2**32 - 1)
    return [
        *(wav(**{name: value}) for name in ("tag", "channels", "align", "bits") for value in odd),
        *(wav(rate=rate) for rate in rates),
        *(wav(size=size) for size in (0, 1, 2**31, 2**31 - 1, 2**32 - 1, 3 * 10**9)),
        *(sound(form, 1) for form in ("FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64", "NIST")),
        *(sound("WAV", 1, rate, channels=2) for rate in (1000, 8000, 11025, 96000)),
        *(sound("WAV", 1, 16000, kind) for kind in ("FLOAT", "DOUBLE", "PCM_24", "IMA_ADPCM", "GSM610")),
        *(standard_wav(width) for width in (1, 2, 3, 4)),
        image("RGB", "JPEG", 0),
    ]


def odd_images() -> list[bytes]:
    turn = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff"
    chunks = [(b"tRNS", b"\0\1"), (b"acTL", bytes(8)), (b"eXIf", b"MM\0*\xff"), (b"eXIf", turn), (b"PLTE", b"")]
    return [
        *(png(*size) for size in ((0, 0), (1, 1), (65_535, 1), (1, 65_535), (10**6, 1), (20_000, 20_000))),
        *(png(2**31 - 1, 2**31 - 1, depth=depth, colour=colour) for depth, colour in ((1, 0), (16, 6))),
        *(png(8, 8, depth=depth, colour=colour) for depth in (1, 7, 16) for colour in (0, 2, 3, 4, 6, 9)),
        *(png(8, 8, chunk) for chunk in (*chunks, (b"iCCP", b"a\0\0junk"))),
        *(image(mode, "PNG", 1) for mode in ("1", "L", "LA", "P", "I;16")),
        *(image(mode, "JPEG", 1) for mode in ("L", "CMYK", "YCbCr")),
        *(image("RGB", form, 1) for form in ("GIF", "TIFF", "WEBP", "BMP")),
        image("P", "PNG", 1, transparency=bytes(256)),
        *map(turned, (0, 2, 5, 6, 8, 9, 65_535)),
        image("RGB", "JPEG", 1, progressive=True) + b"\xff\xda" * 200,
    ]


def odd_arrays() -> list[bytes]:
    shapes = [
        *("(True, 2)", "(-1, 3)", "(5,)", "()", "(0, 3)", "(5, 3, 1)", "5", "(5.0, 3)", "(10**9, 10**9)", "('a', 2)"),
        *("(1000000000, 1000000000)", "(99999999999999999999, 2)", "[5, 3]", "None", "(5, 3"),
    ]
    kinds = [
        *("'|O'", "'<c8'", "'<U4'", "'<M8[s]'", "'|V8'", "'<f2'", "'>i8'", "'|b1'", "'<f16'", "'nothing'", "5", "None"),
        *("[('a', '<f8')]", "[('a', '|O')]", "''", "'<f8,<f8'", "'(2,2)<f8'", "'(1000000000,)f8'"),
    ]
    headers = ["", "[]", "5", "{'descr': '<f8'}", "x" * 60_000, "(" * 3000, "{1: 2, 'a': []}", "\0"]
    return [
        *(said(shape) for shape in shapes),
        *(said(kind=kind) for kind in kinds),
        *map(header, headers),
        *(header("{'descr': '<f8', 'fortran_order': 3, 'shape': (5, 3)}", (n, 0)) for n in (1, 2, 3, 9)),
        npy(np.array([[1e300, np.nan], [1, 2]])),
        npy(np.asfortranarray(np.ones((5, 3)))),
    ]


def odd_tables() -> list[bytes]:
    return [
        *(table(3, between) for between in (";", "\t", " ", ", ", "|")),
        *(b"1,2,3\n" * 3000, b"9" * 5000, b'"' + b"a," * 3000, b"sep=;\n1;2;3\n1;2;3\n", b"1,5;2,5;3\n2,5;1,0;4\n"),
        *("1,2,3\n4,5,6\n".encode("utf-16"), b"1,2,3\r4,5,6\r", b"2024-01-01,2,3\n2024-01-02,5,6\n", bytes(500)),
        *(b",time,load,heat\n0,1,2,3\n1,2,3,4\n", b"time,load,heat\n", b"load,heat,time\n1,2,3\n4,5,6\n"),
        ("١,٢,٣\n" * 3).encode(),
    ]


def odd_texts() -> list[bytes]:
    texts = ["😀😀\n!!\n", "你好世界\n再见\n", "नमस्ते\nक़\n", "\u202e\u200b\n", "a" * 60_000, "\n" * 3000, "\0\0word\n"]
    return [*(text.encode() for text in texts), "word\n".encode("utf-16"), b"word\x85word\x0cword\n", b"caf\xe9\n"]


def odd_records() -> list[bytes]:
    headers = [
        *("100 2 360 1620\n", "100 99999 360 10\n", "100 2 360 999999999999\n100.dat 16 1\n100.dat 16 1\n", "100\n"),
        *("100/3 2 360 1620\na 10\nb 10\nc 10\n", "100 1 360 10\n../../etc/passwd 16 1\n", "# nothing\n"),
        *("100 1 360 10\n/dev/zero 16 1\n", "100 1 360 10\n100.dat 16x1000000 1\n", "100 1 0 10\n100.dat 16 1\n"),
        *("100 1 nan 10\n100.dat 16 0\n", "100 2 360 1620\n100.dat 516 1\n100.dat 516 1\n"),
        *("100 1 360 10\ns3://x/100.dat 16 1\n", "100 2 360 10\n100.dat 999 1\n100.dat 16 1\n"),
    ]
    codes = (bytes([0x10, code << 2, 0, 0]) * 50 + b"\0\0" for code in range(50, 64))
    return [*(each.encode() for each in headers), b"\0\0", bytes(3000), b"\xff" * 3000 + b"\0\0", *codes]


def odd_logs() -> list[bytes]:
    columns = b"time,curL,curR,velL,velR\n"
    return [
        *(columns, b"velR,time,curL,curR,velL\n" + b"1,1,1,1,1\n" * 3, b"a" * 200_000, columns + b'"0,1,2,3,4'),
        columns + b"0,1e999,nan,inf,1\n",
    ]


def odd_ratings() -> list[bytes]:
    return [
        *(b"10::0000001::5::99999999999999999999999999\n", b"::::::\n", b"1::" + b"9" * 70_000 + b"::5::1\n"),
        *("1::2::٥::1\n".encode(), b"0000001::" + b"word " * 9000 + b" (1999)::Drama\n", b"\xff::\xfe\n"),
    ]


def odd_intents() -> list[bytes]:
    return [b"[" * 90_000, b'{"train": ' * 9000, b"1" * 9000, b'{"train":[["a","\\ud800"]]}', b"NaN"]


def odd_pickles() -> list[bytes]:
    empty = pickle.dumps({b"data": [], b"fine_labels": [True], b"fine_label_names": [None]}, 4)
    return [
        *(b"\x80\x04\x95" + b"\xff" * 8, b"cposix\nsystem\n(S'true'\ntR.", b"\x80\x04\x8e" + b"\xff" * 7 + b"\0."),
        *(b"(" * 3000 + b".", b"\x80\x02T\xff\xff\xff\x7f.", b"\x80\x02I99999999999999999999\n.", empty),
        # A tuple twice in a tuple, sixty deep: to hash it as a key takes longer than there is time.
        b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s.",
    ]


ODD: dict[str, Callable[[], list[bytes]]] = {
    "recordings": functools.cache(odd_recordings),
    "images": functools.cache(odd_images),
    "npy": functools.cache(odd_arrays),
    "csv": functools.cache(odd_tables),
    "txt": functools.cache(odd_texts),
    "ecg": functools.cache(odd_records),
    "terrain": functools.cache(odd_logs),
    "ratings": functools.cache(odd_ratings),
    "intents": functools.cache(odd_intents),
    "cifar": functools.cache(odd_pickles),
}
