"""Compares two files: which rows differ, and which statistics shift."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from service.datasets.checks.issues import IssueLog
from service.datasets.contract.report import Distribution, Share
from service.datasets.contract.tasks import DiffSpec
from service.datasets.contract.versions import (
    CHANGES,
    INDEX,
    MARK_ENDS,
    MARKS,
    OTHER_TEXTS,
    TEXTS,
    Diff,
    DiffIndex,
    Entry,
    EntryMarks,
    FileStatistics,
    Lineage,
    Measure,
    RowPlace,
    Shift,
    encode_entry,
    encode_mark_end,
)
from service.datasets.duplicates.groups import Hashes, Rows
from service.datasets.file_features import Collected, FileRows, ProgressCallback, read_file
from service.datasets.personal_data.kinds import POSSIBLE
from service.datasets.personal_data.marks import Mark
from service.datasets.report.statistics import distribution, language_shares, system_prompts
from service.datasets.row_features import GOOD, UNLABELED, FeatureArray, FeatureOptions
from service.datasets.text.languages import language_name

# Answers are classes if they are few and each occurs in many rows.
_MAX_CLASSES, _ROWS_A_CLASS = 50, 10
_NAME_CHARS = 80
# A smaller shift may be chance and is not mentioned.
_NOTABLE = 0.02
_MAX_SHIFTS = 100
_LENGTHS: dict[Measure, tuple[str, str]] = {
    "question_characters": ("question_chars", "the median length of the questions"),
    "answer_characters": ("answer_chars", "the median length of the answers"),
    "turns": ("turns", "the median number of turns"),
}


class BothStatistics(NamedTuple):
    """Statistics of both files."""

    before: FileStatistics
    after: FileStatistics


def compute_statistics(before: FileRows, after: FileRows) -> BothStatistics:
    """Return statistics of both files, with the same classes."""
    classes = _classes(before.collected, after.collected)
    return BothStatistics(_statistics(before, classes), _statistics(after, classes))


def _statistics(read: FileRows, classes: dict[int, str]) -> FileStatistics:
    collected, rows = read.collected, read.collected.features
    return FileStatistics(
        rows=len(rows),
        broken_rows=read.result.validation.rows - len(rows),
        languages=language_shares(collected),
        question_characters=distribution(rows["question_chars"]),
        answer_characters=distribution(rows["answer_chars"]),
        turns=distribution(rows["turns"]),
        system_prompts=system_prompts(collected, read.lines, IssueLog(0)),
        tool_rows=int(rows["tools"].sum()),
        classes=_labels(rows) or _class_shares(rows, classes),
        personal_data={
            kind: count
            for kind, count in collected.personal.most_common()
            if not kind.startswith(POSSIBLE)
        },
        personal_rows=int((rows["personal"] > 0).sum()),
    )


def _labels(rows: Any) -> list[Share]:
    labels = rows["label"][rows["label"] != UNLABELED]
    good = int((labels == GOOD).sum())
    counts = {"good": good, "bad": len(labels) - good}
    return [Share(name, n, round(n / len(labels), 4)) for name, n in counts.items() if n]


def _class_shares(rows: Any, classes: dict[int, str]) -> list[Share]:
    shares = []
    for answer, name in classes.items():
        count = int((rows["answer"] == answer).sum())
        shares.append(Share(name, count, round(count / max(len(rows), 1), 4)))
    return sorted((share for share in shares if share.rows), key=lambda share: -share.rows)


def _classes(*files: Collected) -> dict[int, str]:
    """Return the names of classes by the hash of the answer, if a file classifies inputs."""
    classes: dict[int, str] = {}
    for collected in files:
        answers, firsts = np.unique(collected.features["answer"], return_index=True)
        if len(answers) > _MAX_CLASSES or len(answers) * _ROWS_A_CLASS > len(collected.features):
            continue
        with collected.texts() as texts:
            for answer, row in zip(answers.tolist(), firsts.tolist(), strict=True):
                conversation = texts.conversation(row)
                given = [turn.text for turn in conversation.turns[conversation.last_answer :]]
                classes.setdefault(answer, given[0][:_NAME_CHARS] if given else "")
    return classes


def find_shifts(of: BothStatistics, before: FileRows, after: FileRows) -> list[Shift]:
    """Return the statistics that differ, the largest shift first."""
    if not of.before.rows or not of.after.rows:
        return []
    rows, others = before.collected.features, after.collected.features
    found = [
        *_shares("language", of.before.languages, of.after.languages),
        *_shares("class", of.before.classes, of.after.classes),
        *(
            _length(measure, rows[column], others[column], what)
            for measure, (column, what) in _LENGTHS.items()
        ),
        _share(
            "system_prompts",
            None,
            1 - of.before.system_prompts.rows_without / of.before.rows,
            1 - of.after.system_prompts.rows_without / of.after.rows,
            "the share of rows with a system prompt",
        ),
        _share(
            "tools",
            None,
            of.before.tool_rows / of.before.rows,
            of.after.tool_rows / of.after.rows,
            "the share of rows that call tools",
        ),
        *_personal_data(of),
    ]
    notable = [shift for shift in found if shift.size > 0]
    return sorted(notable, key=lambda shift: -shift.size)[:_MAX_SHIFTS]


def _shares(measure: Measure, before: list[Share], after: list[Share]) -> Iterator[Shift]:
    shares, others = ({s.name: s.share for s in side} for side in (before, after))
    for name in dict.fromkeys((*shares, *others)):
        what = (
            f"the share of rows in {language_name(name)}"
            if measure == "language"
            else f"the share of rows with the answer “{name}”"
        )
        yield _share(measure, name, shares.get(name, 0.0), others.get(name, 0.0), what)


def _share(measure: Measure, name: str | None, before: float, after: float, what: str) -> Shift:
    text = f"{what} {_direction(before, after)} from {before:.0%} to {after:.0%}"
    size = abs(before - after)
    return Shift(measure, name, round(before, 4), round(after, 4), round(size, 4), text)


def _length(measure: Measure, values: Any, others: Any, what: str) -> Shift:
    before, after = (_median(distribution(side)) for side in (values, others))
    text = f"{what} {_direction(before, after)} from {before} to {after}"
    if before == after:
        text = f"{what} stayed at {before}, but longer or shorter ones are more frequent"
    return Shift(measure, None, before, after, round(_distance(values, others), 4), text)


def _median(found: Distribution | None) -> int:
    return found.p50 if found is not None else 0


def _distance(values: Any, others: Any) -> float:
    """Return the largest difference between two cumulative distributions (Kolmogorov-Smirnov)."""
    edges = np.union1d(values, others)
    one, other = (
        np.searchsorted(np.sort(side), edges, side="right") / len(side) for side in (values, others)
    )
    return float(np.abs(one - other).max())


def _personal_data(of: BothStatistics) -> Iterator[Shift]:
    for kind in dict.fromkeys((*of.before.personal_data, *of.after.personal_data)):
        before, after = (side.personal_data.get(kind, 0) / side.rows for side in of)
        what = f"personal data of the kind {kind.replace('_', ' ')}"
        text = (
            f"{what} {_direction(before, after)} from {before:.2g} to {after:.2g} findings per row"
        )
        size = min(abs(before - after), 1.0)
        yield Shift("personal_data", kind, round(before, 4), round(after, 4), round(size, 4), text)


def _direction(before: float, after: float) -> str:
    return "rose" if after > before else "fell"


def summarize(unchanged: int, changed: int, removed: int, added: int, drift: list[Shift]) -> str:
    """Return a sentence on how many rows differ, and which statistic shifted most."""
    if not (changed or removed or added):
        return "Both files have the same rows."
    kinds = {"unchanged": unchanged, "changed": changed, "removed": removed, "added": added}
    parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    before, after = unchanged + changed + removed, unchanged + changed + added
    counts = f"{before} rows became {after}: {parts}"
    if drift and drift[0].size >= _NOTABLE:
        return f"{counts}; what shifted most: {drift[0].text}."
    return f"{counts}; languages, lengths and the like are nearly the same."


Pairs = np.ndarray[Any, np.dtype[np.int64]]
"""[pair, (row of the first file, row of the second)]."""

# Features that match versions of a row, the most specific first.
_MATCHING_FEATURES = ("said", "prompt", "asked")


class Matched(NamedTuple):
    """The number of unchanged rows, the pairs of changed rows, and the unmatched rows."""

    unchanged: int
    changed: Pairs
    removed: Rows
    added: Rows


def match_rows(before: FeatureArray, after: FeatureArray, known: Pairs) -> Matched:
    """Match the rows of two files. `known` has pairs in which a cleaning made one of the other."""
    left = np.ones(len(before), dtype=bool)
    other_left = np.ones(len(after), dtype=bool)

    def take(pairs: Pairs) -> Pairs:
        left[pairs[:, 0]] = False
        other_left[pairs[:, 1]] = False
        return pairs

    unchanged = take(_pairs(before["exact"], after["exact"]))
    changed = [take(known[left[known[:, 0]] & other_left[known[:, 1]]])]
    for feature in _MATCHING_FEATURES:
        # Without a question, only rows with the same turns are versions of each other.
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
    """Pair rows with equal hashes: first with first, second with second, and so on."""
    _, numbers = np.unique(np.concatenate((hashes, others)), return_inverse=True)
    one, other = _numbered(numbers[: len(hashes)]), _numbered(numbers[len(hashes) :])
    _, rows, other_rows = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    return np.stack((rows, other_rows), axis=1).astype(np.int64)


def _numbered(values: Any) -> Any:
    """Return a unique key for each row: its value, and the number of earlier rows with it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    counts = np.diff(starts, append=len(values))
    keys = np.empty(len(values), dtype=np.uint64)
    place = np.arange(len(values)) - np.repeat(starts, counts)
    keys[order] = (ordered.astype(np.uint64) << np.uint64(32)) | place.astype(np.uint64)
    return keys


