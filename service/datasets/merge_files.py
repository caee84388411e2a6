"""Merges files into one: drops duplicates, balances rows, and finds conflicts.

A merge is deterministic: the same files and options give the same bytes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xxhash

from service.datasets.checks.issues import DatasetError, refuse
from service.datasets.contract.tasks import MergeSpec
from service.datasets.contract.versions import (
    MergedFile,
    MergeOptions,
    MergeResult,
    MergeSource,
    RowOfFile,
)
from service.datasets.duplicates.groups import Rows
from service.datasets.duplicates.similar_rows import find_conflicts
from service.datasets.file_features import Collected, ProgressCallback, collect
from service.datasets.formats.convert import Prepared, prepare
from service.datasets.formats.options import RowFormat
from service.datasets.limits import NEAR_THRESHOLD
from service.datasets.output import DigestWriter
from service.datasets.report.statistics import language_shares
from service.datasets.row_features import GOOD, HASHES_ONLY, UNLABELED
from service.datasets.rows.lines import canonical_rows
from service.datasets.text.languages import UNKNOWN

TAKEN, DUPLICATE, OVER_MAXIMUM, BALANCED_OUT = range(4)
# A language with a smaller share does not limit the others.
_RARE_SHARE = 0.02

Choices = np.ndarray[Any, np.dtype[np.uint8]]
"""TAKEN for each row in the merged file, or the reason for leaving it out."""


def choose(
    collected: Collected, owners: Rows, sources: Sequence[MergeSource], options: MergeOptions
) -> tuple[Choices, Rows]:
    """Return the choice for each row, and the row that each row duplicates (or itself).

    `owners` has the number of each row's file. A row duplicates one that is taken from an earlier
    file, or an earlier one of its own file.
    """
    features = collected.features
    choices = np.full(len(features), TAKEN, dtype=np.uint8)
    firsts = np.arange(len(features))
    contents = np.unique(features["exact"], return_inverse=True)[1]
    taken_with = np.full(len(features), -1)  # the row that is taken with each content
    draws = _draws(features["exact"], options.seed)

    def keep(rows: Rows, most: int, choice: int) -> None:
        order = np.argsort(draws[rows], kind="stable")
        choices[rows[order[most:]]] = choice

    for number, source in enumerate(sources):
        rows = np.flatnonzero(owners == number)
        if options.exact_duplicates:
            firsts[rows] = _firsts(rows, contents[rows], taken_with)
            choices[rows[firsts[rows] != rows]] = DUPLICATE
        if source.max_rows is not None:
            keep(_taken(choices, owners == number), source.max_rows, OVER_MAXIMUM)
        taken = _taken(choices, owners == number)
        taken_with[contents[taken]] = taken
    for rows, most in _balanced(collected, owners, choices, sources, options):
        keep(rows, most, BALANCED_OUT)
    return choices, firsts


def _firsts(rows: Rows, contents: Rows, taken_with: Rows) -> Rows:
    """Return the row that each row of a file duplicates, or the row itself."""
    _, first, content = np.unique(contents, return_index=True, return_inverse=True)
    earlier = taken_with[contents]
    return np.where(earlier < 0, rows[first][content], earlier)


def _draws(hashes: Any, seed: int) -> Any:
    """Return a pseudorandom number for each row."""
    drawn = (xxhash.xxh3_64_intdigest(f"{seed}:{one}".encode()) for one in hashes.tolist())
    return np.fromiter(drawn, dtype=np.uint64, count=len(hashes))


def _taken(choices: Choices, where: Any) -> Rows:
    return np.flatnonzero((choices == TAKEN) & where)


def _balanced(
    collected: Collected,
    owners: Rows,
    choices: Choices,
    sources: Sequence[MergeSource],
    options: MergeOptions,
) -> Iterator[tuple[Rows, int]]:
    """Yield groups of rows, and the number of rows to take of each."""
    if options.balance == "languages":
        groups = [
            _taken(choices, collected.features["language"] == number)
            for number, name in enumerate(collected.languages)
            if name != UNKNOWN
        ]
        least = _RARE_SHARE * int((choices == TAKEN).sum())
        groups = [rows for rows in groups if len(rows) >= least]
        weights = [1.0] * len(groups)
    elif options.balance == "files" or any(source.weight is not None for source in sources):
        groups = [_taken(choices, owners == number) for number in range(len(sources))]
        weights = [1.0 if source.weight is None else source.weight for source in sources]
    else:
        return
    shares = [len(rows) / weight for rows, weight in zip(groups, weights, strict=True) if len(rows)]
    for rows, weight in zip(groups, weights, strict=True):
        # Prevents a rounding error from dropping a row of the file that limits the others.
        yield rows, max(1, int(min(shares) * weight + 1e-6))


_REASONS = {DUPLICATE: "exact_duplicate", OVER_MAXIMUM: "max_rows", BALANCED_OUT: "balance"}
_EXAMPLES, _ROWS_AN_EXAMPLE = 20, 5


class _Rows(NamedTuple):
    """The rows of all files, in order: their file, by number, and their line."""

    path: Path
    row_format: RowFormat
    owners: Rows
    lines: Rows


def merge(spec: MergeSpec, *, progress: ProgressCallback | None = None) -> MergeResult:
    """Write merged.jsonl and diff.jsonl to `spec.out`. The files are in `spec.path`, by ID.

    Raises DatasetError if a file cannot be read or has broken rows, if their rows have different
    formats or all the same label, or if all of them together have more than `max_bytes`.
    """
    out, sources = spec.out, spec.sources
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".merge-") as name:
        work = Path(name)
        rows = _gather(spec, work)
        collected = collect(
            rows.path,
            len(rows.lines),
            work,
            msgspec.structs.replace(HASHES_ONLY, languages=True),
            processes=spec.processes,
            progress=progress,
        )
        choices, firsts = choose(collected, rows.owners, sources, spec.options)
        _check_labels(collected, choices)
        conflicts = _conflicts(collected, rows, choices, sources)
        merged = DigestWriter(work / "merged")
        with merged:
            for choice, data in zip(choices.tolist(), canonical_rows(rows.path), strict=True):
                if choice == TAKEN:
                    merged.write(data + b"\n")
        diff, entries = DigestWriter(work / "diff"), 0
        with diff:
            for entry in _diff(rows, choices, firsts, conflicts, sources):
                diff.write(json.dumps(entry).encode() + b"\n")
                entries += 1
        taken = choices == TAKEN
        return MergeResult(
            merged=merged.publish(out / "merged.jsonl", int(taken.sum())),
            diff=diff.publish(out / "diff.jsonl", entries),
            row_format=rows.row_format,
            files=list(_files(rows, choices, sources)),
            languages=language_shares(collected._replace(features=collected.features[taken])),
            conflicts=len(conflicts),
            conflict_examples=[one[:_ROWS_AN_EXAMPLE] for one in conflicts[:_EXAMPLES]],
        )


def _gather(spec: MergeSpec, work: Path) -> _Rows:
    """Write the rows of all files to one file."""
    sources = spec.sources
    path, part = work / "rows", work / "part"
    lines, counts = array("I"), []
    row_format: RowFormat | None = None
    with path.open("wb") as whole:
        for source in sources:
            read = _read(source, spec.path, part, spec.processes)
            found = read.result.facts.row_format
            if row_format not in (None, found):
                raise refuse(
                    "mixed_row_formats",
                    file=source.id,
                    found=found,
                    first=sources[0].id,
                    expected=row_format or "",
                )
            if whole.tell() + read.result.bytes > spec.max_bytes:
                raise refuse("merge_too_large", limit=spec.max_bytes)
            row_format = found
            with part.open("rb") as rows:
                shutil.copyfileobj(rows, whole)
            part.unlink()
            lines.extend(read.lines)
            counts.append(len(read.lines))
    owners = np.repeat(np.arange(len(sources)), counts)
    return _Rows(path, row_format or "chat", owners, np.array(lines, dtype=np.int64))


def _read(source: MergeSource, folder: Path, part: Path, processes: int) -> Prepared:
    """Write the rows of a file to `part`. Raises DatasetError, which names the file."""
    try:
        read = prepare(
            folder / source.id, part, source.format, processes=processes, only_errors=True
        )
    except DatasetError as error:
        if error.issue.code == "worker_died":  # not the file's fault
            raise
        raise refuse("unreadable_source", file=source.id, reason=error.issue.message) from error
    for issue in read.result.validation.issues:
        # Another file may have the label that this one lacks.
        if issue.severity == "error" and issue.code != "one_label":
            raise refuse("broken_source", file=source.id, number=issue.line or 1, cause=issue.code)
    return read


def _check_labels(collected: Collected, choices: Choices) -> None:
    """Raise DatasetError if all taken rows have the same label."""
    labels = np.unique(collected.features["label"][choices == TAKEN])
    if len(labels) == 1 and labels[0] != UNLABELED:
        raise refuse("one_label", label=str(bool(labels[0] == GOOD)).lower())


def _conflicts(
    collected: Collected, rows: _Rows, choices: Choices, sources: Sequence[MergeSource]
) -> list[list[RowOfFile]]:
    """Return the rows of each question that several files answer differently."""
    taken = np.flatnonzero(choices == TAKEN)
    with collected.texts() as texts:
        conflicts = find_conflicts(taken, collected.features, texts, NEAR_THRESHOLD)
    return [
        [_row_of(row, rows, sources) for row in group.tolist()]
        for group, _ in conflicts
        if len(np.unique(rows.owners[group])) > 1
    ]


def _diff(
    rows: _Rows,
    choices: Choices,
    firsts: Rows,
    conflicts: list[list[RowOfFile]],
    sources: Sequence[MergeSource],
) -> Iterator[dict[str, Any]]:
    for row in np.flatnonzero(choices != TAKEN).tolist():
        found = _row_of(row, rows, sources)
        entry: dict[str, Any] = {
            "file": found.file_id,
            "line": found.line,
            "action": "dropped",
            "reason": _REASONS[int(choices[row])],
        }
        if choices[row] == DUPLICATE:
            first = _row_of(int(firsts[row]), rows, sources)
            entry |= {"other_file": first.file_id, "other": first.line}
        yield entry
    for group in conflicts:
        first = group[0]
        for other in group[1:]:
            yield {
                "file": other.file_id,
                "line": other.line,
                "action": "kept",
                "reason": "conflict",
                "other_file": first.file_id,
                "other": first.line,
            }


def _row_of(row: int, rows: _Rows, sources: Sequence[MergeSource]) -> RowOfFile:
    return RowOfFile(sources[int(rows.owners[row])].id, int(rows.lines[row]))


def _files(rows: _Rows, choices: Choices, sources: Sequence[MergeSource]) -> Iterator[MergedFile]:
    for number, source in enumerate(sources):
        counts = Counter(choices[rows.owners == number].tolist())
        yield MergedFile(
            file_id=source.id,
            rows=counts.total(),
            taken=counts[TAKEN],
            duplicates=counts[DUPLICATE],
            left_out=counts[OVER_MAXIMUM] + counts[BALANCED_OUT],
        )
