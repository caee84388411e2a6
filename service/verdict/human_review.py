"""Computes what people's labels say: which answers they prefer, how well reviewers agree with each
other, and whether the metric agrees with them; and what that changes in the verdict.

A label compares two answers to a row, and names the better one or a tie. Shares are in percent with
95% confidence intervals.

**People prefer a column** if the interval of its win rate excludes 50%, a sign-flip test says so
(p <= 5% after Holm's correction over all pairs), the rate is at least 5 points away from 50%, and
the rows have at least 20 different prompts. Labels may be added until they show something, and the
last condition bounds what that does to chance (`python -m bench.evals.simulation --labels`).

**Reviewers agree enough** if Krippendorff's alpha is at least 0.667, and its interval excludes 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import variance
from typing import Any, Final, NamedTuple

import msgspec

from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison, Row, score_of
from service.verdict.intervals import Clusters, mean_interval, wilson_interval
from service.verdict.results import (
    Agreement,
    Difference,
    HumanReview,
    Position,
    Preference,
    Reliability,
    Share,
    Statement,
    Verdict,
    VerdictKind,
)
from service.verdict.significance import holm, sign_flip
from service.verdict.statements import build_verdict, effect_figures, state, write
from service.verdict.thresholds import (
    ALPHA,
    LEAST_CLUSTERS,
    RELIABLE_ALPHA,
    SMALLEST_DIFFERENCE,
    TENTATIVE_ALPHA,
)

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
    clusters = [
        Clusters.group(
            [label.value_of(a) - _TIE for label in by_pair[a, b]],
            [label.row.cluster for label in by_pair[a, b]],
        )
        for a, b in pairs
    ]
    adjusted = holm([sign_flip(one) for one in clusters])
    return [_preference(*pair, by_pair[pair], p) for pair, p in zip(pairs, adjusted, strict=True)]


def _rank(column: str) -> tuple[int, str]:
    """Order the main columns before checkpoints, so that `a` is tuned if it was compared."""
    return (_ORDER.index(column) if column in _ORDER else len(_ORDER), column)


def _preference(a: str, b: str, labels: Sequence[LabeledPair], adjusted_p: float) -> Preference:
    values = [label.value_of(a) for label in labels]
    clusters = Clusters.group(values, [label.row.cluster for label in labels])
    rate = _share(clusters.mean, *mean_interval(clusters))
    is_shown = (
        not rate.low <= _CHANCE <= rate.high
        and adjusted_p <= ALPHA
        and abs(clusters.mean - _TIE) >= SMALLEST_DIFFERENCE
        and len(clusters) >= LEAST_CLUSTERS
    )
    return Preference(
        a=a,
        b=b,
        labels=len(values),
        rows=_rows(labels),
        a_better=values.count(_WON),
        ties=values.count(_TIE),
        b_better=values.count(_LOST),
        win_rate=rate,
        preferred=(a if rate.mean > _CHANCE else b) if is_shown else None,
        reliability=reliability(labels),
    )


def reliability(labels: Iterable[LabeledPair]) -> Reliability | None:
    """Return how well reviewers agree on one pair of columns.

    None if no two of them labeled the same row with a preference.

    A tie lies halfway between the two answers, so labels have an interval scale. Which answer comes
    first means nothing, so each row counts in both orders: reviewers who always prefer the same
    model agree, since they do not know which it is. The interval is that of the observed
    disagreement, clustered by prompt.
    """
    shared = [found for found in _by_row(labels).values() if len(found) > 1]
    values = [[_in_order(label) for label in found] for found in shared]
    if not any(map(any, values)):
        return None
    reverse = [[-value for value in found] for found in values]
    # The mean squared distance of all pairs of values is twice their variance.
    expected = variance(value for found in (*values, *reverse) for value in found)
    pairs = [
        (variance(found) / _MOST_VARIANCE, same) for found, same in zip(values, shared, strict=True)
    ]
    low, high = mean_interval(
        Clusters.group(
            [observed for observed, same in pairs for _ in same],
            [label.row.cluster for _, same in pairs for label in same],
        )
    )
    scale = _MOST_VARIANCE / expected
    return Reliability(
        alpha=round(krippendorff_alpha([*values, *reverse]), 6),
        low=round(max(1 - high * scale, -1.0), 6),
        high=round(1 - low * scale, 6),
        rows=len(shared),
        disputed=sum(observed > 0 for observed, _ in pairs),
    )


_MOST_VARIANCE: Final = 2.0  # of a unit: that of 1 and -1


def krippendorff_alpha(units: Iterable[Sequence[int]]) -> float:
    """Return Krippendorff's alpha, on an interval scale. A unit has its reviewers' values."""
    # Imported here: takes a second, and few evaluations have labels of several people.
    from nltk.metrics.agreement import AnnotationTask
    from nltk.metrics.distance import interval_distance

    data = [
        (reviewer, unit, value)
        for unit, values in enumerate(units)
        for reviewer, value in enumerate(values)
    ]
    return float(AnnotationTask(data, distance=interval_distance).alpha())


def _in_order(label: LabeledPair) -> int:
    """Return 1 if the answer of the first column by name is better, -1 if it is worse, or 0."""
    return round(2 * label.value_of(min(label.compared)) - 1)


def _by_row(labels: Iterable[LabeledPair]) -> Mapping[tuple[int | None, ...], list[LabeledPair]]:
    """Return the labels by row and pair of columns."""
    found: defaultdict[Any, list[LabeledPair]] = defaultdict(list)
    for label in labels:
        found[label.row.line, *sorted(label.compared)].append(label)
    return found


def majorities(labels: Iterable[LabeledPair]) -> list[LabeledPair]:
    """Return a label for each row and pair of columns of which most labels prefer one answer.

    So a row that several people labeled is one observation.
    """
    found = []
    for same in _by_row(labels).values():
        votes = Counter(label.winner for label in same if label.winner is not None)
        if votes and votes.most_common(1)[0][1] > votes.total() / 2:
            found.append(same[0]._replace(winner=votes.most_common(1)[0][0]))
    return found


def _agreement(comparison: Comparison, decided: Iterable[LabeledPair]) -> Agreement | None:
    metric = comparison.primary
    right = []
    for label in majorities(decided):
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
        if found.reviewers > 1:
            yield _statement_on_reviewers(one)
    if (agreement := found.agreement) is not None:
        low, high = agreement.share.low, agreement.share.high
        code = "people_contradict_metric" if high < _CHANCE else "people_may_disagree_with_metric"
        yield state(
            "people_agree_with_metric" if low > _CHANCE else code,
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


def _statement_on_reviewers(one: Preference) -> Statement:
    found = one.reliability
    if found is None:
        return state("reviewers_not_compared", column=one.a, rival=one.b)
    if found.alpha < TENTATIVE_ALPHA:
        code = "reviewers_disagree"
    elif not found.is_enough:
        code = "agreement_may_be_chance"
    else:
        is_reliable = found.alpha >= RELIABLE_ALPHA
        code = "reviewers_agree_well" if is_reliable else "reviewers_agree_tentatively"
    return state(code, reliability_figures(found), column=one.a, rival=one.b)


def reliability_figures(found: Reliability | None) -> dict[str, Any]:
    """Return the figures of the agreement among reviewers. Empty if it is unknown."""
    if found is None:
        return {}
    figures = {"alpha": found.alpha, "alpha_low": found.low, "alpha_high": found.high}
    return {**figures, "shared_rows": found.rows}


_ADVISED: Final = frozenset({VerdictKind.SERVE, VerdictKind.FORGOT})
"""Verdicts that the tuned model is better than its rivals, and may be served."""


def weigh(verdict: Verdict, review: HumanReview) -> Verdict:
    """Return the verdict with what people prefer.

    A preference counts if people show one and agree enough. If it contradicts the measure's, the
    verdict is "disputed". Otherwise, it becomes a reason. A contradiction that does not count
    becomes a warning.
    """
    reasons: list[Statement] = []
    warnings: list[Statement] = []
    disputes: list[tuple[Difference, Preference]] = []
    for one in review.comparisons:
        if one.preferred is None or one.a != TUNED:
            continue
        against = _contradicted(verdict, one)
        if one.reliability is None or not one.reliability.is_enough:
            if against is not None:
                warnings.append(state("people_may_disagree", _people_figures(one)))
        elif against is None:
            reasons.append(state("people_prefer", _people_figures(one)))
        else:
            disputes.append((against, one))
    if disputes:
        (against, people), *others = disputes
        reasons = [state("people_prefer", _people_figures(one)) for _, one in others] + reasons
        if verdict.kind == VerdictKind.FORGOT:
            lost = {k: v for k, v in verdict.figures.items() if k.startswith("lost_")}
            warnings.append(state("lost_general_abilities", lost))
        verdict = msgspec.structs.replace(
            build_verdict(
                VerdictKind.DISPUTED,
                state(
                    "people_disagree_with_measure",
                    effect_figures(against),
                    people=_people_figures(people),
                ),
                state("settle_with_people", metric=against.metric),
            ),
            warnings=verdict.warnings,
            warning_details=verdict.warning_details,
            differences=verdict.differences,
        )
    return msgspec.structs.replace(
        verdict,
        reasons=list(map(write, reasons)),
        reason_details=reasons,
        warnings=[*verdict.warnings, *map(write, warnings)],
        warning_details=[*verdict.warning_details, *warnings],
    )


def _contradicted(verdict: Verdict, one: Preference) -> Difference | None:
    """Return the difference on which the verdict rests, if people prefer the other column."""
    is_contradicted = (
        one.preferred != TUNED
        if verdict.kind in _ADVISED
        else one.preferred == TUNED and _not_beaten(verdict) == one.b
    )
    if not is_contradicted:
        return None
    return next(
        (d for d in verdict.differences if (d.a, d.b, d.language) == (TUNED, one.b, None)), None
    )


def _not_beaten(verdict: Verdict) -> str | None:
    """Return the rival that the tuned model does not beat by the verdict; None if it names none."""
    match verdict.kind:
        case VerdictKind.PROMPT:
            return PROMPT
        case VerdictKind.SOLVED_ALREADY:
            return PROMPT if verdict.code == "prompt_is_at_ceiling" else BASE
        case VerdictKind.NO_GAIN:
            return BASE
        case VerdictKind.WORSE if verdict.code == "tuned_is_worse":
            return BASE
        case _:
            return None


def _people_figures(one: Preference) -> dict[str, Any]:
    """Return the figures of a preference, seen from the column that people prefer."""
    rate = one.win_rate
    column, rival = (one.a, one.b) if one.preferred == one.a else (one.b, one.a)
    if column == one.b:
        rate = Share(mean=100 - rate.mean, low=100 - rate.high, high=100 - rate.low)
    figures = {"column": column, "rival": rival, "labels": one.labels, "rows": one.rows}
    return {**figures, **_figures(rate), **reliability_figures(one.reliability)}
