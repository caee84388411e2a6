"""Finds rows by their wording, by a literal text, or by their digest."""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from service.datasets.contract.tasks import FoundRows, RowMatch
from service.datasets.duplicates.compare import parse_text
from service.datasets.formats.convert import prepare
from service.datasets.formats.options import FormatOptions
from service.datasets.rows.conversation import split_row
from service.datasets.rows.lines import canonical_rows

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def search(
    path: Path, work: Path, match: RowMatch, file_format: FormatOptions, *, processes: int = 1
) -> FoundRows:
    """Return the lines of the readable rows that match.

    Raises DatasetError if the file as a whole cannot be read.
    """
    matches = _MATCHES[match.kind](match.value)
    with tempfile.TemporaryDirectory(dir=work, prefix=".search-") as folder:
        canonical = Path(folder) / "canonical"
        prepared = prepare(path, canonical, file_format, processes=processes, only_errors=True)
        rows = zip(prepared.lines, canonical_rows(canonical), strict=True)
        found = array("I", (line for line, data in rows if matches(data)))
    return FoundRows(rows=len(prepared.lines), lines=found.tolist())


def _match_wording(text: str) -> Callable[[bytes], bool]:
    """Match rows with a turn that contains this wording, ignoring case and politeness."""
    said = parse_text(text).said

    def matches(data: bytes) -> bool:
        turns = split_row(_decode(data)).turns
        return any(said in parse_text(turn.text).said for turn in turns)

    return matches


def _match_substring(text: str) -> Callable[[bytes], bool]:
    """Match rows with this text anywhere: in messages, tools, labels or metadata."""

    def matches(data: bytes) -> bool:
        return any(text in found for found in _texts(_decode(data)))

    return matches


def _match_digest(digest: str) -> Callable[[bytes], bool]:
    return lambda data: hashlib.sha256(data).hexdigest() == digest


def _texts(value: Any) -> list[str]:
    """Return all strings in a JSON value, including keys."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for key, inner in value.items() for text in (key, *_texts(inner))]
        case list():
            return [text for inner in value for text in _texts(inner)]
    return []


_MATCHES: dict[str, Callable[[str], Callable[[bytes], bool]]] = {
    "text": _match_wording,
    "substring": _match_substring,
    "row_sha256": _match_digest,
}
