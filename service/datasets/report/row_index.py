"""Writes the index of a report's rows: the position, language, score, and findings of each row.

An index is a folder. `rows.jsonl` has an entry for each row, in the order of lines. `worst.jsonl`
repeats the entries of rows with a lowered score, the lowest first. `rows.json`
describes blocks of the entries of both, so that a reader finds a page of rows with one finding or
in one language without reading the rest. If the service does not store the file's canonical rows
elsewhere, `texts.jsonl` has them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

import msgspec

from service.datasets.checks.issues import Issue
from service.datasets.personal_data.marks import Mark
from service.datasets.quality import BEST, score

ENTRIES: Final = "rows.jsonl"
WORST: Final = "worst.jsonl"
DIRECTORY: Final = "rows.json"
TEXTS: Final = "texts.jsonl"
UNREADABLE: Final = ""  # the language of a broken row

# Issues in the index: altogether, and of each code. Each takes about 300 bytes of memory.
MAX_ISSUES, MAX_ISSUES_A_CODE = 300_000, 100_000
_MIN_BLOCK, _MAX_BLOCKS = 256, 4_096


_T = TypeVar("_T")


class RowFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding on a row. Its code says how severe it is and how to fix it."""

    code: str
    message: str
    pointer: str = ""
    other_line: int | None = None
    similarity: float | None = None
    figures: dict[str, int | float | str] | None = None


class RowEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row: its line, position among the canonical rows, language, findings, and score.

    A broken row has no canonical form, so its `bytes` are 0. `marks` are the positions of personal
    data in the canonical row.
    """

    line: int
    start: int = 0
    bytes: int = 0
    language: str = UNREADABLE
    findings: tuple[RowFinding, ...] = ()
    score: float = BEST
    marks: tuple[Mark, ...] = ()


class Block(msgspec.Struct, frozen=True):
    """A block of entries: its byte range in the file, and what its rows have.

    `findings` counts the rows by code and language, `languages` by language, and `best` those with
    the best score. `lowest` is the lowest score. Earlier versions did not write it.
    """

    start: int
    end: int
    first_line: int
    last_line: int
    languages: dict[str, int]
    findings: dict[str, dict[str, int]]
    last_score: float = BEST
    best: int = 0
    lowest: float = 0.0

    def contains(self, code: str | None, language: str | None) -> bool:
        """Return whether a row of the block has a finding with the code and is in the language."""
        languages = self.languages if code is None else self.findings.get(code, {})
        return bool(languages) if language is None else language in languages


class Directory(msgspec.Struct, frozen=True):
    """The blocks of an index, and whether it has texts of its own.

    `worst` has the blocks of the rows with a lower score than the best, the lowest first.
    `has_marks` is false in an index that an earlier version wrote: it does not know where personal
    data is, and has no scores.
    """

    blocks: list[Block]
    has_texts: bool
    worst: Sequence[Block] = ()
    has_marks: bool = False


class ValidRow(NamedTuple):
    """A valid row: its line, the length of its canonical form with line break, its language, and
    the positions of personal data in it.
    """

    line: int
    bytes: int
    language: str
    marks: tuple[Mark, ...] = ()


def by_line(issues: Iterable[Issue]) -> dict[int, list[Issue]]:
    """Return the issues of each line that has any."""
    found: dict[int, list[Issue]] = {}
    for issue in issues:
        if issue.line is not None:
            found.setdefault(issue.line, []).append(issue)
    return found


def write_index(
    folder: Path, rows: Iterable[ValidRow], count: int, issues: Iterable[Issue], *, has_texts: bool
) -> None:
    """Write the index of `count` valid rows, in order, and of their issues to a folder."""
    size = max(_MIN_BLOCK, -(-count // _MAX_BLOCKS))
    worst = _Worst()
    with (folder / ENTRIES).open("wb") as out:
        parts = _parts(_entries(rows, by_line(issues)), size)
        blocks = [_write_block(out, part, worst) for part in parts]
    directory = Directory(blocks, has_texts, worst.write(folder, size), has_marks=True)
    (folder / DIRECTORY).write_bytes(msgspec.json.encode(directory))


def _parts(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _entries(rows: Iterable[ValidRow], found: dict[int, list[Issue]]) -> Iterator[RowEntry]:
    """Yield an entry for each valid row, and for each other line that has an issue."""
    left = sorted(found, reverse=True)
    start = 0
    for row in rows:
        while left and left[-1] < row.line:
            line = left.pop()
            yield _entry(RowEntry(line), found[line])
        entry = RowEntry(row.line, start, row.bytes, row.language, marks=row.marks)
        if left and left[-1] == row.line:
            entry = _entry(entry, found[left.pop()])
        yield entry
        start += row.bytes
    for line in reversed(left):
        yield _entry(RowEntry(line), found[line])


def _entry(bare: RowEntry, issues: Sequence[Issue]) -> RowEntry:
    findings = tuple(
        RowFinding(one.code, one.message, one.pointer, one.other_line, one.similarity, one.figures)
        for one in issues
    )
    lowered = score(one.code for one in issues)
    return msgspec.structs.replace(bare, findings=findings, score=lowered)


class _Worst:
    """Collects the positions of entries with a lowered score, to write them again by score.

    Each takes 24 bytes of memory.
    """

    def __init__(self) -> None:
        self._scores = array("d")
        self._spans = array("q")

    def add(self, entry: RowEntry, start: int, end: int) -> None:
        if entry.score < BEST:
            self._scores.append(entry.score)
            self._spans.extend((start, end))

    def write(self, folder: Path, size: int) -> list[Block]:
        """Write the entries again, the lowest scores first, and return their blocks."""
        order = sorted(range(len(self._scores)), key=self._scores.__getitem__)
        with (folder / ENTRIES).open("rb") as source, (folder / WORST).open("wb") as out:
            entries = (self._read(source, number) for number in order)
            return [_write_block(out, part) for part in _parts(entries, size)]

    def _read(self, source: BinaryIO, number: int) -> RowEntry:
        start, end = self._spans[2 * number : 2 * number + 2]
        source.seek(start)
        return _decode(source.read(end - start))


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RowEntry).decode


def _write_block(out: BinaryIO, entries: Sequence[RowEntry], worst: _Worst | None = None) -> Block:
    first = start = out.tell()
    findings: dict[str, Counter[str]] = {}
    for entry in entries:
        for code in {finding.code for finding in entry.findings}:
            findings.setdefault(code, Counter())[entry.language] += 1
        end = start + out.write(_encode(entry) + b"\n")
        if worst is not None:
            worst.add(entry, start, end)
        start = end
    return Block(
        first,
        start,
        entries[0].line,
        entries[-1].line,
        dict(Counter(entry.language for entry in entries)),
        {code: dict(counts) for code, counts in findings.items()},
        entries[-1].score,
        sum(entry.score == BEST for entry in entries),
        min(entry.score for entry in entries),
    )
