"""Cleans a file, by options and by decisions on single rows.

Every dropped or changed row is in the diff. The same input and options give the same bytes.
"""

from __future__ import annotations

import json
import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np

from service.datasets.checks.issues import DatasetError, RowIssues, refuse
from service.datasets.checks.rows import check_row
from service.datasets.cleaning.split import split_rows
from service.datasets.cleaning.text import TextCleaner
from service.datasets.contract.tasks import CleanResult, CleanSpec, ConvertResult
from service.datasets.duplicates.groups import Mask, Rows
from service.datasets.duplicates.similar_rows import Conflict, find_similar_rows
from service.datasets.file_features import Collected, ProgressCallback, collect
from service.datasets.formats.convert import prepare
from service.datasets.formats.options import RowFormat
from service.datasets.output import DigestWriter
from service.datasets.personal_data.kinds import CustomKinds
from service.datasets.personal_data.redact import Redactor
from service.datasets.row_features import HASHES_ONLY
from service.datasets.rows.canonical import canonical_line, encode
from service.datasets.rows.lines import canonical_rows


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision on the row at `line`. An edit has the `row` to use instead."""

    line: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    action: Literal["keep", "drop", "edit"]
    row: dict[str, Any] | None = None


_UNKNOWN = re.compile(r"unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(\w+)`")
_PLACE = re.compile(r"`\$\.(line|action|row)\b")
_FIELDS = {
    "line": "not the number of a line, from 1",
    "action": "not 'keep', 'drop' or 'edit'",
    "row": "not an object",
}

_decision_decoder = msgspec.json.Decoder(Decision)


class Decisions:
    """All decisions on a file. Raises DatasetError if one is invalid."""

    def __init__(self, path: Path, row_format: RowFormat) -> None:
        self.dropped: set[int] = set()
        self.edited: dict[int, bytes] = {}
        self.kept: set[int] = set()
        with path.open("rb") as lines:
            for number, data in enumerate(lines, 1):
                if data.strip():
                    self._add(_decode_decision(data, number), number, row_format)

    @property
    def protected(self) -> Collection[int]:
        """Lines of rows that must not be dropped as duplicates or contradictions."""
        return self.kept | self.edited.keys()

    def check(self, valid: Iterable[int], broken: Collection[int]) -> None:
        """Raise DatasetError if a decision is about a line without a row, or keeps a broken row."""
        rows = set(valid)
        for line in sorted(self.kept - rows):
            raise refuse("broken_row_kept" if line in broken else "no_row_at_line", line)
        for line in sorted((self.dropped | self.edited.keys()) - rows.union(broken)):
            raise refuse("no_row_at_line", line)

    def apply(self, rows: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """Yield the rows that remain, with their lines. Edited broken rows are among them."""
        edits = sorted(self.edited, reverse=True)
        for line, data in rows:
            while edits and edits[-1] < line:
                yield edits[-1], self.edited[edits.pop()]
            if edits and edits[-1] == line:
                yield line, self.edited[edits.pop()]
            elif line not in self.dropped:
                yield line, data
        yield from ((line, self.edited[line]) for line in reversed(edits))

    def _add(self, decision: Decision, number: int, row_format: RowFormat) -> None:
        line = decision.line
        if line in self.dropped or line in self.kept or line in self.edited:
            raise _invalid(number, f"there is an earlier one on line {line}")
        if (decision.row is not None) != (decision.action == "edit"):
            raise _invalid(number, "'edit' needs a 'row', and only 'edit' has one")
        if decision.row is not None:
            data, issue = canonical_line(msgspec.json.encode(decision.row), line, row_format)
            if issue is not None:
                raise DatasetError(issue)
            self.edited[line] = data.rstrip(b"\n")
        else:
            (self.kept if decision.action == "keep" else self.dropped).add(line)


def _decode_decision(data: bytes, number: int) -> Decision:
    try:
        return _decision_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as e:
        raise _invalid(number, _explain(str(e))) from None


def _explain(reason: str) -> str:
    """Return why a decision is invalid, from msgspec's message."""
    if (found := _UNKNOWN.search(reason)) is not None:
        return f"it has an unknown field '{found[1][:80]}'"
    if (found := _MISSING.search(reason)) is not None:
        return f"it has no '{found[1]}'"
    if (found := _PLACE.search(reason)) is not None:
        return f"'{found[1]}' is {_FIELDS[found[1]]}"
    return "it is not a JSON object"


def _invalid(number: int, reason: str) -> DatasetError:
    return refuse("invalid_decision", number=number, reason=reason.rstrip("."))


class DiffEntry(NamedTuple):
    """An action on a source row and its reason; the fields in `more` depend on the reason."""

    line: int
    action: Literal["dropped", "changed", "kept", "held_out"]
    reason: str
    more: dict[str, Any]


