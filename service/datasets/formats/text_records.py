"""Records of plain text and Markdown: pieces of bounded size, cut at headings and blank lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.datasets.checks.issues import make_issue
from service.datasets.formats.records import Record
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.passages.documents import SENTENCES, weight
from service.datasets.rows.lines import read_lines

# In letters of an alphabet, about 1,500 tokens: most pieces are one sample of a training.
LONGEST: Final = 6_000
_ENOUGH: Final = 1_500  # from which the next heading begins a new piece
_WORDS: Final = re.compile(r"\s+")
_HEADING: Final = re.compile(r"#{1,6}[^\S\n]")


def read_text(path: Path) -> Iterator[Record]:
    """Yield the pieces of a text as objects with a field `text`.

    A piece has whole paragraphs, and headings begin new ones. A paragraph that is too long is cut
    between its lines, and a line between its sentences. Several blank lines become one. A record's
    line is its first one. Memory
    holds at most one piece and one line.
    """
    piece, paragraph = _Lines(), _Lines()
    for number, line in _lines(path):
        if isinstance(line, Record):
            yield line
            continue
        if _HEADING.match(line):
            yield from _join(piece, paragraph)
            if piece.weight >= _ENOUGH:
                yield piece.take()
        for part in _parts(line):
            if paragraph.has_text and paragraph.weight + weight(part) > LONGEST:
                if piece.has_text:
                    yield piece.take()
                yield paragraph.take()
            paragraph.add(number, part)
        if not line.strip():
            yield from _join(piece, paragraph)
    yield from _join(piece, paragraph)
    if piece.has_text:
        yield piece.take()


def _join(piece: _Lines, paragraph: _Lines) -> Iterator[Record]:
    """Add a complete paragraph to a piece, which is yielded before if both are too long."""
    if piece.has_text and piece.weight + paragraph.weight > LONGEST:
        yield piece.take()
    piece.join(paragraph)


class _Lines:
    """Consecutive lines of the text, or parts of lines, with the number of the first."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._first = 0
        self._parts: list[str] = []
        self.weight = 0
        self.has_text = False

    def add(self, number: int, part: str) -> None:
        if part.strip():
            self._first = self._first if self.has_text else number
            self.has_text = True
        if self.has_text:  # blank lines before the first one are left out
            self._parts.append(part)
            self.weight += weight(part)

    def join(self, other: _Lines) -> None:
        """Add the lines of another one, and leave it empty."""
        if not self.has_text:
            self._first = other._first
        self._parts += other._parts
        self.weight += other.weight
        self.has_text = self.has_text or other.has_text
        other._clear()

    def take(self) -> Record:
        """Return the lines as a record, and begin again."""
        record = Record(self._first, {"text": "".join(self._parts).rstrip()})
        self._clear()
        return record


def _lines(path: Path) -> Iterator[tuple[int, str | Record]]:
    for number, line in read_lines(path):
        if line is None:
            issue = make_issue("line_too_long", number, limit=MAX_LINE_BYTES)
            yield number, Record(number, None, issue)
        else:
            # An invalid byte must not stop the file: the row's checks report the surrogate.
            yield number, line.decode("utf-8", "surrogateescape").removesuffix("\r") + "\n"


def _parts(text: str, ends: tuple[re.Pattern[str], ...] = (SENTENCES, _WORDS)) -> Iterator[str]:
    """Yield a line, or its sentences if it is too long, or the words of such a sentence."""
    if weight(text) <= LONGEST or not ends:
        yield text
        return
    start = 0
    for match in ends[0].finditer(text):
        if match.end() > start:
            yield from _parts(text[start : match.end()], ends[1:])
            start = match.end()
    yield from _parts(text[start:], ends[1:])
