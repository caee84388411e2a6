"""Splits documents into passages for a model to read.

A document is decoded, reduced to its visible text if it is HTML, and split at headings, paragraphs
and sentences, in any script. Passages keep their positions in the source.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from service.datasets.checks.issues import DatasetError
from service.datasets.formats.documents import (
    DocumentText,
    binary_kind,
    document_kind,
    extract_text,
)
from service.datasets.formats.encoding_detection import codec_by_escapes, guess_legacy
from service.datasets.formats.encodings import codec_by_mark, codec_for, decode

Fault = Literal["binary", "encoding", "empty", "damaged", "scanned"]
"""Why a document has no passages.

It is binary, no encoding fits, it has too little text, it is damaged or needs a password, or its
pages are pictures.
"""


class Document(msgspec.Struct, frozen=True):
    """A file to read, and the encoding that its owner set."""

    name: str
    encoding: str | None = None


class Passage(msgspec.Struct, frozen=True):
    """A part of a document, whose number is `document`.

    `start` and `end` count characters of the decoded document, or of the text of a PDF or Office
    document. For an HTML page, they are positions in its source, and `text` is the visible text.
    `page` is that of a PDF or the slide, from 1, and `section` the heading above.
    """

    document: int
    start: int
    end: int
    text: str
    page: int | None = None
    section: str | None = None


class Passages(msgspec.Struct, frozen=True):
    """The passages of all documents, and why other documents, by number, have none."""

    passages: list[Passage]
    faults: dict[int, Fault]


HEAD_BYTES: Final = 4096
ACCEPTED: Final = "PDF, DOCX, PPTX, EPUB, HTML, Markdown and plain text"

_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE
)


def decode_document(data: bytes, encoding: str | None = None) -> str | None:
    """Return the text of a document, or None if no encoding fits.

    `encoding` is the name that its owner set. Without one, these are tried in order: the byte order
    mark, UTF-8, the encoding that an HTML page declares, and the most plausible encoding.
    """
    if encoding is not None:
        return _try_decode(data, codec_for(encoding))
    if (marked := codec_by_mark(data[:HEAD_BYTES]) or codec_by_escapes(data)) is not None:
        return _try_decode(data, marked)
    text = _try_decode(data, "utf-8")
    if text is None and (declared := _META_CHARSET.search(data[:HEAD_BYTES])) is not None:
        text = _try_decode(data, codec_for(declared.group(1).decode("ascii")))
    if text is None and (guess := guess_legacy(data.splitlines())) is not None:
        text = _try_decode(data, guess.codec)
    return text


def _try_decode(data: bytes, codec: str | None) -> str | None:
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
    """The text of a document, and the positions of its parts in the source.

    A part starts at `starts[i]` in `text` and at `sources[i]` in the source. Its characters are
    consecutive in both, except that an entity of the source is one character.
    """

    text: str
    starts: list[int]
    sources: list[int]

    def source_of(self, place: int) -> int:
        """Return the position in the source of a position in the text."""
        part = bisect_right(self.starts, place) - 1
        if part < 0:
            return 0
        return self.sources[part] + place - self.starts[part]


def is_page(text: str) -> bool:
    """Return whether a text is an HTML page."""
    return _IS_PAGE.match(text) is not None


def extract_page_text(source: str) -> PlainText:
    """Return the visible text of a page, with a paragraph per block and Markdown headings."""
    reader = _Reader(source)
    reader.feed(source)
    reader.close()
    return PlainText("".join(reader.parts), reader.starts, reader.sources)


_TAG: Final = re.compile(r"<[a-zA-Z/!]")
_BLANK_LINES: Final = re.compile(r"\s*\n\s*\n\s*")
_LINE_END: Final = re.compile(r" *\n *")


def html_text(source: str) -> str:
    """Return the text of a message in HTML, with a blank line between paragraphs."""
    if _TAG.search(source) is None:
        return html.unescape(source).strip()
    text = _LINE_END.sub("\n", extract_page_text(source).text.replace("\xa0", " "))
    return _BLANK_LINES.sub("\n\n", text).strip()


class _Reader(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.starts: list[int] = []
        self.sources: list[int] = []
        self._source = source
        self._length = 0
        self._hidden: list[str] = []
        self._preformatted = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", source))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._hidden:
            if tag == self._hidden[-1]:
                self._hidden.append(tag)
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag in _BLOCKS:
            self._preformatted += tag == "pre"
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
            self._preformatted = max(0, self._preformatted - (tag == "pre"))
            self._between("\n\n")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        at = self._at()
        if self._preformatted:
            self._add(data, at)
            return
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
        """Add a text that is not in the source, at the current position."""
        at = self._at()
        for char in text:
            self._add(char, at)

    def _add(self, text: str, source: int) -> None:
        if text:
            self.starts.append(self._length)
            self.sources.append(source)
            self.parts.append(text)
            self._length += len(text)


# A token has about four Latin letters, or about one Chinese, Japanese or Korean character, which
# counts twice. A passage thus has up to about 400 tokens.
LONGEST: Final = 1_600
_MIN_BEFORE_HEADING: Final = 600  # of a passage; the next heading then begins a new one
_MIN_LETTERS: Final = 40  # a passage with fewer contains too little to ask about

_WIDE: Final = re.compile("[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af]")
_PARAGRAPHS: Final = re.compile(r"\r?\n[^\S\r\n]*(?:\r?\n[^\S\r\n]*)+|\f")
_LINES: Final = re.compile(r"\r?\n|\r")
_HEADING: Final = re.compile(r"#{1,6}[^\S\n]|[^\n]{1,200}\r?\n(?:={3,}|-{3,})[^\S\n]*(?:\r?\n|\Z)")
# Ends of sentences. Thai and related scripts separate sentences with a space, not a full stop.
SENTENCES: Final = re.compile(
    "(?<=[.!?\u2026\u0964\u061f\u06d4][\"'\u201d\u2019)\\]])\\s+"
    "|(?<=[.!?\u2026\u0964\u061f\u06d4])\\s+"
    "|(?<=[\u3002\uff01\uff1f\uff0e][\u300d\u300f\uff09\u201d])"
    "|(?<=[\u3002\uff01\uff1f\uff0e])(?![\u300d\u300f\uff09\u201d])"
    "|(?<=[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff])\\s+"
)
_WORDS: Final = re.compile(r"\s+")
_LETTERS: Final = re.compile(r"[^\W\d_]")
_TITLES: Final = re.compile(r"^#{1,6}[^\S\n]+(\S[^\n]*)", re.MULTILINE)
_SECTION_CHARS: Final = 200


class Span(NamedTuple):
    """A part of a text. `is_heading` is whether it starts with a heading."""

    start: int
    end: int
    is_heading: bool = False


def split_passages(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each passage, in order.

    A heading starts a new passage if the previous one is long enough. Passages with too few letters
    are left out.
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
    return [(start, end) for start, end in found if _has_enough_letters(text[start:end])]


def weight(text: str) -> int:
    """Return the length of a text in Latin letters: a CJK character counts twice."""
    return len(text) if text.isascii() else len(text) + len(_WIDE.findall(text))


def _is_full(text: str, now: Span, part: Span) -> bool:
    so_far = weight(text[now.start : now.end])
    return (part.is_heading and so_far >= _MIN_BEFORE_HEADING) or weight(
        text[now.start : part.end]
    ) > LONGEST


def _has_enough_letters(passage: str) -> bool:
    return weight("".join(_LETTERS.findall(passage))) >= _MIN_LETTERS


def _parts(text: str) -> Iterator[Span]:
    """Yield paragraphs, and the parts of those that are too long."""
    for paragraph in _split(text, Span(0, len(text)), _PARAGRAPHS):
        is_heading = _HEADING.match(text, paragraph.start, paragraph.end) is not None
        for part in _shorten(text, paragraph, (_LINES, SENTENCES, _WORDS)):
            yield part._replace(is_heading=is_heading and part.start == paragraph.start)


def _shorten(text: str, span: Span, separators: tuple[re.Pattern[str], ...]) -> Iterator[Span]:
    """Yield the parts of a span, split at coarser separators first until each part is short."""
    if weight(text[span.start : span.end]) <= LONGEST:
        yield span
    elif not separators:
        yield from _pieces(text, span)
    else:
        for part in _split(text, span, separators[0]):
            yield from _shorten(text, part, separators[1:])


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
    """Yield pieces of a text without spaces. No piece begins with a combining mark."""
    start = span.start
    while start < span.end:
        end = min(start + LONGEST // 2, span.end)
        while end < span.end and unicodedata.category(text[end])[0] == "M":
            end += 1
        yield Span(start, end)
        start = end


def read_documents(folder: Path, documents: tuple[Document, ...]) -> Passages:
    """Split documents, which are files in the folder, into passages. Raises OSError."""
    found: list[Passage] = []
    faults: dict[int, Fault] = {}
    for number, document in enumerate(documents):
        passages = _split_document(number, folder / document.name, document.encoding)
        if isinstance(passages, str):
            faults[number] = passages
        else:
            found += passages
    return Passages(found, faults)


def _split_document(number: int, path: Path, encoding: str | None) -> list[Passage] | Fault:
    source = _read(path, encoding)
    if isinstance(source, str):
        return source
    text = PlainText(source.text, [0], [0])
    if source.is_html or is_page(source.text):
        text = extract_page_text(source.text)
    headings = [(match.start(), match.group(1)) for match in _TITLES.finditer(text.text)]
    found = [
        Passage(
            document=number,
            start=text.source_of(start),
            end=text.source_of(end - 1) + 1,
            text=text.text[start:end],
            page=bisect_right(source.pages, start) or None,
            section=_section_at(headings, start),
        )
        for start, end in split_passages(text.text)
    ]
    return found or "empty"


def _read(path: Path, encoding: str | None) -> DocumentText | Fault:
    if (kind := document_kind(path)) is not None:
        try:
            return extract_text(path, kind)
        except DatasetError as error:
            return "scanned" if error.issue.code == "scanned_document" else "damaged"
    data = path.read_bytes()
    if binary_kind(data[:HEAD_BYTES]) is not None:
        return "binary"
    text = decode_document(data, encoding)
    return "encoding" if text is None else DocumentText(text)


def _section_at(headings: list[tuple[int, str]], place: int) -> str | None:
    """Return the last heading at or before a place."""
    before = bisect_right(headings, place, key=lambda heading: heading[0])
    return headings[before - 1][1].strip()[:_SECTION_CHARS] if before else None
