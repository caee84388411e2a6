"""Options and result of a merge. This module imports no libraries that read text."""

from __future__ import annotations

from typing import Literal

import msgspec

from service.datasets.facts import RowFormat
from service.datasets.formats.options import FormatOptions
from service.datasets.output import OutputFile
from service.datasets.report.report import Share

Balance = Literal["none", "files", "languages"]


class MergeSource(msgspec.Struct, frozen=True):
    """A file to merge, by its ID, which is its name in the folder; and how many rows to take."""

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
    """What became of the rows of a file.

    `rows` is their number, `taken` those in the merged file, `duplicates` those that another row
    equals, and `left_out` those that a maximum, a weight or the balance leaves out.
    """

    file_id: str
    rows: int
    taken: int
    duplicates: int
    left_out: int


class MergeResult(msgspec.Struct, frozen=True):
    """The merged file, and its diff, which names each row that was left out and each conflict.

    `conflicts` is the number of questions with answers in several files that do not mean the same,
    and `conflict_examples` has the rows of the first ones. Languages are those of the merged file.
    """

    merged: OutputFile
    diff: OutputFile
    row_format: RowFormat
    files: list[MergedFile]
    languages: list[Share]
    conflicts: int
    conflict_examples: list[list[RowOfFile]]
