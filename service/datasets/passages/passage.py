"""Types of documents and their passages, and detection of files that are no text."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from service.datasets.formats.encodings import by_mark

Fault = Literal["binary", "encoding", "empty"]
"""Why a document has no passages: it is no text, no encoding fits, or it says too little."""


class Document(msgspec.Struct, frozen=True):
    """A file to read, and the encoding that its owner gave."""

    name: str
    encoding: str | None = None


class Passage(msgspec.Struct, frozen=True):
    """A part of a document, whose number is `document`.

    `start` and `end` count characters of the decoded document. Of an HTML page, they are places in
    its source, and `text` is what a reader sees.
    """

    document: int
    start: int
    end: int
    text: str


class Passages(msgspec.Struct, frozen=True):
    """The passages of all documents, and the documents without any by their number."""

    passages: list[Passage]
    faults: dict[int, Fault]


HEAD_BYTES: Final = 4096
ACCEPTED: Final = "plain text, Markdown and HTML, in any common encoding"

_SIGNATURES: Final = (
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"{\\rtf", "a rich text (RTF) document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
)
# Control characters that text has: tab, newline, form feed, carriage return, and the escape of
# ISO-2022. VISCII and TCVN use a few others as rare letters.
_CONTROLS: Final = frozenset(range(32)) - {9, 10, 12, 13, 27}
_MOST_CONTROLS: Final = 0.02


def binary_kind(head: bytes) -> str | None:
    """Return what a file is that is no text, such as "a PDF", or None if it may be text."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if by_mark(head):
        return None
    controls = sum(head.count(code) for code in _CONTROLS)
    return "a binary file" if b"\0" in head or controls > _MOST_CONTROLS * len(head) else None
