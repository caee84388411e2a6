"""Documents as passages: decoded, reduced to the visible text if they are HTML, and cut.

Passages are cut at headings, paragraphs and sentences, in any script, and keep their places in the
source.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final, NamedTuple

from service.datasets.formats.encoding_detection import by_escapes, guess_legacy
from service.datasets.formats.encodings import by_mark, codec_for, decode
from service.datasets.passages.passage import (
    HEAD_BYTES,
    Document,
    Fault,
    Passage,
    Passages,
    binary_kind,
)

_DECLARED: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE
)


def decoded(data: bytes, encoding: str | None = None) -> str | None:
    """Return the text of a document, or None if no encoding fits.

    `encoding` is the name that its owner gave. Without one, the mark at its start, UTF-8, the
    encoding that an HTML page declares, and the most plausible one are tried in this order.
    """
    if encoding is not None:
        return _with(data, codec_for(encoding))
    if (marked := by_mark(data[:HEAD_BYTES]) or by_escapes(data)) is not None:
        return _with(data, marked)
    text = _with(data, "utf-8")
    if text is None and (declared := _DECLARED.search(data[:HEAD_BYTES])) is not None:
        text = _with(data, codec_for(declared.group(1).decode("ascii")))
    if text is None and (guess := guess_legacy(data.splitlines())) is not None:
        text = _with(data, guess.codec)
    return text


def _with(data: bytes, codec: str | None) -> str | None:
    if codec is None:
        return None
    try:
        return decode(data, codec).removeprefix("\ufeff")
    except UnicodeError:
        return None


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


def to_plain_text(text: str) -> PlainText:
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


def split_passages(text: str) -> list[tuple[int, int]]:
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


def read_documents(folder: Path, documents: tuple[Document, ...]) -> Passages:
    """Cut the documents, which are files in the folder. Raises OSError."""
    found: list[Passage] = []
    faults: dict[int, Fault] = {}
    for number, document in enumerate(documents):
        data = (folder / document.name).read_bytes()
        passages = _passages(number, data, document.encoding)
        if isinstance(passages, str):
            faults[number] = passages
        else:
            found += passages
    return Passages(found, faults)


def _passages(number: int, data: bytes, encoding: str | None) -> list[Passage] | Fault:
    if binary_kind(data[:HEAD_BYTES]) is not None:
        return "binary"
    source = decoded(data, encoding)
    if source is None:
        return "encoding"
    text = text_of_page(source) if is_page(source) else to_plain_text(source)
    found = [
        Passage(
            document=number,
            start=text.source_of(start),
            end=text.source_of(end - 1) + 1,
            text=text.text[start:end],
        )
        for start, end in split_passages(text.text)
    ]
    return found or "empty"
