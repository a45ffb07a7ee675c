"""Reports as a browser reads them."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

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