def diff_lines(entries: Iterable[DiffEntry]) -> bytes:
    """Serialize the entries as JSON Lines, sorted by source line."""
    ordered = sorted(entries, key=lambda entry: (entry.line, entry.action, entry.reason))
    return b"".join(
        json.dumps(
            {"line": entry.line, "action": entry.action, "reason": entry.reason, **entry.more}
        ).encode()
        + b"\n"
        for entry in ordered
    )


_decode = msgspec.json.Decoder(dict[str, Any]).decode
# Maximum number of broken rows listed in the diff. All of them are counted.
_MAX_BROKEN_ROWS = 1_000_000


def clean(spec: CleanSpec, *, progress: ProgressCallback | None = None) -> CleanResult:
    """Write train.jsonl, diff.jsonl, and, if requested, validation.jsonl to `spec.out`.

    `spec.decisions` is a file with a `Decision` on each line.

    Raises DatasetError if the file as a whole cannot be read, or if it has broken rows and
    `drop_broken` is false.
    """
    spec.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=spec.out, prefix=".clean-") as work:
        return _Cleaning(spec, Path(work), progress).run()


@dataclass
class _Cleaning:
    """One cleaning run. The diff is kept in memory: it is small compared to the data."""

    spec: CleanSpec
    work: Path
    progress: ProgressCallback | None
    protected: Collection[int] = ()
    entries: list[DiffEntry] = field(default_factory=list)
    changed: Counter[str] = field(default_factory=Counter)
    changed_rows: int = 0

    def run(self) -> CleanResult:
        options = self.spec.options
        canonical, cleaned = self.work / "canonical", self.work / "cleaned"
        prepared = prepare(
            self.spec.path,
            canonical,
            self.spec.format,
            processes=self.spec.processes,
            max_issues=_MAX_BROKEN_ROWS,
            only_errors=True,
        )
        row_format = prepared.result.facts.row_format
        limit = self.spec.format.limit_bytes(prepared.result.facts.bytes)
        broken = _first_errors(prepared.result)
        lines = prepared.lines
        if self.spec.decisions is not None:
            decisions = Decisions(self.spec.decisions, row_format)
            decisions.check(lines, broken)
            canonical, lines = self._apply_decisions(decisions, canonical, lines, limit)
            broken = {
                line: code
                for line, code in broken.items()
                if line not in decisions.edited and line not in decisions.dropped
            }
        self._drop_broken(broken)
        with DigestWriter(cleaned, limit) as writer:
            lines = self._clean_texts(canonical, writer, lines, row_format)
        collected = collect(
            cleaned,
            len(lines),
            self.work,
            # Only a split by language needs languages, whose model takes 0.4 s to load.
            msgspec.structs.replace(HASHES_ONLY, languages=options.validation_share > 0),
            processes=self.spec.processes,
            progress=self.progress,
        )
        dropped, linked = self._drop_duplicates(collected, lines)
        kept = np.flatnonzero(~dropped)
        held = np.zeros(len(lines), dtype=bool)
        held[kept] = split_rows(
            collected.features[kept],
            _renumbered(linked, kept),
            share=options.validation_share,
            seed=options.seed,
        )
        return self._write(prepared.result, cleaned, lines, dropped, held)

    def _apply_decisions(
        self, decisions: Decisions, source: Path, source_lines: array[int], limit: int | None
    ) -> tuple[Path, array[int]]:
        """Apply the decisions, and return the file of the remaining rows and their lines."""
        self.protected = decisions.protected
        self.entries += [DiffEntry(n, "dropped", "decision", {}) for n in decisions.dropped]
        self.entries += [DiffEntry(n, "changed", "decision", {}) for n in decisions.edited]
        self.entries += [DiffEntry(n, "kept", "decision", {}) for n in decisions.kept]
        if decisions.edited:
            self.changed["edited"] = self.changed_rows = len(decisions.edited)
        target = self.work / "decided"
        lines = array("I")
        with DigestWriter(target, limit) as writer:
            for line, data in decisions.apply(
                zip(source_lines, canonical_rows(source), strict=True)
            ):
                writer.write_row(data + b"\n", line)
                lines.append(line)
        return target, lines

    def _drop_broken(self, first: Mapping[int, str]) -> None:
        if first and not self.spec.options.drop_broken:
            line = min(first)
            raise refuse("broken_row", line, cause=first[line])
        for line, code in first.items():
            self.entries.append(DiffEntry(line, "dropped", "broken", {"code": code}))

    def _clean_texts(
        self, source: Path, target: DigestWriter, source_lines: array[int], row_format: RowFormat
    ) -> array[int]:
        """Clean each text and return the source lines of the rows that remain valid."""
        options = self.spec.options
        redactor = Redactor(
            options.personal_data,
            possible=options.possible_personal_data,
            custom=CustomKinds(self.spec.recognizers, self.spec.model_findings),
        )
        cleaner = TextCleaner(options, redactor)
        if cleaner.learns:
            for data in canonical_rows(source):
                cleaner.learn(_decode(data))
        kept = array("I")
        for number, data in zip(source_lines, canonical_rows(source), strict=True):
            row, changes = cleaner.clean(_decode(data))
            if changes:
                found = RowIssues(number)
                check_row(found, row, row_format)
                if found.first_error is not None:
                    entry = DiffEntry(number, "dropped", "empty", {"code": found.first_error.code})
                    self.entries.append(entry)
                    continue
                self.entries.append(DiffEntry(number, "changed", "text", {"changes": changes}))
                self.changed.update(changes)
                self.changed_rows += 1
                data = encode(row)
            target.write_row(data + b"\n", number)
            kept.append(number)
        return kept

    def _drop_duplicates(self, collected: Collected, lines: array[int]) -> tuple[Mask, list[Rows]]:
        options, features = self.spec.options, collected.features
        similar = find_similar_rows(collected, near_threshold=options.near_threshold)
        dropped = np.zeros(len(features), dtype=bool)
        if options.exact_duplicates:
            for group in similar.exact:
                self._drop(group[1:], int(group[0]), "exact_duplicate", lines, dropped)
        if options.contradictions != "keep":
            for conflict in similar.conflicts:
                self._resolve(conflict, collected, lines, dropped)
        if options.near_duplicates:
            for group in similar.near:
                left = group[~dropped[group]]
                left = left[features["context"][left] == features["context"][left[:1]]]
                if len(left) > 1:
                    self._drop(left[1:], int(left[0]), "near_duplicate", lines, dropped)
        return dropped, [*similar.exact, *similar.near]

    def _resolve(
        self,
        conflict: Conflict,
        collected: Collected,
        lines: array[int],
        dropped: Mask,
    ) -> None:
        """Keep the answers with one verdict on a question, chosen by the configured rule.

        Ties go to the first row.
        """
        group, found = conflict
        features, rule = collected.features[group], self.spec.options.contradictions
        if rule == "drop":
            self._drop(group, None, "contradiction", lines, dropped)
            return
        if rule == "first":
            place = 0
        elif rule == "last":
            place = len(group) - 1
        elif rule == "longest":
            place = int(features["answer_chars"].argmax())
        else:
            counts = Counter(found.tolist())
            place = int(np.argmax([counts[verdict] for verdict in found.tolist()]))
        winner, losers = int(group[place]), group[found != found[place]]
        self._drop(losers, winner, "contradiction", lines, dropped)

    def _drop(
        self,
        rows: Rows,
        other: int | None,
        reason: str,
        lines: array[int],
        dropped: Mask,
    ) -> None:
        more = {} if other is None else {"other": lines[other]}
        for row in rows:
            if not dropped[row] and lines[int(row)] not in self.protected:
                dropped[row] = True
                self.entries.append(DiffEntry(lines[int(row)], "dropped", reason, more))

    def _write(
        self,
        source: ConvertResult,
        cleaned: Path,
        lines: array[int],
        dropped: Mask,
        held: Mask,
    ) -> CleanResult:
        train, validation = self.work / "train", self.work / "validation"
        with DigestWriter(train) as to_train, DigestWriter(validation) as to_validation:
            for row, data in enumerate(canonical_rows(cleaned)):
                if held[row]:
                    to_validation.write(data + b"\n")
                    self.entries.append(DiffEntry(lines[row], "held_out", "validation", {}))
                elif not dropped[row]:
                    to_train.write(data + b"\n")
        diff = self.work / "diff"
        with DigestWriter(diff) as to_diff:
            to_diff.write(diff_lines(self.entries))
        rows_held = int(held.sum())
        return CleanResult(
            source=source,
            train=to_train.publish(
                self.spec.out / "train.jsonl", len(lines) - int(dropped.sum()) - rows_held
            ),
            validation=to_validation.publish(self.spec.out / "validation.jsonl", rows_held)
            if self.spec.options.validation_share > 0
            else None,
            diff=to_diff.publish(self.spec.out / "diff.jsonl", len(self.entries)),
            dropped=dict(
                sorted(Counter(e.reason for e in self.entries if e.action == "dropped").items())
            ),
            changed=dict(sorted(self.changed.items())),
            changed_rows=self.changed_rows,
            model_search=self.spec.model_search,
        )


def _first_errors(result: ConvertResult) -> dict[int, str]:
    """Return the code of the first error of each broken row, by line."""
    first: dict[int, str] = {}
    for issue in result.validation.issues:
        if issue.severity == "error" and issue.line is not None:
            first.setdefault(issue.line, issue.code)
    return first


def _renumbered(groups: list[Rows], kept: Rows) -> list[Rows]:
    """Renumber the groups by the positions of the kept rows."""
    places = {int(row): place for place, row in enumerate(kept)}
    renumbered = (
        np.array([places[int(row)] for row in group if int(row) in places], dtype=np.int64)
        for group in groups
    )
    return [group for group in renumbered if len(group) > 1]
