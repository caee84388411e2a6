"""The index of a report's rows: where each row is, its language, and its findings.

An index is a folder. `rows.jsonl` has an entry for each row, in the order of their lines.
`rows.json` describes blocks of entries, so that a reader finds a page of rows with one finding or
in one language without reading the rest. If the service does not store the file's canonical rows
elsewhere, `texts.jsonl` has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from service.datasets.checks.issues import Issue

ENTRIES: Final = "rows.jsonl"
DIRECTORY: Final = "rows.json"
TEXTS: Final = "texts.jsonl"
UNREADABLE: Final = ""  # language of a row that is broken

# Issues that the index keeps: of each code, and altogether. Each takes about 300 bytes of memory.
MAX_ISSUES, MAX_ISSUES_A_CODE = 300_000, 100_000
_MIN_BLOCK, _MAX_BLOCKS = 256, 4_096


class RowFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding on a row. Its code says how severe it is and how to fix it."""

    code: str
    message: str
    pointer: str = ""
    other_line: int | None = None
    similarity: float | None = None


class RowEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row: its line, its place among the canonical rows, its language, and its findings.

    A broken row has no canonical form, so its `bytes` are 0.
    """

    line: int
    start: int = 0
    bytes: int = 0
    language: str = UNREADABLE
    findings: tuple[RowFinding, ...] = ()


class Block(msgspec.Struct, frozen=True):
    """A block of entries: the bytes that they take, their lines, and what they contain.

    `findings` counts the rows by code and language, and `languages` by language.
    """

    start: int
    end: int
    first_line: int
    last_line: int
    languages: dict[str, int]
    findings: dict[str, dict[str, int]]

    def contains(self, code: str | None, language: str | None) -> bool:
        """Whether a row of the block has a finding with the code, and is in the language."""
        languages = self.languages if code is None else self.findings.get(code, {})
        return bool(languages) if language is None else language in languages


class Directory(msgspec.Struct, frozen=True):
    """The blocks of an index, and whether it has texts of its own."""

    blocks: list[Block]
    has_texts: bool


class ValidRow(NamedTuple):
    """A valid row: its line, the length of its canonical form with line break, and its language."""

    line: int
    bytes: int
    language: str


def write_index(
    folder: Path, rows: Iterable[ValidRow], count: int, issues: Iterable[Issue], *, has_texts: bool
) -> None:
    """Write the index of `count` valid rows, in order, and of their issues to a folder."""
    found: dict[int, list[Issue]] = {}
    for issue in issues:
        if issue.line is not None:
            found.setdefault(issue.line, []).append(issue)
    size = max(_MIN_BLOCK, -(-count // _MAX_BLOCKS))
    blocks: list[Block] = []
    with (folder / ENTRIES).open("wb") as out:
        part: list[RowEntry] = []
        for entry in _entries(rows, found):
            part.append(entry)
            if len(part) == size:
                blocks.append(_write_block(out, part))
                part = []
        if part:
            blocks.append(_write_block(out, part))
    (folder / DIRECTORY).write_bytes(msgspec.json.encode(Directory(blocks, has_texts)))


def _entries(rows: Iterable[ValidRow], found: dict[int, list[Issue]]) -> Iterator[RowEntry]:
    """Yield an entry for each valid row, and for each other line that has an issue."""
    left = sorted(found, reverse=True)
    start = 0
    for row in rows:
        while left and left[-1] < row.line:
            line = left.pop()
            yield RowEntry(line, findings=_findings(found[line]))
        if left and left[-1] == row.line:
            left.pop()
        issues = found.get(row.line, ())
        yield RowEntry(row.line, start, row.bytes, row.language, _findings(issues))
        start += row.bytes
    for line in reversed(left):
        yield RowEntry(line, findings=_findings(found[line]))


def _findings(issues: Iterable[Issue]) -> tuple[RowFinding, ...]:
    return tuple(
        RowFinding(one.code, one.message, one.pointer, one.other_line, one.similarity)
        for one in issues
    )


def _write_block(out: BinaryIO, entries: Sequence[RowEntry]) -> Block:
    start = out.tell()
    findings: dict[str, Counter[str]] = {}
    for entry in entries:
        for code in {finding.code for finding in entry.findings}:
            findings.setdefault(code, Counter())[entry.language] += 1
    out.write(msgspec.json.Encoder().encode_lines(entries))
    return Block(
        start,
        out.tell(),
        entries[0].line,
        entries[-1].line,
        dict(Counter(entry.language for entry in entries)),
        {code: dict(counts) for code, counts in findings.items()},
    )