def compare_files(spec: DiffSpec, *, progress: ProgressCallback | None = None) -> Diff:
    """Compare two files, and write the index of the rows that differ to the folder `spec.out`.

    Rows are matched by hashes, so time and memory are those of reading one file after the other.
    Raises DatasetError if a file as a whole cannot be read.
    """
    features = FeatureOptions(
        signatures=False,
        mojibake=False,
        quality=False,
        recognizers=spec.recognizers,
        marks=True,
    )
    files = ((spec.path, spec.format, "before"), (spec.other, spec.other_format, "after"))
    with tempfile.TemporaryDirectory(dir=spec.out.parent, prefix="diff-") as work:
        one, other = (
            read_file(
                path,
                Path(work) / name,
                file_format,
                features,
                processes=spec.processes,
                progress=progress,
            )
            for path, file_format, name in files
        )
        known = _known_pairs(spec.lineage, one, other)
        matched = match_rows(one.collected.features, other.collected.features, known)
        of = compute_statistics(one, other)
        drift = find_shifts(of, one, other)
        _write_index(spec, matched, one, other)
    changed, removed, added = map(len, (matched.changed, matched.removed, matched.added))
    return Diff(
        summary=summarize(matched.unchanged, changed, removed, added, drift),
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
    """Return the pairs of rows in which a cleaning made the second of the first."""
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


def _write_index(spec: DiffSpec, matched: Matched, one: FileRows, other: FileRows) -> None:
    has_texts = one.result.sha256 != spec.stored_rows
    has_other_texts = other.result.sha256 != spec.other_stored_rows
    changed = matched.changed
    entries = chain(
        map(Entry, _locate(one, changed[:, 0]), _locate(other, changed[:, 1])),
        (Entry(row, None) for row in _locate(one, matched.removed)),
        (Entry(None, row) for row in _locate(other, matched.added)),
    )
    with (spec.out / CHANGES).open("wb") as file:
        file.writelines(map(encode_entry, entries))
    counts = (len(matched.changed), len(matched.removed), len(matched.added))
    _write_marks(spec.out, matched, one, other)
    index = DiffIndex(*counts, has_texts, has_other_texts, has_marks=True)
    (spec.out / INDEX).write_bytes(msgspec.json.encode(index))
    if has_texts:
        one.collected.path.replace(spec.out / TEXTS)
    if has_other_texts:
        other.collected.path.replace(spec.out / OTHER_TEXTS)


def _write_marks(out: Path, matched: Matched, one: FileRows, other: FileRows) -> None:
    """Write the positions of personal data in the rows that differ, in the order of entries."""
    changed = matched.changed
    marks = _marks_of(one, np.concatenate((changed[:, 0], matched.removed)))
    other_marks = _marks_of(other, np.concatenate((changed[:, 1], matched.added)))
    pairs: Iterator[tuple[int | None, int | None]] = chain(
        map(tuple, changed.tolist()),
        ((row, None) for row in matched.removed.tolist()),
        ((None, row) for row in matched.added.tolist()),
    )
    end = 0
    with (out / MARKS).open("wb") as file, (out / MARK_ENDS).open("wb") as ends:
        for row, other_row in pairs:
            found = EntryMarks(marks.get(row, ()), other_marks.get(other_row, ()))
            if any(found):
                end += file.write(msgspec.json.encode(found) + b"\n")
            ends.write(encode_mark_end(end))


def _marks_of(read: FileRows, rows: Rows) -> dict[int | None, tuple[Mark, ...]]:
    """Return the positions of personal data in the rows that have any."""
    wanted = np.zeros(len(read.lines), dtype=bool)
    wanted[rows] = True
    return {row: marks for row, marks in read.collected.marked_rows() if wanted[row]}


def _locate(read: FileRows, rows: Rows) -> Iterator[RowPlace]:
    """Return the position of each row in its file."""
    lengths = read.collected.features["bytes"]
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    columns: tuple[Any, ...] = (read.lines[rows], starts[rows], lengths[rows])
    return (RowPlace(*place) for place in zip(*(c.tolist() for c in columns), strict=True))
