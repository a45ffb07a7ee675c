"""Datasets as tests look at them, and their downloads from a server of the test."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from metalstm.datasets.base import Dataset
from metalstm.errors import DataError
from metalstm.tasks.classes import ClassDataset


def pools(dataset: Dataset) -> dict[str, ClassDataset]:
    """The classes of each split."""
    found = {name: pool for name, pool in dataset.splits.items() if isinstance(pool, ClassDataset)}
    assert list(found) == ["meta_train", "meta_validation", "meta_test"]
    return found


def same_classes(first: ClassDataset, second: ClassDataset) -> bool:
    assert (first.lengths is None) == (second.lengths is None)
    return (
        first.names == second.names
        and torch.equal(first.examples, second.examples)
        and (first.lengths is None or torch.equal(first.lengths, second.lengths))
    )


def same(first: Dataset, second: Dataset) -> bool:
    mine, others = pools(first), pools(second)
    return first.fingerprint == second.fingerprint and all(same_classes(mine[name], others[name]) for name in mine)


def refusal(load: Callable[..., Dataset], *given: Any, **settings: Any) -> str:
    """What is said where data is refused: every problem with its remedy."""
    with pytest.raises(DataError) as error:
        load(*given, **settings)
    assert error.value.exit_code == 3
    assert all(problem.fix for problem in error.value.problems)
    return str(error.value)


class Server:
    """Serves files on this machine, `read` by their name; `share` of each one's bytes arrive."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self.share = 1.0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.reply()

            def do_GET(self) -> None:
                data = self.reply()
                self.wfile.write(data[: int(len(data) * server.share)])

            def reply(self) -> bytes:
                data = read(self.path.rpartition("/")[2])
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                return data

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
