"""ECG records in WFDB's format, `.hea` `.dat` `.atr`: found, checked for completeness, read with the package `wfdb`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metalstm.config.extras import install
from metalstm.errors import ConfigError, DataError, Problem, first_few
from metalstm.files.writing import check_size

PARTS = (".hea", ".dat", ".atr")  # header, samples, annotations
LARGEST = {".hea": 2**16, ".dat": 2**28, ".atr": 2**26}  # bytes: more than a day of several leads has
MOST_SAMPLES, MOST_LEADS, MOST_A_FRAME = 10**8, 64, 100  # of a lead; of a record; of a lead in a frame
RATES = (1, 100_000)  # samples a second, between which they have to be
SOURCE = "https://physionet.org/content/mitdb/"
FIX = (
    f"put the records of {SOURCE} (.hea, .dat and .atr files) into this folder or one folder in it, "
    "or name another with dataset.root"
)
MEND = f"fetch this record again from {SOURCE}, or remove all of its files"

# The beat annotations of https://archive.physionet.org/physiobank/annotations.shtml; all other symbols are of rhythm,
# noise, waves within a beat, ventricular flutter and so on.
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
PVC = frozenset("Vr")  # premature ventricular contractions, r those on the T wave before


class Record(NamedTuple):
    """One lead of one record."""

    signal: NDArray[np.float64]  # [N], mV; not a number where a sample is missing
    rate: float  # samples a second
    peaks: NDArray[np.int64]  # where beats are annotated, among the N samples
    pvc: NDArray[np.bool_]  # for each beat, whether it is a premature ventricular contraction


def need_wfdb() -> Any:
    """Return the package `wfdb`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import wfdb
    except ImportError as error:
        raise ConfigError.of(
            f"dataset=ecg reads records with the package wfdb, which cannot be imported: {error}",
            install("ecg"),
        ) from error
    return wfdb


def find_records(root: Path) -> list[Path]:
    """Return the records of a folder, by name and without a suffix.

    Args:
        root: the folder with the records, or with one folder that has them.

    Raises:
        DataError: there is none, several folders have some, a record lacks a file, or something cannot be read.
    """
    try:
        if not root.is_dir():
            raise DataError.of(f"{root}: no such folder: 0 records found", FIX)
        found = {folder: _stems(folder) for folder in (root, *_folders(root))}
    except OSError as error:
        raise DataError.of(f"{error.filename or root}: cannot be read: {error.strerror or error}", FIX) from error
    places = [root] if found[root] else [folder for folder, stems in found.items() if stems]
    if len(places) != 1:
        state = f"records in {len(places)} folders: {', '.join(f.name for f in places[:5])}" if places else "no record"
        raise DataError.of(f"{root}: {state}", FIX)
    stems = found[places[0]]
    problems = [
        Problem(
            f"{places[0] / stem}: {' and '.join(missing)} missing "
            f"({sum(parts >= {*PARTS} for parts in stems.values())} of {len(stems)} records are complete)",
            MEND,
        )
        for stem, parts in stems.items()
        if (missing := [part for part in PARTS if part not in parts])
    ]
    if problems:
        raise DataError(*first_few(problems, "records are incomplete"))
    return [places[0] / stem for stem in stems]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _stems(folder: Path) -> dict[str, set[str]]:
    """Return the parts of each record, sorted by name; annotations alone are no record, as the database has some."""
    stems: dict[str, set[str]] = {}
    for name in sorted(os.listdir(folder)):
        stem, part = os.path.splitext(name)
        if part in PARTS and not name.startswith("."):
            stems.setdefault(stem, set()).add(part)
    return {stem: parts for stem, parts in stems.items() if parts != {".atr"}}


def read_record(path: Path, lead: int) -> Record:
    """One lead of a record, and its beats.

    Args:
        path: without a suffix.
        lead: which, 0 is the first.

    Raises:
        DataError: the record is broken: not in WFDB's format, shorter than its header says, or of another checksum.
        ConfigError: the record has no such lead, or there is no wfdb.
    """
    wfdb = need_wfdb()
    try:
        for part, most in LARGEST.items():
            check_size(path.with_name(f"{path.name}{part}").stat().st_size, most)
        # wfdb reads what there is of annotations that are cut off; whole ones end with an empty one.
        if not path.with_name(f"{path.name}.atr").read_bytes().endswith(b"\0\0"):
            raise ValueError("the end of its annotations is missing")
        header = wfdb.rdheader(str(path))
        check_header(header)
        leads = header.n_sig
        if lead < leads:
            record = wfdb.rdrecord(str(path), channels=[lead], physical=False)
            annotations = wfdb.rdann(str(path), "atr")
            samples = record.d_signal[:, 0]
            signal, rate = record.dac()[:, 0], float(record.fs)
            length, checksum = record.sig_len, record.checksum[0]
            symbols = np.array(annotations.symbol)
            peaks = np.asarray(annotations.sample, dtype=np.int64)
    except Exception as error:  # a damaged file may fail in wfdb in any way at all
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError.of(f"{path}: truncated, or no WFDB record: {reason[:200]}", MEND) from error
    if lead >= leads:
        raise ConfigError.of(f"dataset.lead={lead}, but record {path} has {leads} leads", f"use dataset.lead<{leads}")
    if len(samples) != length or (checksum is not None and int(samples.sum() - checksum) % 2**16):
        what = f"{len(samples):,} of {length:,} samples" if len(samples) != length else "samples of another checksum"
        raise DataError.of(f"{path}.dat: truncated or damaged: {what}", MEND)
    beats = np.isin(symbols, list(BEATS)) & (peaks >= 0) & (peaks < length)
    return Record(signal, rate, peaks[beats], np.isin(symbols[beats], list(PVC)))


def check_header(header: Any) -> None:
    """Refuse a record that would take too much memory.

    Raises:
        ValueError: saying what is out of bounds.
    """
    if not hasattr(header, "file_name"):
        raise ValueError("it is of several segments, wanted one")
    if not RATES[0] <= header.fs <= RATES[1]:
        raise ValueError(f"its header says {header.fs:g} samples a second, wanted {RATES[0]} to {RATES[1]:,}")
    for what, found, most in (
        ("leads", header.n_sig, MOST_LEADS),
        ("samples a lead", header.sig_len or 0, MOST_SAMPLES),
        ("samples a frame", max(header.samps_per_frame or (1,)), MOST_A_FRAME),
    ):
        if not 0 <= found <= most:
            raise ValueError(f"its header says {found:,} {what}, wanted at most {most:,}")
