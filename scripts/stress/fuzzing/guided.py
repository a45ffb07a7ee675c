"""Fuzzing led by coverage: atheris changes files so that they reach code that none has reached before.

scripts/stress/fuzz_guided.sh            every kind of file for a minute
scripts/stress/fuzz_guided.sh npy 600    one kind for ten minutes
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

LED_BY = ["metalstm.datasets", "wfdb.io", "PIL", "numpy.lib", "pickletools", "soundfile"]
with atheris.instrument_imports(include=LED_BY):
    from metalstm.datasets.audio import speech_commands  # noqa: F401
    from metalstm.datasets.files.reader import UNREADABLE
    from metalstm.errors import ConfigError, DataError

    from .own_content import ODD
    from .own_files import KINDS, whole, whole_dataset

FILES = {  # what is changed of data of several files
    "ecg": "100.hea",
    "terrain": "terrain0/pro_0.csv",
    "ratings": "ratings.dat",
    "intents": "data_full.json",
    "cifar": "test",
}
LONGEST = 5000  # bytes of an input


def read_alone(kind: str, data: bytes) -> None:
    """Read the content of one file as a dataset of its kind does."""
    reader = whole_dataset(kind).reader
    with contextlib.suppress(*UNREADABLE):
        reader.values(data)


def read_together(kind: str, root: Path, data: bytes) -> None:
    """Read a dataset with this as the content of one of its files."""
    (root / FILES[kind]).write_bytes(data)
    with contextlib.suppress(DataError, ConfigError):
        KINDS[kind].load(root)
    for cache in root.glob("*.cache"):
        cache.unlink()


def main() -> None:
    kind, seconds = sys.argv[1], sys.argv[2]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder_name:
        root, corpus = Path(folder_name) / "data", Path(folder_name) / "corpus"
        corpus.mkdir()
        content = whole(kind)
        for name, data in content.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        seeds = [content[FILES[kind]] if kind in FILES else next(iter(content.values())), *ODD[KINDS[kind].odd]()]
        for number, data in enumerate(seeds):
            (corpus / f"{number}").write_bytes(data)
        if kind not in FILES:
            whole_dataset(kind)

        def once(data: bytes) -> None:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                if kind in FILES:
                    read_together(kind, root, data)
                else:
                    read_alone(kind, data)
            if "Traceback" in err.getvalue():
                raise AssertionError(err.getvalue())

        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=3000"]
        atheris.Setup([sys.argv[0], *limits, "-verbosity=0", "-print_final_stats=1", str(corpus)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
