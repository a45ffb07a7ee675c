"""Results as `result.json` has them, folders of runs, and reports as a browser reads them."""

from __future__ import annotations

import base64
import io
import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

VOID = {"meta", "link", "img", "br", "hr", "input"}
EXTERNAL = re.compile(r"(?i)^\s*(?:[a-z][a-z0-9+.-]*:)?//|^\s*(?:https?|ftp|file):")


class Page(HTMLParser):
    """What a page has: ids, links, figures, images, texts by element; `faults` is what a browser would stumble over."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.figures: list[str] = []
        self.images: list[tuple[int, int]] = []
        self.tags: list[str] = []
        self.text = ""
        self.style = ""
        self.faults: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"{name} is not closed" for name in self.open]
        self.faults += [f"id {name} is there twice" for name in set(self.ids) if self.ids.count(name) > 1]
        self.faults += [f"{link} leads nowhere" for link in self.links if link[1:] not in self.ids]
        if re.search(r"@import|url\(", self.style):
            self.fetched.append("a style from elsewhere")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "figure":
            self.figures.append(str(given.get("id")))
        if tag == "a":
            self.links.append(str(given.get("href")))
        if tag == "img":
            head, _, data = str(given.get("src")).partition(",")
            if head != "data:image/png;base64":
                self.faults.append(f"an image is {head[:40]}")
            else:
                with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
                    image.load()
                    self.images.append(image.size)
            if not given.get("alt"):
                self.faults.append("an image without words")
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            value = given.get(name)
            if value is not None and not value.startswith(("#", "data:")):
                self.fetched.append(value)
        self.faults += [f"{tag} has {name}" for name in given if name.startswith("on")]
        self.fetched += [value for value in given.values() if value is not None and EXTERNAL.match(value)]
        if tag in ("script", "iframe", "object", "embed", "base"):
            self.faults.append(f"there is a {tag}")

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"{tag} ends within {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data


@pytest.fixture(scope="session")
def read_page() -> Callable[[str], Page]:
    """A report's text as a `Page`."""
    return Page


@pytest.fixture(scope="session")
def made_run() -> Callable[..., Path]:
    """`made_run(folder, learner="maml", mean=0.8)` writes the files of a run on tasks that all such runs share."""

    def make(folder: Path, learner: str = "maml", mean: float = 0.8, baselines: bool = False, **changes: Any) -> Path:
        shared, own = random.Random(0), random.Random(folder.name)
        result: dict[str, Any] = {
            **{"dataset": "glyphs", "ways": 5, "shots": 1, "queries": 15, "split": "meta_test", "metric": "accuracy"},
            **{"learner": learner, "steps": 2, "step_unit": "step", "seconds_per_step": 0.004},
            "training": {"steps": 100, "seconds": 90.0, "tasks_per_second": 4.4},
            "command": ["metalstm-train", f"learner={learner}"],
            "baselines": {"scratch": {"steps": 2}} if baselines else {},
            "protocol": {"fingerprint": "f0", "data": "glyphs: 600 characters"},
            "environment": {"seed": 0, "threads": 1},
        }
        tasks = [shared.gauss(0, 0.05) + own.gauss(0, 0.002) for _ in range(20)]
        curves = {
            name: [[goal * done + 0.2 * (1 - done) + error for error in tasks] for done in (0.0, 0.9, 1.0)]
            for name, goal in (("learner", mean), *(("scratch", 0.4),) * baselines)
        }
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result | changes), encoding="utf-8")
        per_task = {name: {"at": [0, 1, 2], "values": values} for name, values in curves.items()}
        (folder / "per_task.json").write_text(json.dumps(per_task), encoding="utf-8")
        return folder

    return make


def curve(values: list[float], at: list[int] | None = None) -> list[dict[str, float]]:
    steps = range(len(values)) if at is None else at
    return [{"step": step, "value": value, "ci95": 0.01} for step, value in zip(steps, values, strict=True)]


@pytest.fixture
def result() -> dict[str, Any]:
    """Of a classification run."""
    return {
        **{
            "dataset": "glyphs",
            "learner": "maml",
            "ways": 5,
            "shots": 1,
            "split": "meta_test",
            "tasks": 600,
            "steps": 2,
            "step_unit": "step",
        },
        **{"metric": "accuracy", "value": 0.9123, "ci95": 0.0045},
        "curve": curve([0.2, 0.7, 0.9123, 0.92, 0.93]),
        "baselines": {
            "scratch": {"value": 0.4, "ci95": 0.012, "steps": 2, "tasks": 100, "curve": curve([0.2, 0.3, 0.4])},
            "scratch_many_steps": {
                **{"value": 0.55, "ci95": 0.02, "steps": 50, "tasks": 100},
                "curve": curve([0.2, 0.5, 0.55], [0, 10, 50]),
            },
        },
    }


@pytest.fixture
def regression() -> dict[str, Any]:
    """Of a regression run without baselines."""
    return {
        **{
            "dataset": "sinusoid",
            "learner": "maml",
            "ways": 1,
            "shots": 5,
            "split": "meta_test",
            "tasks": 600,
            "steps": 1,
            "step_unit": "step",
        },
        **{"metric": "mse", "value": 0.25, "ci95": 0.0123},
        "curve": curve([3.1, 0.25, 0.2]),
        "baselines": {},
    }
