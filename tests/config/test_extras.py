"""How a person gets an extra's packages: by what works from where this package was installed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from metalstm.config import extras
from metalstm.config.extras import install
from support.places import REPOSITORY


class Installed:
    """A distribution as its metadata has it."""

    requires = (
        *("torch>=2", 'optuna<6,>=4.2; extra == "search"', 'jax>=0.6; extra == "bench"'),
        *('metalstm[search]; extra == "bench"', "old; extra == 'searching'"),
    )

    def __init__(self, direct_url: Any) -> None:
        self.direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.direct_url if self.direct_url is None else json.dumps(self.direct_url)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda url: monkeypatch.setattr(extras, "distribution", lambda name: Installed(url))


def test_from_a_source_tree_and_from_a_wheel(installed: Any, tmp_path: Path) -> None:
    tree, wheel = tmp_path / "my tree", tmp_path / "metalstm-1-py3-none-any.whl"
    tree.mkdir()
    wheel.touch()
    installed({"url": tree.as_uri(), "dir_info": {"editable": True}})
    assert shlex.split(install("search")) == ["pip", "install", "-e", f"{tree}[search]"]
    installed({"url": tree.as_uri(), "dir_info": {}})
    assert install("search") == f"pip install '{tree}[search]'"
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert install("search") == f"pip install '{wheel}[search]'"


@pytest.mark.parametrize(
    "url", [None, {"url": "https://x.org/a.whl"}, {"url": "file:///gone/metalstm"}, {"url": 7}, ["odd"]]
)
def test_where_its_source_is_gone(url: Any, installed: Any) -> None:
    installed(url)
    assert install("search") == "pip install 'optuna<6,>=4.2'"
    assert install("bench") == "pip install 'jax>=0.6' 'optuna<6,>=4.2'"


def test_this_installation() -> None:
    assert [name.split(">")[0].split("<")[0] for name in extras.requirements("search")] == ["optuna"]
    assert "metalstm[search]" not in install("search")


def test_no_text_names_a_package_that_is_on_no_registry() -> None:
    root = REPOSITORY
    files = [path for folder in ("metalstm", "configs", "scripts") for path in (root / folder).rglob("*.*")]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in (".py", ".yaml", ".sh", ".md")}
    assert len(texts) > 150
    assert [path for path, text in texts.items() if "'metalstm[" in text] == []
