"""Cleans a data set: new files, and a report of every row that was dropped or changed.

Deterministic: the same input and the same options give the same bytes.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from service.datasets.checks.findings import Findings
from service.datasets.checks.rows import RowFormat, check_row
from service.datasets.cleaning.diff import DiffEntry, diff_lines
from service.datasets.cleaning.text import TextCleaner, UnicodeForm
from service.datasets.digest import DigestWriter
from service.datasets.duplicates.find import find_likeness
from service.datasets.duplicates.groups import Rows
from service.datasets.errors import refuse
from service.datasets.formats.convert import ConvertResult, prepare
from service.datasets.formats.options import FormatOptions
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.personal_data.redact import RedactMode
from service.datasets.report.collect import Collected, Progress, collect
from service.datasets.report.features import FeatureOptions
from service.datasets.rows.canonical import encode
from service.datasets.rows.lines import FileSlice, LongLine, read_batches
from service.datasets.rows.split import split_rows

ContradictionRule = Literal["keep", "first", "last", "most_common", "longest", "drop"]

_decode = msgspec.json.Decoder(dict[str, Any]).decode
# Each broken row is in the diff, up to this many; all are counted.
_MAX_BROKEN_ROWS = 1_000_000


class CleanOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to clean. Of duplicates the first row stays.

    `exact_duplicates` drops what is equal to the letter in everything that is trained on:
    system prompt, tools, all messages, and the worse answer of a preference.
    `near_duplicates` also drops rows that differ in case, spacing, a number or a word, as
    far as their system prompt, tools and worse answer are the same: a 1 as `near_threshold`
    leaves case and spacing.
    `contradictions` names which answer stays where a question has several. `unicode` NFKC
    also folds full-width letters and the like, which changes what the model will write.
    `validation_share` of the rows, 0 to 0.5, goes to a second file.
    """

    format: FormatOptions = FormatOptions()
    drop_broken: bool = True
    exact_duplicates: bool = True
    near_duplicates: bool = False
    near_threshold: float = 0.8
    contradictions: ContradictionRule = "keep"
    personal_data: RedactMode = "keep"
    unicode: UnicodeForm = "NFC"
    mend_mojibake: bool = True
    drop_control_characters: bool = True
    validation_share: float = 0.0
    seed: int = 0
    processes: int = 1


class OutputFile(msgspec.Struct, frozen=True):
    """A file that was written: its path, rows (of the diff: entries), bytes and sha256."""

    path: str
    rows: int
    bytes: int
    sha256: str


class CleanResult(msgspec.Struct, frozen=True):
    """What came out. `dropped` counts rows by reason, `changed` changes by kind."""

    source: ConvertResult
    train: OutputFile
    validation: OutputFile | None
    diff: OutputFile
    dropped: dict[str, int]
    changed: dict[str, int]
    changed_rows: int

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return built


def clean(
    path: Path | str,
    out_dir: Path | str,
    options: CleanOptions | None = None,
    *,
    progress: Progress | None = None,
) -> CleanResult:
    """Writes train.jsonl, diff.jsonl and, if asked for, validation.jsonl to `out_dir`.

    Raises DatasetError for a file that cannot be read as a whole, and for one with broken
    rows if those are not to be dropped.
    """
    chosen, folder = options or CleanOptions(), Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".clean-") as work:
        return _Cleaning(Path(path), folder, Path(work), chosen, progress).run()


