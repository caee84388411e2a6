"""Types of comparisons and merges, and the index of the rows that differ.

An index is a folder. `index.json` counts the differences, and `changes.bin` has an entry of fixed
length for each: first the changed rows, then the removed ones, then the added ones. `marks.jsonl`
has the positions of personal data in the rows of those differences that have any, and
`mark-ends.bin` says for each difference where its positions end. If the service does not store the
canonical rows of a file elsewhere, `texts.jsonl` has those of the first file, and
`other-texts.jsonl` those of the second.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from service.datasets.contract.report import Distribution, Share, SystemPrompts
from service.datasets.formats.options import FormatOptions, RowFormat
from service.datasets.output import OutputFile
from service.datasets.personal_data.marks import Mark

INDEX: Final = "index.json"
CHANGES: Final = "changes.bin"
MARKS: Final = "marks.jsonl"
MARK_ENDS: Final = "mark-ends.bin"
TEXTS: Final = "texts.jsonl"
OTHER_TEXTS: Final = "other-texts.jsonl"

Change = Literal["changed", "removed", "added"]
Measure = Literal[
    "language",
    "question_characters",
    "answer_characters",
    "turns",
    "system_prompts",
    "tools",
    "class",
    "personal_data",
]


class FileStatistics(msgspec.Struct, frozen=True):
    """Statistics of a file. All but `broken_rows` cover the valid rows only.

    `classes` has the answers of rows that sort inputs into classes, or the labels of labeled rows.
    `personal_data` counts the findings by kind, and `personal_rows` the rows that have any.
    """

    rows: Annotated[int, Meta(description="Number of valid rows.")]
    broken_rows: Annotated[int, Meta(description="Number of invalid rows.")]
    languages: Annotated[list[Share], Meta(description="Languages of the rows.")]
    question_characters: Annotated[
        Distribution | None,
        Meta(description="Characters of the questions per row; null if there are none."),
    ]
    answer_characters: Annotated[
        Distribution | None,
        Meta(description="Characters of the answers per row; null if there are none."),
    ]
    turns: Annotated[
        Distribution | None, Meta(description="Turns per row; null if there are none.")
    ]
    system_prompts: Annotated[SystemPrompts, Meta(description="Statistics on system prompts.")]
    tool_rows: Annotated[int, Meta(description="Number of rows with tools.")]
    classes: Annotated[
        list[Share],
        Meta(description="Classes that rows are sorted into, or labels of labeled rows."),
    ]
    personal_data: Annotated[
        dict[str, int], Meta(description="Number of findings of personal data, by kind.")
    ]
    personal_rows: Annotated[int, Meta(description="Number of rows with personal data.")]


class Shift(msgspec.Struct, frozen=True):
    """A statistic that differs between two files.

    `before` and `after` are shares of the rows, medians of lengths and turns, or findings of
    personal data per row. `name` is the language, the class, or the kind of personal data. `size`
    is how much differs, from 0 to 1: the difference of the shares or, for lengths and turns, the
    largest difference between the shares of rows up to any value.
    """

    measure: Annotated[Measure, Meta(description="What differs.")]
    name: Annotated[
        str | None,
        Meta(description="Language, class or kind of personal data; null for other measures."),
    ]
    before: Annotated[float, Meta(description="Value in the first file.")]
    after: Annotated[float, Meta(description="Value in the second file.")]
    size: Annotated[float, Meta(description="Size of the difference, from 0 to 1.")]
    text: Annotated[str, Meta(description="The difference in words.")]


class Diff(msgspec.Struct, frozen=True):
    """Difference between two files, from `before` to `after`.

    Rows are compared in all content used for training, in any order. `changed` rows have the same
    questions, or come from the same row by a cleaning, but differ otherwise. The largest shift in
    `drift` comes first.
    """

    summary: Annotated[str, Meta(description="The difference in one sentence.")]
    unchanged: Annotated[int, Meta(description="Number of rows that both files have.")]
    changed: Annotated[
        int, Meta(description="Number of rows that have the same questions, but differ otherwise.")
    ]
    removed: Annotated[int, Meta(description="Number of rows that only the first file has.")]
    added: Annotated[int, Meta(description="Number of rows that only the second file has.")]
    drift: Annotated[
        list[Shift], Meta(description="Statistics that differ, the largest shift first.")
    ]
    before: Annotated[FileStatistics, Meta(description="Statistics of the first file.")]
    after: Annotated[FileStatistics, Meta(description="Statistics of the second file.")]


class Lineage(msgspec.Struct, frozen=True):
    """How a cleaning made the second file from the first: its diff, and which output it is."""

    diff: Path
    is_validation: bool


class DiffIndex(msgspec.Struct, frozen=True):
    """Numbers of differences, and which files have their texts in the index.

    `has_marks` is false in an index of an earlier version, which has no positions of personal data.
    """

    changed: int
    removed: int
    added: int
    has_texts: bool
    has_other_texts: bool
    has_marks: bool = False

    def range_of(self, change: Change | None) -> tuple[int, int]:
        """Return the range of the entries of a kind of difference, or of all entries."""
        removed, added = self.changed, self.changed + self.removed
        match change:
            case "changed":
                return 0, removed
            case "removed":
                return removed, added
            case "added":
                return added, added + self.added
        return 0, added + self.added


class RowPlace(NamedTuple):
    """A row: its line, and the position of its canonical form in the file of canonical rows."""

    line: int
    start: int
    bytes: int


_ENTRY = struct.Struct("<IQIIQI")
ENTRY_BYTES: Final = _ENTRY.size


class Entry(NamedTuple):
    """A difference: the row in the first file, and the row in the second."""

    row: RowPlace | None
    other: RowPlace | None

    @property
    def change(self) -> Change:
        """The kind of difference."""
        if self.row is None:
            return "added"
        return "removed" if self.other is None else "changed"

    @property
    def bytes(self) -> int:
        """Length of both rows."""
        return sum(place.bytes for place in self if place is not None)


def encode_entry(entry: Entry) -> bytes:
    """Encode an entry. A row that does not exist has the line 0."""
    nothing = RowPlace(0, 0, 0)
    return _ENTRY.pack(*(entry.row or nothing), *(entry.other or nothing))


def decode_entries(data: bytes) -> list[Entry]:
    """Decode stored entries."""
    return [
        Entry(
            RowPlace(*values[:3]) if values[0] else None,
            RowPlace(*values[3:]) if values[3] else None,
        )
        for values in _ENTRY.iter_unpack(data)
    ]


class EntryMarks(NamedTuple):
    """Positions of personal data in both rows of a difference."""

    row: tuple[Mark, ...] = ()
    other: tuple[Mark, ...] = ()


_END = struct.Struct("<Q")
MARK_END_BYTES: Final = _END.size
_decode_marks = msgspec.json.Decoder(EntryMarks).decode


def encode_mark_end(end: int) -> bytes:
    """Encode where the marks of a difference end."""
    return _END.pack(end)


def decode_mark_ends(data: bytes) -> list[int]:
    """Decode where the marks of differences end."""
    return [end for (end,) in _END.iter_unpack(data)]


def decode_entry_marks(data: bytes) -> EntryMarks:
    """Decode the marks of a difference, which are empty if there are none."""
    return _decode_marks(data) if data else EntryMarks()


Balance = Literal["none", "files", "languages"]


class MergeSource(msgspec.Struct, frozen=True):
    """A file to merge, and how many rows to take. Its ID is its name in the folder."""

    id: str
    format: FormatOptions = FormatOptions()
    max_rows: int | None = None
    weight: float | None = None


class MergeOptions(msgspec.Struct, frozen=True):
    """Options of a merge.

    `exact_duplicates` keeps the first of the rows that are equal in everything that is trained on.
    If a file has a weight, rows are taken in proportion to the weights, which are 1 by default.
    `balance` takes as many rows of each file, or of each language.
    """

    exact_duplicates: bool = True
    balance: Balance = "none"
    seed: int = 0


class RowOfFile(msgspec.Struct, frozen=True):
    """A row: the ID of its file, and its line."""

    file_id: str
    line: int


class MergedFile(msgspec.Struct, frozen=True):
    """Numbers of rows of a source file.

    `taken` counts rows in the merged file, `duplicates` rows that equal another row, and `left_out`
    rows that a maximum, a weight or the balance excludes.
    """

    file_id: str
    rows: int
    taken: int
    duplicates: int
    left_out: int


class MergeResult(msgspec.Struct, frozen=True):
    """The merged file, and its diff, which names each row that was left out and each conflict.

    `conflicts` counts questions that several files answer differently, and `conflict_examples` has
    the rows of the first ones. `languages` are those of the merged file.
    """

    merged: OutputFile
    diff: OutputFile
    row_format: RowFormat
    files: list[MergedFile]
    languages: list[Share]
    conflicts: int
    conflict_examples: list[list[RowOfFile]]
