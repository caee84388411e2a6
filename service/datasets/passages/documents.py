"""The passages of documents: read from files, cut, and named by their places in the source."""

from __future__ import annotations

from pathlib import Path

from service.datasets.passages.cut import cut
from service.datasets.passages.decode import decoded
from service.datasets.passages.html_text import is_page, plain, text_of_page
from service.datasets.passages.kinds import HEAD_BYTES, binary_kind
from service.datasets.passages.passage import Document, Fault, Passage, Passages


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
    text = text_of_page(source) if is_page(source) else plain(source)
    found = [
        Passage(
            document=number,
            start=text.source_of(start),
            end=text.source_of(end - 1) + 1,
            text=text.text[start:end],
        )
        for start, end in cut(text.text)
    ]
    return found or "empty"
