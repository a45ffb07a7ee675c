"""The reports in Chromium, which has to be installed: no error, nothing asked of the network, nothing out of place."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.commands import only_run, tiny
from support.pages import Page
from support.places import REFERENCE

OWN = re.compile(r"https?://[\w.-]+\.(google|googleapis|gvt1|gstatic)\.com")  # that the browser asks by itself
MEASURE = """<script>addEventListener("load", () => console.log("measured " + JSON.stringify({
  page: document.documentElement.scrollWidth, screen: innerWidth,
  figures: [...document.querySelectorAll("figure")].map(one => [one.offsetWidth, one.offsetHeight]),
  images: [...document.images].map(one => one.naturalWidth),
  dark: getComputedStyle(document.body).backgroundColor })))</script></body>"""


class Seen(NamedTuple):
    """What the browser made of a page."""

    console: list[str]
    asked: set[str]  # addresses
    measured: dict[str, Any]


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., Seen]:
    """`browse(html, width, dark)` opens a page, and measures it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "install Chromium to run this test, e.g. apt-get install chromium"

    def run(html: str, width: int = 1400, dark: bool = False) -> Seen:
        file, log, frame = tmp_path / "page.html", tmp_path / "network.json", tmp_path / "frame.html"
        # A frame may be as narrow as a telephone, which a window may not.
        frame.write_text(
            f'<body style="margin:0"><iframe src="page.html" width="{width}" height="800">', encoding="utf-8"
        )
        file.write_text(html.replace("</body>", MEASURE), encoding="utf-8")
        given = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--log-net-log={log}"]
        given += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1500,900", "--disable-sync"]
        given += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--screenshot={tmp_path / 'seen.png'}"]
        ended = subprocess.run(
            [program, *given, frame.as_uri()], capture_output=True, text=True, timeout=120, check=False
        )
        console = re.findall(r'CONSOLE[^"]*"(.*)", source', ended.stderr)
        (measured,) = [line.removeprefix("measured ") for line in console if line.startswith("measured ")]
        asked = set(re.findall(r'"url":"((?:https?|ftp|wss?)://[^/"]*)', log.read_text(encoding="utf-8")))
        others = [line for line in console if not line.startswith("measured ")]
        return Seen(others, {address for address in asked if not OWN.fullmatch(address)}, json.loads(measured))

    return run


@pytest.mark.long
def test_reports_in_a_browser(browse: Any, in_process: Any, tmp_path: Path) -> None:
    bad = browse('<html><body><img src="http://example.invalid/a.png"><script>nothing()</script></body>')
    assert bad.console
    assert bad.asked == {"http://example.invalid"}

    assert in_process("train", *tiny(), f"output_dir={tmp_path / 'run'}").code == 0
    pages = [only_run(tmp_path / "run") / "report.html"]
    pages += [REFERENCE / "learners" / name / "report.html" for name in ("omniglot_5w1s", "omniglot_5w5s")]
    for path in pages:
        html = path.read_text(encoding="utf-8")
        read = Page(html)
        for width in (390, 1400):
            for dark in (False, True):
                seen = browse(html, width, dark)
                assert seen.console == []
                assert seen.asked == set()
                assert seen.measured["screen"] == width
                assert seen.measured["page"] <= width  # what is wider scrolls by itself
                assert len(seen.measured["figures"]) == len(read.figures)
                assert all(across > 300 and down > 50 for across, down in seen.measured["figures"])
                assert len(seen.measured["images"]) == len(read.images)
                assert all(seen.measured["images"])
                assert (seen.measured["dark"] == "rgb(255, 255, 255)") is not dark
