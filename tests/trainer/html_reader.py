"""Reads a page back as a browser would: its elements, its text, and what it would fetch."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = ("meta", "img", "link", "br", "hr", "input")


@dataclass(kw_only=True)
class Page:
    tags: list[str] = field(default_factory=list)
    text: str = ""
    references: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    """What stands for each picture where it cannot be seen."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append(tag)
        values = dict(attrs)
        self.page.references += [values[key] or "" for key in ("src", "href", "srcset", "data") if key in values]
        self.page.tags += [f"@{key}" for key in values if key.startswith("on")]
        if tag == "img":
            self.page.pictures.append(values.get("alt") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.page.text += data


def read_page(text: str) -> Page:
    """Read a page, whose elements must be closed in their order."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open, f"not closed: {reader.open}"
    return reader.page
