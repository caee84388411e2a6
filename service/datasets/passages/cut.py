"""Passages of a text: cut at headings, paragraphs and sentences, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

# Latin letters are about four to a token, and Chinese, Japanese and Korean characters about one, so
# these are worth two: a passage has up to about 400 tokens.
LONGEST: Final = 1_600
_ENOUGH: Final = 600  # from which the next heading or a long paragraph begins a new passage
_LEAST_LETTERS: Final = 40  # a passage with less says too little to ask about

_WIDE: Final = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af]")
_PARAGRAPHS: Final = re.compile(r"\r?\n[^\S\r\n]*(?:\r?\n[^\S\r\n]*)+|\f")
_LINES: Final = re.compile(r"\r?\n|\r")
_HEADING: Final = re.compile(r"#{1,6}[^\S\n]|[^\n]{1,200}\r?\n(?:={3,}|-{3,})[^\S\n]*(?:\r?\n|\Z)")
# The end of a sentence. Thai and its neighbors have no full stop: a space is between sentences.
SENTENCES: Final = re.compile(
    "(?<=[.!?\u2026\u0964\u061f\u06d4][\"'\u201d\u2019)\\]])\\s+"
    "|(?<=[.!?\u2026\u0964\u061f\u06d4])\\s+"
    "|(?<=[\u3002\uff01\uff1f\uff0e][\u300d\u300f\uff09\u201d])"
    "|(?<=[\u3002\uff01\uff1f\uff0e])(?![\u300d\u300f\uff09\u201d])"
    "|(?<=[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff])\\s+"
)
_WORDS: Final = re.compile(r"\s+")
_LETTERS: Final = re.compile(r"[^\W\d_]")


class Span(NamedTuple):
    """A part of a text. `begins` is whether it is a heading."""

    start: int
    end: int
    begins: bool = False


def cut(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each passage, in order.

    A passage begins at a heading if the one before is long enough. Parts with too few letters
    to ask about are left out.
    """
    found: list[tuple[int, int]] = []
    now: Span | None = None
    for part in _parts(text):
        if now is None:
            now = part
        elif _is_full(text, now, part):
            found.append((now.start, now.end))
            now = part
        else:
            now = Span(now.start, part.end)
    if now is not None:
        found.append((now.start, now.end))
    return [(start, end) for start, end in found if _says_something(text[start:end])]


def weight(text: str) -> int:
    """Return the length of a text in letters of an alphabet."""
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def _is_full(text: str, now: Span, part: Span) -> bool:
    so_far = weight(text[now.start : now.end])
    return (part.begins and so_far >= _ENOUGH) or weight(text[now.start : part.end]) > LONGEST


def _says_something(passage: str) -> bool:
    return weight("".join(_LETTERS.findall(passage))) >= _LEAST_LETTERS


def _parts(text: str) -> Iterator[Span]:
    """Yield paragraphs, and the parts of those that are too long."""
    for paragraph in _split(text, Span(0, len(text)), _PARAGRAPHS):
        begins = _HEADING.match(text, paragraph.start, paragraph.end) is not None
        for part in _short(text, paragraph, (_LINES, SENTENCES, _WORDS)):
            yield part._replace(begins=begins and part.start == paragraph.start)


def _short(text: str, span: Span, separators: tuple[re.Pattern[str], ...]) -> Iterator[Span]:
    """Yield the parts of a span, cut where it must be and the separators allow."""
    if weight(text[span.start : span.end]) <= LONGEST:
        yield span
    elif not separators:
        yield from _pieces(text, span)
    else:
        for part in _split(text, span, separators[0]):
            yield from _short(text, part, separators[1:])


def _split(text: str, span: Span, separator: re.Pattern[str]) -> Iterator[Span]:
    start = span.start
    for match in separator.finditer(text, span.start, span.end):
        yield from _stripped(text, start, match.start())
        start = match.end()
    yield from _stripped(text, start, span.end)


def _stripped(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield Span(start, end)


def _pieces(text: str, span: Span) -> Iterator[Span]:
    """Yield pieces of a text without spaces, none of which begins with a combining mark."""
    start = span.start
    while start < span.end:
        end = min(start + LONGEST // 2, span.end)
        while end < span.end and unicodedata.category(text[end])[0] == "M":
            end += 1
        yield Span(start, end)
        start = end
