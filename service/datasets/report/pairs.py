"""Pairs of rows for the report, with their similarity and both texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from service.datasets.duplicates.groups import Lines, Rows
from service.datasets.duplicates.texts import RowText
from service.datasets.personal_data.redact import Redactor
from service.datasets.report.collect import Collected
from service.datasets.report.likeness import Likeness, largest_groups
from service.datasets.report.overlap import Overlap
from service.datasets.report.report import OverlapStats, PairKind, RowPair
from service.datasets.report.similarity import similarity

_PAIRS_A_KIND, _PAIRS_A_GROUP = 50, 3
_EXAMPLES = 20
_TEXT_CHARS, _CHARS_BEFORE = 400, 100


def row_pairs(
    likeness: Likeness, collected: Collected, lines: Lines, redactor: Redactor
) -> list[RowPair]:
    """Return examples of pairs from the largest groups of each kind, without personal data."""
    kinds: tuple[tuple[PairKind, list[Rows]], ...]
    kinds = (
        ("contradiction", likeness.contradicting),
        ("near_duplicate", likeness.near),
        ("same_form", likeness.same_form),
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
            for one, other in list(_examples(groups))[:_PAIRS_A_KIND]
        ]


def _examples(groups: list[Rows]) -> Iterator[tuple[int, int]]:
    for group in largest_groups(groups):
        for row in group[1 : 1 + _PAIRS_A_GROUP]:
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
            for row, other in sorted(found.all.items())[:_PAIRS_A_KIND]
        ]


def _pair(
    kind: PairKind,
    one: RowText,
    other: RowText,
    lines: tuple[int, int],
    language: str,
    redactor: Redactor,
) -> RowPair:
    """Show two rows, with the similarity of their words."""
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
    """Return the part of a long text in which two texts begin to differ."""
    if len(text) <= _TEXT_CHARS:
        return text
    end = start + _TEXT_CHARS
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
