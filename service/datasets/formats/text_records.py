"""Reads plain text and Markdown in pieces of bounded size, split at headings and blank lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.datasets.checks.issues import make_issue
from service.datasets.formats.options import Record
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.passages import SENTENCES, weight
from service.datasets.rows.lines import read_lines

# In letters of an alphabet: about 1,500 tokens, so that most pieces are one training sample.
LONGEST: Final = 6_000
_MIN_BEFORE_HEADING: Final = 1_500  # of a piece; the next heading then begins a new one
_WORDS: Final = re.compile(r"\s+")
_HEADING: Final = re.compile(r"#{1,6}[^\S\n]")


def read_text(path: Path) -> Iterator[Record]:
    """Yield the pieces of a text as objects with a field `text`.

    A piece has whole paragraphs, and headings begin new pieces. A paragraph that is too long is
    split between its lines, and a line between its sentences. A record's line is the first one of
    its piece. Memory holds at most one piece and one line.
    """
    piece, paragraph = _Lines(), _Lines()
    for number, line in _lines(path):
        if isinstance(line, Record):
            yield line
            continue
        if _HEADING.match(line):
            yield from _join(piece, paragraph)
            if piece.weight >= _MIN_BEFORE_HEADING:
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
    """Add a complete paragraph to a piece. If both are too long together, yield the piece first."""
    if piece.has_text and piece.weight + paragraph.weight > LONGEST:
        yield piece.take()
    piece.join(paragraph)


class _Lines:
    """Consecutive lines or parts of lines, with the number of the first line."""

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
        """Move the lines of another object to the end of this one."""
        if not self.has_text:
            self._first = other._first
        self._parts += other._parts
        self.weight += other.weight
        self.has_text = self.has_text or other.has_text
        other._clear()

    def take(self) -> Record:
        """Return the lines as a record, and clear them."""
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
    """Yield a line, or its sentences if it is too long, or the words of a sentence too long."""
    if weight(text) <= LONGEST or not ends:
        yield text
        return
    start = 0
    for match in ends[0].finditer(text):
        if match.end() > start:
            yield from _parts(text[start : match.end()], ends[1:])
            start = match.end()
    yield from _parts(text[start:], ends[1:])