class _Cleaning:
    """One run. The diff is small beside the data: an entry a row that was touched."""

    def __init__(
        self,
        path: Path,
        out: Path,
        work: Path,
        options: CleanOptions,
        progress: Progress | None,
    ) -> None:
        self._path, self._out, self._work = path, out, work
        self._options = options
        self._progress = progress
        self._entries: list[DiffEntry] = []
        self._changed: Counter[str] = Counter()
        self._changed_rows = 0

    def run(self) -> CleanResult:
        options = self._options
        canonical, cleaned = self._work / "canonical", self._work / "cleaned"
        prepared = prepare(
            self._path,
            canonical,
            options.format,
            processes=options.processes,
            max_issues=_MAX_BROKEN_ROWS,
            only_errors=True,
        )
        self._drop_broken(prepared.result)
        row_format: RowFormat = (
            "chat" if prepared.result.facts.row_format == "chat" else "preference"
        )
        limit = options.format.limit_bytes(prepared.result.facts.bytes)
        with DigestWriter(cleaned, limit) as writer:
            lines = self._clean_texts(canonical, writer, prepared.lines, row_format)
        collected = collect(
            cleaned,
            len(lines),
            self._work,
            FeatureOptions(personal_data=False, mojibake=False),
            processes=options.processes,
            progress=self._progress,
        )
        dropped, linked = self._drop_alike(collected, lines)
        kept = np.flatnonzero(~dropped)
        held = np.zeros(len(lines), dtype=bool)
        held[kept] = split_rows(
            collected.features[kept],
            _renumbered(linked, kept),
            share=options.validation_share,
            seed=options.seed,
        )
        return self._write(prepared.result, cleaned, lines, dropped, held)

    def _drop_broken(self, result: ConvertResult) -> None:
        first: dict[int, str] = {}
        for issue in result.validation.issues:
            if issue.severity == "error" and issue.line is not None:
                first.setdefault(issue.line, issue.code)
        if first and not self._options.drop_broken:
            line = min(first)
            raise refuse("broken_row", line, cause=first[line])
        for line, code in first.items():
            self._entries.append(DiffEntry(line, "dropped", "broken", {"code": code}))

    def _clean_texts(
        self, source: Path, target: DigestWriter, source_lines: array[int], row_format: RowFormat
    ) -> array[int]:
        """Cleans each text; returns the source lines of the rows that are still rows."""
        options = self._options
        cleaner = TextCleaner(
            unicode_form=options.unicode,
            mend_mojibake=options.mend_mojibake,
            drop_control=options.drop_control_characters,
            personal_data=options.personal_data,
        )
        if cleaner.learns:
            for data in _rows(source):
                cleaner.learn(_decode(data))
        kept = array("I")
        for number, data in zip(source_lines, _rows(source), strict=True):
            row, changes = cleaner.clean(_decode(data))
            if changes:
                found = Findings(number)
                check_row(found, row, row_format)
                if found.first_error is not None:
                    entry = DiffEntry(number, "dropped", "empty", {"code": found.first_error.code})
                    self._entries.append(entry)
                    continue
                self._entries.append(DiffEntry(number, "changed", "text", {"changes": changes}))
                self._changed.update(changes)
                self._changed_rows += 1
                data = encode(row)
            target.write_row(data + b"\n", number)
            kept.append(number)
        return kept

    def _drop_alike(
        self, collected: Collected, lines: array[int]
    ) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[Rows]]:
        options, features = self._options, collected.features
        likeness = find_likeness(collected, near_threshold=options.near_threshold)
        dropped = np.zeros(len(features), dtype=bool)
        if options.exact_duplicates:
            for group in likeness.exact:
                self._drop(group[1:], int(group[0]), "exact_duplicate", lines, dropped)
        if options.contradictions != "keep":
            for group in likeness.contradicting:
                self._resolve(group, collected, lines, dropped)
        if options.near_duplicates:
            for group in likeness.near:
                left = group[~dropped[group]]
                left = left[features["context"][left] == features["context"][left[:1]]]
                if len(left) > 1:
                    self._drop(left[1:], int(left[0]), "near_duplicate", lines, dropped)
        return dropped, [*likeness.exact, *likeness.linked]

    def _resolve(
        self,
        group: Rows,
        collected: Collected,
        lines: array[int],
        dropped: np.ndarray[Any, np.dtype[np.bool_]],
    ) -> None:
        """Keeps one answer of a question, by the named rule; ties go to the first row."""
        features, rule = collected.features, self._options.contradictions
        answers = features["answer"]
        if rule == "drop":
            self._drop(group, None, "contradiction", lines, dropped)
            return
        if rule == "first":
            winner = int(group[0])
        elif rule == "last":
            winner = int(group[-1])
        elif rule == "longest":
            winner = int(group[int(features["answer_chars"][group].argmax())])
        else:
            counts = Counter(answers[group].tolist())
            winner = int(max(group, key=lambda row: counts[int(answers[row])]))
        losers = group[answers[group] != answers[winner]]
        self._drop(losers, winner, "contradiction", lines, dropped)

    def _drop(
        self,
        rows: Rows,
        other: int | None,
        reason: str,
        lines: array[int],
        dropped: np.ndarray[Any, np.dtype[np.bool_]],
    ) -> None:
        more = {} if other is None else {"other": lines[other]}
        for row in rows:
            if not dropped[row]:
                dropped[row] = True
                self._entries.append(DiffEntry(lines[int(row)], "dropped", reason, more))

    def _write(
        self,
        source: ConvertResult,
        cleaned: Path,
        lines: array[int],
        dropped: np.ndarray[Any, np.dtype[np.bool_]],
        held: np.ndarray[Any, np.dtype[np.bool_]],
    ) -> CleanResult:
        train, validation = self._work / "train", self._work / "validation"
        with DigestWriter(train) as to_train, DigestWriter(validation) as to_validation:
            for row, data in enumerate(_rows(cleaned)):
                if held[row]:
                    to_validation.write(data + b"\n")
                    self._entries.append(DiffEntry(lines[row], "held_out", "validation", {}))
                elif not dropped[row]:
                    to_train.write(data + b"\n")
        diff = self._work / "diff"
        with DigestWriter(diff) as to_diff:
            to_diff.write(diff_lines(self._entries))
        rows_held = int(held.sum())
        return CleanResult(
            source=source,
            train=self._place(to_train, "train.jsonl", len(lines) - int(dropped.sum()) - rows_held),
            validation=self._place(to_validation, "validation.jsonl", rows_held)
            if self._options.validation_share > 0
            else None,
            diff=self._place(to_diff, "diff.jsonl", len(self._entries)),
            dropped=dict(
                sorted(Counter(e.reason for e in self._entries if e.action == "dropped").items())
            ),
            changed=dict(sorted(self._changed.items())),
            changed_rows=self._changed_rows,
        )

    def _place(self, writer: DigestWriter, name: str, rows: int) -> OutputFile:
        """Moves a whole file to its name, so that no half one ever has it."""
        target = self._out / name
        writer.path.replace(target)
        return OutputFile(str(target), rows, writer.bytes, writer.sha256)


def _rows(path: Path) -> Iterator[bytes]:
    with FileSlice(path) as stream:
        for batch in read_batches(stream, max_line_bytes=4 * MAX_LINE_BYTES):
            if not isinstance(batch, LongLine):
                yield from (line for line in batch.lines if line)


def _renumbered(groups: list[Rows], kept: Rows) -> list[Rows]:
    """The groups in the numbers of the rows that are left."""
    places = {int(row): place for place, row in enumerate(kept)}
    renumbered = (
        np.array([places[int(row)] for row in group if int(row) in places], dtype=np.int64)
        for group in groups
    )
    return [group for group in renumbered if len(group) > 1]
