"""Comparison of two files: which rows differ, and what shifts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from service.datasets.duplicates.groups import Hashes, Rows
from service.datasets.formats.options import FormatOptions
from service.datasets.personal_data.kinds import Recognizer
from service.datasets.report.collect import FileRows, Progress, read_file
from service.datasets.report.features import FeatureArray, FeatureOptions
from service.datasets.versions.diff import (
    CHANGES,
    INDEX,
    OTHER_TEXTS,
    TEXTS,
    Diff,
    DiffIndex,
    Entry,
    Lineage,
    RowPlace,
    pack,
)
from service.datasets.versions.drift import shifts, statistics, summary

Pairs = np.ndarray[Any, np.dtype[np.int64]]
"""[pair, (row of the first file, row of the second)]."""

# A row whose other texts are the same is the likelier counterpart, so that comes first.
_ALIKE = ("said", "prompt", "asked")


class Matched(NamedTuple):
    """Numbers of unchanged rows, pairs of changed rows, and the rows that are left over."""

    unchanged: int
    changed: Pairs
    removed: Rows
    added: Rows


def match(before: FeatureArray, after: FeatureArray, known: Pairs) -> Matched:
    """Match the rows of two files. `known` has pairs of rows that come from one row."""
    left = np.ones(len(before), dtype=bool)
    other_left = np.ones(len(after), dtype=bool)

    def take(pairs: Pairs) -> Pairs:
        left[pairs[:, 0]] = False
        other_left[pairs[:, 1]] = False
        return pairs

    unchanged = take(_pairs(before["exact"], after["exact"]))
    changed = [take(known[left[known[:, 0]] & other_left[known[:, 1]]])]
    for feature in _ALIKE:
        # Without a question, only rows that say the same are versions of each other.
        rows = np.flatnonzero(left & ((before["asked"] != 0) | (feature == "said")))
        others = np.flatnonzero(other_left & ((after["asked"] != 0) | (feature == "said")))
        found = _pairs(before[feature][rows], after[feature][others])
        changed.append(take(np.stack((rows[found[:, 0]], others[found[:, 1]]), axis=1)))
    pairs = np.concatenate(changed)
    return Matched(
        len(unchanged),
        pairs[np.argsort(pairs[:, 0], kind="stable")],
        np.flatnonzero(left),
        np.flatnonzero(other_left),
    )


def _pairs(hashes: Hashes, others: Hashes) -> Pairs:
    """Pair the first row with a hash with the other file's first, the second with its second …"""
    _, numbers = np.unique(np.concatenate((hashes, others)), return_inverse=True)
    one, other = _numbered(numbers[: len(hashes)]), _numbered(numbers[len(hashes) :])
    _, rows, other_rows = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return np.stack((rows, other_rows), axis=1).astype(np.int64)


def _numbered(values: Any) -> Any:
    """Return a unique key for each row: its value, and how many rows before have it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(starts, append=len(values))
    keys = np.empty(len(values), dtype=np.uint64)
    place = np.arange(len(values)) - np.repeat(starts, counts)
    keys[order] = (ordered.astype(np.uint64) << np.uint64(32)) | place.astype(np.uint64)
    return keys


class Version(NamedTuple):
    """A file to compare: its path, format, and the SHA-256 of its rows if they are stored."""

    path: Path
    format: FormatOptions = FormatOptions()
    stored_rows: str | None = None


def compare_files(
    before: Version,
    after: Version,
    out: Path,
    *,
    lineage: Lineage | None = None,
    recognizers: tuple[Recognizer, ...] = (),
    processes: int = 1,
    progress: Progress | None = None,
) -> Diff:
    """Compare two files, and write the index of the rows that differ to the folder `out`.

    Time and memory are those of reading the two files one after the other: rows are matched by
    their hashes. Raises DatasetError if a file as a whole cannot be read.
    """
    features = FeatureOptions(
        signatures=False, mojibake=False, quality=False, recognizers=recognizers
    )
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="diff-") as work:
        one, other = (
            read_file(
                version.path,
                Path(work) / name,
                version.format,
                features,
                processes=processes,
                progress=progress,
            )
            for name, version in (("before", before), ("after", after))
        )
        known = _known_pairs(lineage, one, other)
        matched = match(one.collected.features, other.collected.features, known)
        of = statistics(one, other)
        drift = shifts(of, one, other)
        _write_index(out, matched, (one, before), (other, after))
    changed, removed, added = map(len, (matched.changed, matched.removed, matched.added))
    return Diff(
        summary=summary(matched.unchanged, changed, removed, added, drift),
        unchanged=matched.unchanged,
        changed=changed,
        removed=removed,
        added=added,
        drift=drift,
        before=of.before,
        after=of.after,
    )


class _CleaningAction(msgspec.Struct):
    """A line of a cleaning's diff."""

    line: int
    action: str


def _known_pairs(lineage: Lineage | None, source: FileRows, made: FileRows) -> Pairs:
    """Return the pairs of rows in which the second is what a cleaning made of the first."""
    none = np.zeros((0, 2), dtype=np.int64)
    if lineage is None:
        return none
    lines: dict[str, set[int]] = {"dropped": set(), "held_out": set(), "changed": set()}
    decode = msgspec.json.Decoder(_CleaningAction).decode
    with lineage.diff.open("rb") as file:
        for one in map(decode, file):
            lines[one.action].add(one.line)
    # A broken row that a decision edited is not among the rows of the source.
    found = lines["changed"].union(source.lines.tolist()) - lines["dropped"]
    kept = sorted(found & lines["held_out"] if lineage.is_validation else found - lines["held_out"])
    if len(kept) != len(made.lines):
        return none
    _, rows, made_rows = np.intersect1d(source.lines, kept, return_indices=True)
    return np.stack((rows, made_rows), axis=1)


def _write_index(
    out: Path, matched: Matched, one: tuple[FileRows, Version], other: tuple[FileRows, Version]
) -> None:
    has_texts = [read.result.sha256 != version.stored_rows for read, version in (one, other)]
    places, others = _Places(one[0]), _Places(other[0])
    with (out / CHANGES).open("wb") as file:
        for rows, other_rows in (
            (matched.changed[:, 0], matched.changed[:, 1]),
            (matched.removed, None),
            (None, matched.added),
        ):
            file.writelines(
                pack(Entry(place, counterpart))
                for place, counterpart in zip(
                    places.of(rows, len(matched.added)),
                    others.of(other_rows, len(matched.removed)),
                    strict=True,
                )
            )
    counts = (len(matched.changed), len(matched.removed), len(matched.added))
    (out / INDEX).write_bytes(msgspec.json.encode(DiffIndex(*counts, *has_texts)))
    for (read, _), has, name in ((one, has_texts[0], TEXTS), (other, has_texts[1], OTHER_TEXTS)):
        if has:
            read.collected.path.replace(out / name)


class _Places:
    """Where the rows of a file are."""

    def __init__(self, read: FileRows) -> None:
        self._lines = read.lines
        self._bytes = read.collected.features["bytes"]
        self._ends = np.cumsum(self._bytes, dtype=np.int64)

    def of(self, rows: Rows | None, count: int) -> Iterable[RowPlace | None]:
        """Yield the places of rows, or `count` times None."""
        return [None] * count if rows is None else self._of(rows)

    def _of(self, rows: Rows) -> Iterator[RowPlace]:
        columns: tuple[Any, ...] = (
            self._lines[rows],
            self._ends[rows] - self._bytes[rows],
            self._bytes[rows],
        )
        return (RowPlace(*place) for place in zip(*(c.tolist() for c in columns), strict=True))
