"""The text of an HTML page, with the place of each part in the source."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from html.parser import HTMLParser
from typing import Final, NamedTuple

_IS_PAGE: Final = re.compile(
    r"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,2000}?-->\s*)*"
    r"<(?:!doctype\s+html|html|head|body|article|main|section|div|h[1-6]|p)\b",
    re.IGNORECASE | re.DOTALL,
)
_HIDDEN: Final = frozenset({"script", "style", "noscript", "template", "nav", "svg", "head"})
_HEADINGS: Final = {f"h{level}": "#" * level for level in range(1, 7)}
_BLOCKS: Final = frozenset(
    {"address", "article", "aside", "blockquote", "body", "dd", "details", "div", "dl", "dt"}
    | {"figcaption", "figure", "footer", "form", "header", "hr", "html", "li", "main", "ol", "p"}
    | {"pre", "section", "summary", "table", "tbody", "thead", "title", "tr", "ul", *_HEADINGS}
)
_CELLS: Final = frozenset({"td", "th"})
_SPACES: Final = re.compile(r"[^\S\xa0]+")


class PlainText(NamedTuple):
    """The text of a document, and where its parts are in the source.

    `starts` are the places in `text` at which a part begins, and `sources` those in the source.
    The characters of a part follow each other in both, except that an entity is one character.
    """

    text: str
    starts: list[int]
    sources: list[int]

    def source_of(self, place: int) -> int:
        """Return the place in the source of a place in the text."""
        part = bisect_right(self.starts, place) - 1
        if part < 0:
            return 0
        return self.sources[part] + place - self.starts[part]


def is_page(text: str) -> bool:
    """Whether a text is an HTML page."""
    return _IS_PAGE.match(text) is not None


def plain(text: str) -> PlainText:
    """Return a text that is its own source."""
    return PlainText(text, [0], [0])


def text_of_page(source: str) -> PlainText:
    """Return the visible text of a page: a paragraph a block, and headings as in Markdown."""
    reader = _Reader(source)
    reader.feed(source)
    reader.close()
    return PlainText("".join(reader.parts), reader.starts, reader.sources)


class _Reader(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.starts: list[int] = []
        self.sources: list[int] = []
        self._source = source
        self._length = 0
        self._hidden: list[str] = []
        self._lines = [0, *(match.end() for match in re.finditer("\n", source))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.append(tag)
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _BLOCKS:
            self._between(f"\n\n{_HEADINGS[tag]} " if tag in _HEADINGS else "\n\n")
        elif tag == "br":
            self._between("\n")
        elif tag in _CELLS:
            self._between(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.pop()
        elif tag in _BLOCKS:
            self._between("\n\n")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        at = self._at()
        end = 0
        for space in _SPACES.finditer(data):
            self._add(data[end : space.start()], at + end)
            self._add(" ", at + space.start())
            end = space.end()
        self._add(data[end:], at + end)

    def handle_entityref(self, name: str) -> None:
        self._entity(f"&{name}")

    def handle_charref(self, name: str) -> None:
        self._entity(f"&#{name}")

    def _entity(self, written: str) -> None:
        if not self._hidden:
            at = self._at()
            if self._source.startswith(";", at + len(written)):
                written += ";"
            self._add(html.unescape(written), at)

    def _at(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column

    def _between(self, text: str) -> None:
        """Add a text that is not in the source. All of it is at one place there."""
        at = self._at()
        for char in text:
            self._add(char, at)

    def _add(self, text: str, source: int) -> None:
        if text:
            self.starts.append(self._length)
            self.sources.append(source)
            self.parts.append(text)
            self._length += len(text)
