"""Computes what people's labels say: which answers they prefer, and whether the metric agrees.

A label compares two answers to a row, and names the better one or a tie. All figures are in percent
with 95% confidence intervals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison, Row, score_of
from service.verdict.intervals import Clusters, mean_interval, wilson_interval
from service.verdict.results import (
    Agreement,
    HumanReview,
    Position,
    Preference,
    Share,
    Statement,
)
from service.verdict.statements import state, write

_ORDER: Final = (TUNED, PROMPT, BASE)
_WON, _TIE, _LOST = 1.0, 0.5, 0.0
_CHANCE: Final = 50.0


class LabeledPair(NamedTuple):
    """A label of a person: the columns in the order shown, and the better one; None for a tie."""

    row: Row
    compared: tuple[str, str]
    winner: str | None
    reviewer: str

    def value_of(self, column: str) -> float:
        """Return 1 if the column's answer is the better one, 0 if it is the worse one, or 0.5."""
        if self.winner is None:
            return _TIE
        return _WON if self.winner == column else _LOST

    @property
    def rival(self) -> str:
        """Column of the worse answer."""
        return next(column for column in self.compared if column != self.winner)


def review(comparison: Comparison, labels: Sequence[LabeledPair]) -> HumanReview:
    """Return what the labels of a comparison's rows say."""
    decided = [label for label in labels if label.winner is not None]
    found = HumanReview(
        labels=len(labels),
        rows=_rows(labels),
        reviewers=len({label.reviewer for label in labels}),
        comparisons=_preferences(labels),
        agreement=_agreement(comparison, decided),
        position=_position(decided),
    )
    statements = list(_statements(found))
    return msgspec.structs.replace(
        found, statements=statements, sentences=list(map(write, statements))
    )


def _rows(labels: Iterable[LabeledPair]) -> int:
    return len({label.row.line for label in labels})


def _preferences(labels: Iterable[LabeledPair]) -> list[Preference]:
    by_pair: defaultdict[tuple[str, str], list[LabeledPair]] = defaultdict(list)
    for label in labels:
        a, b = sorted(label.compared, key=_rank)
        by_pair[a, b].append(label)
    pairs = sorted(by_pair, key=lambda pair: tuple(map(_rank, pair)))
    return [_preference(*pair, by_pair[pair]) for pair in pairs]


def _rank(column: str) -> tuple[int, str]:
    """Order the main columns before checkpoints, so that `a` is tuned if it was compared."""
    return (_ORDER.index(column) if column in _ORDER else len(_ORDER), column)


def _preference(a: str, b: str, labels: Sequence[LabeledPair]) -> Preference:
    values = [label.value_of(a) for label in labels]
    clusters = Clusters.group(values, [label.row.cluster for label in labels])
    return Preference(
        a=a,
        b=b,
        labels=len(values),
        rows=_rows(labels),
        a_better=values.count(_WON),
        ties=values.count(_TIE),
        b_better=values.count(_LOST),
        win_rate=_share(clusters.mean, *mean_interval(clusters)),
    )


def _agreement(comparison: Comparison, decided: Iterable[LabeledPair]) -> Agreement | None:
    metric = comparison.primary
    right = []
    for label in decided:
        assert label.winner is not None
        better = score_of(label.row, label.winner, metric)
        worse = score_of(label.row, label.rival, metric)
        if better is None or worse is None:
            continue
        difference = better - worse if metric.higher_is_better else worse - better
        right.append(_TIE if difference == 0 else _WON if difference > 0 else _LOST)
    if not right:
        return None
    return Agreement(
        metric=metric.name,
        agreements=sum(right),
        pairs=len(right),
        share=_wilson(sum(right), len(right)),
    )


def _position(decided: Sequence[LabeledPair]) -> Position | None:
    if not decided:
        return None
    first = sum(label.winner == label.compared[0] for label in decided)
    return Position(first=first, second=len(decided) - first, share=_wilson(first, len(decided)))


def _wilson(right: float, pairs: int) -> Share:
    return _share(right / pairs, *wilson_interval(right, pairs))


def _share(mean: float, low: float, high: float) -> Share:
    return Share(
        **{k: round(v * 100, 6) for k, v in (("mean", mean), ("low", low), ("high", high))}
    )


def _statements(found: HumanReview) -> Iterator[Statement]:
    for one in found.comparisons:
        yield state(
            "people_compared",
            _figures(one.win_rate),
            column=one.a,
            rival=one.b,
            labels=one.labels,
            rows=one.rows,
        )
    if (agreement := found.agreement) is not None:
        is_shown = agreement.share.low > _CHANCE
        yield state(
            "people_agree_with_metric" if is_shown else "people_may_disagree_with_metric",
            _figures(agreement.share),
            metric=agreement.metric,
            right=agreement.agreements,
            pairs=agreement.pairs,
            is_human=True,
        )
    if (position := found.position) is not None:
        share = position.share
        if not share.low <= _CHANCE <= share.high:
            favored = "first" if share.mean > _CHANCE else "second"
            count = {"right": getattr(position, favored), "pairs": position.first + position.second}
            yield state("people_favor_position", count, position=favored)


def _figures(share: Share) -> dict[str, Any]:
    return {"percent": share.mean, "low": share.low, "high": share.high}
