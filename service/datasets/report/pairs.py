"""Describes similar rows for the report: counts, findings, and pairs with both texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.contract.report import GroupStats, OverlapStats, PairKind, RowPair
from service.datasets.duplicates import compare
from service.datasets.duplicates.compare import RowText
from service.datasets.duplicates.groups import Lines, Rows
from service.datasets.duplicates.overlap import Overlap
from service.datasets.duplicates.similar_rows import SimilarRows
from service.datasets.file_features import Collected
from service.datasets.parallel import map_ordered
from service.datasets.personal_data.redact import Redactor

Similarity = Callable[[int, int], float | None]
"""Returns the similarity of two rows, from 0 to 1, or None if it was not measured."""

_EXAMPLES = 20
_LINES_PER_EXAMPLE = 5


def group_stats(groups: list[Rows], lines: Lines) -> GroupStats:
    """Return the counts of the groups, and the line numbers of the largest."""
    rows = sum(len(group) for group in groups)
    largest = largest_groups(groups)
    examples = [[int(lines[row]) for row in group[:_LINES_PER_EXAMPLE]] for group in largest]
    return GroupStats(len(groups), rows, rows - len(groups), examples)


def largest_groups(groups: list[Rows]) -> list[Rows]:
    """Return the largest groups, which serve as examples."""
    return sorted(groups, key=lambda group: (-len(group), int(group[0])))[:_EXAMPLES]


def log_groups(
    log: IssueLog, code: str, groups: Iterable[Rows], lines: Lines, similarity: Similarity
) -> None:
    """Log an issue for each row of a group except the first, with which it is compared."""
    for group in groups:
        first, other = int(group[0]), int(lines[group[0]])
        for row in group[1:].tolist():
            found = similarity(first, row)
            log.add(make_issue(code, int(lines[row]), other=other, similarity=found))


# A comparison takes about 0.2 ms.
_MAX_COMPARISONS = 5_000
_PAIRS_PER_TASK = 500


class _Pair(NamedTuple):
    """Two rows to compare: all of their turns, or only the questions."""

    one: int
    other: int
    questions_only: bool


class Similarities:
    """Similarities of pairs of rows: `known` ones, and others, which are measured up to a limit.

    The measured pairs are the first row of each group with each other row of the group. Groups in
    `asked` are compared by their questions, and groups in `alike` by all turns.
    """

    def __init__(
        self,
        collected: Collected,
        known: Mapping[tuple[int, int], float],
        *,
        asked: Sequence[Rows],
        alike: Sequence[Rows],
        processes: int = 1,
    ) -> None:
        self._forms: list[int] = collected.features["form"].tolist()
        self._questions: list[int] = collected.features["question"].tolist()
        self._known = known
        unknown = list(islice(filter(self._is_unknown, _pairs(asked, alike)), _MAX_COMPARISONS))
        parts = [
            unknown[at : at + _PAIRS_PER_TASK] for at in range(0, len(unknown), _PAIRS_PER_TASK)
        ]
        measured = map_ordered(partial(_measure, collected), parts, processes=processes)
        found = (similarity for part in measured for similarity in part)
        self._measured = dict(zip(unknown, found, strict=True))

    def of_copies(self, one: int, other: int) -> float:
        """Return 1: the rows are identical."""
        return 1.0

    def of_rows(self, one: int, other: int) -> float | None:
        """Return the similarity of two rows, or None if the limit is reached."""
        known = self._known.get((one, other))
        if known is not None:
            return round(known, 2)
        return self._of(_Pair(one, other, questions_only=False))

    def of_questions(self, one: int, other: int) -> float | None:
        """Return the similarity of what two rows ask, or None if the limit is reached."""
        return self._of(_Pair(one, other, questions_only=True))

    def _of(self, pair: _Pair) -> float | None:
        return 1.0 if self._has_same_wording(pair) else self._measured.get(pair)

    def _is_unknown(self, pair: _Pair) -> bool:
        is_known = not pair.questions_only and (pair.one, pair.other) in self._known
        return not is_known and not self._has_same_wording(pair)

    def _has_same_wording(self, pair: _Pair) -> bool:
        wording = self._questions if pair.questions_only else self._forms
        return bool(wording[pair.one]) and wording[pair.one] == wording[pair.other]


def _pairs(asked: Sequence[Rows], alike: Sequence[Rows]) -> Iterator[_Pair]:
    for groups, questions_only in ((asked, True), (alike, False)):
        for group in groups:
            first, *others = group.tolist()
            yield from (_Pair(first, other, questions_only) for other in others)


def _measure(collected: Collected, pairs: Sequence[_Pair]) -> list[float]:
    with collected.texts() as texts:
        return [
            similarity(texts[one], texts[other], questions_only=questions_only)
            for one, other, questions_only in pairs
        ]


def similarity(one: RowText, other: RowText, *, questions_only: bool) -> float:
    """Return the similarity of two rows, or of the shorter one and the best match in the other."""
    if questions_only:
        one, other = one.before_answer, other.before_answer
    few, many = sorted((one.turns, other.turns), key=len)
    places = range(len(many) - len(few) + 1)
    return round(max(compare.similarity(few, many[at : at + len(few)]) for at in places), 2)


_MAX_PAIRS_PER_KIND, _MAX_PAIRS_PER_GROUP = 50, 3
_TEXT_CHARS, _CHARS_BEFORE = 400, 100


def row_pairs(
    similar: SimilarRows, collected: Collected, lines: Lines, redactor: Redactor
) -> list[RowPair]:
    """Return examples of pairs from the largest groups of each kind, without personal data."""
    kinds: tuple[tuple[PairKind, list[Rows]], ...]
    kinds = (
        ("contradiction", similar.contradicting),
        ("near_duplicate", similar.near),
        ("same_form", similar.same_form),
    )
    with collected.texts() as texts:
        return [
            _pair(
                kind,
                texts[one],
                texts[other],
                (int(lines[one]), int(lines[other])),
                _language(collected, one),
                redactor,
            )
            for kind, groups in kinds
            for one, other in list(_examples(groups))[:_MAX_PAIRS_PER_KIND]
        ]


def _examples(groups: list[Rows]) -> Iterator[tuple[int, int]]:
    for group in largest_groups(groups):
        for row in group[1 : 1 + _MAX_PAIRS_PER_GROUP]:
            yield int(group[0]), int(row)


def overlap_stats(found: Overlap, lines: Lines, held_lines: Lines) -> OverlapStats:
    """Return the counts of rows that appear in both files, and the first of their lines."""
    return OverlapStats(
        rows=len(held_lines),
        exact=len(found.exact),
        near=len(found.near),
        same_prompt=len(found.same_question),
        examples=[
            [int(held_lines[row]), int(lines[other])]
            for row, other in sorted(found.all.items())[:_EXAMPLES]
        ],
        contained=len(found.contained),
    )


def overlap_pairs(
    found: Overlap,
    train: Collected,
    lines: Lines,
    held: Collected,
    held_lines: Lines,
    redactor: Redactor,
) -> list[RowPair]:
    """Return examples of rows that appear in both files, without personal data."""
    with train.texts() as of_train, held.texts() as of_held:
        return [
            _pair(
                "overlap",
                of_held[row],
                of_train[other],
                (int(held_lines[row]), int(lines[other])),
                _language(held, row),
                redactor,
            )
            for row, other in sorted(found.all.items())[:_MAX_PAIRS_PER_KIND]
        ]


def _pair(
    kind: PairKind,
    one: RowText,
    other: RowText,
    lines: tuple[int, int],
    language: str,
    redactor: Redactor,
) -> RowPair:
    """Return a pair with both texts, from about where they begin to differ."""
    texts = _without_personal_data((_written(one), _written(other)), language, redactor)
    common = next((at for at, pair in enumerate(zip(*texts)) if pair[0] != pair[1]), 0)  # noqa: B905
    start = max(common - _CHARS_BEFORE, 0)
    return RowPair(
        kind,
        *lines,
        similarity(one, other, questions_only=kind == "contradiction"),
        _cut(texts[0], start),
        _cut(texts[1], start),
    )


def _written(row: RowText) -> str:
    return "\n".join(
        f"{role}: {turn.text}" for role, turn in zip(row.roles, row.turns, strict=True)
    )


def _language(collected: Collected, row: int) -> str:
    return collected.languages[int(collected.features["language"][row])]


def _without_personal_data(
    texts: tuple[str, str], language: str, redactor: Redactor
) -> tuple[str, str]:
    """Mask the personal data in two texts. A value that one of them identifies counts in both."""
    counts = Counter[str]()
    for text in texts:
        redactor.learn(text, language)
    redactor.begin_row(texts)
    return redactor.redact(texts[0], counts), redactor.redact(texts[1], counts)


def _cut(text: str, start: int) -> str:
    """Return the part of a long text after `start`."""
    if len(text) <= _TEXT_CHARS:
        return text
    end = start + _TEXT_CHARS
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
