"""The types of documents and their passages, which a worker and its child process exchange."""

from __future__ import annotations

from typing import Literal

import msgspec

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
