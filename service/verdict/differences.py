"""Computes all paired differences of a comparison, corrected for multiple comparisons.

Differences that answer the same question form a family, within which Holm's correction applies:
the columns "base", "prompt" and "tuned" on the primary metric; tuned against base in each language;
checkpoints against the final model; and all other metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

import msgspec

from service.verdict.comparison import (
    BASE,
    PROMPT,
    TUNED,
    Comparison,
    Metric,
    pair_scores,
    scores_of,
)
from service.verdict.intervals import Clusters, difference_interval, mean_interval
from service.verdict.results import Difference, Score
from service.verdict.significance import Rule, detectable_difference, holm, mcnemar_exact, sign_flip
from service.verdict.thresholds import MUCH_WORSE, SMALLEST_DIFFERENCE

# Differences smaller than a rounding error count as equal.
_EQUAL = 1e-9


def difference(
    comparison: Comparison,
    metric: Metric,
    a: str,
    b: str,
    *,
    language: str | None = None,
    tests: int = 1,
    together: int = 1,
) -> Difference | None:
    """Compare two columns on a metric. Returns None if no row has both scores.

    The detectable difference is that of `tests` p-values, and of `together` differences that must
    all be found. The p-value is McNemar's if the metric is binary and no two rows share a cluster;
    otherwise the sign-flip test's, which generalizes it.
    """
    pairs = pair_scores(comparison, metric, a, b, language=language)
    if not pairs.differences:
        return None
    binary = metric.kind == "binary"
    clusters = Clusters.group(pairs.differences, pairs.clusters)
    better = sum(value > _EQUAL for value in pairs.differences)
    worse = sum(value < -_EQUAL for value in pairs.differences)
    independent = len(clusters) == len(pairs.differences)
    p_value = mcnemar_exact(better, worse) if binary and independent else sign_flip(clusters)
    low, high = difference_interval(clusters, pairs.rival)
    rule = Rule(
        tests=tests,
        together=together,
        rival=pairs.rival,
        skewness=clusters.skewness,
        change=mean_change(pairs.differences, binary=binary),
        least=SMALLEST_DIFFERENCE if metric.primary else 0.0,
    )
    return Difference(
        metric=metric.name,
        a=a,
        b=b,
        language=language,
        mean=clusters.mean,
        low=low,
        high=high,
        p_value=p_value,
        adjusted_p=p_value,
        n=len(pairs.differences),
        clusters=len(clusters),
        missing=pairs.missing,
        better=better,
        equal=len(pairs.differences) - better - worse,
        worse=worse,
        much_worse=sum(value <= _EQUAL - MUCH_WORSE for value in pairs.differences),
        standard_error=clusters.standard_error,
        detectable=detectable_difference(clusters.standard_error, len(clusters), rule),
    )


def mean_change(differences: Sequence[float], *, binary: bool) -> float:
    """Return the mean size of the differences that are not 0, which is 1 for binary scores."""
    changes = [abs(value) for value in differences if abs(value) > _EQUAL]
    return 1.0 if binary else fmean(changes or [0.0])


def score(comparison: Comparison, metric: Metric, column: str) -> Score | None:
    """Return the mean score of a column with its interval. None if no row has a score."""
    found = scores_of(comparison, metric, column)
    if not found.scores:
        return None
    clusters = Clusters.group(found.scores, found.clusters)
    low, high = mean_interval(clusters)
    return Score(
        column=column,
        metric=metric.name,
        mean=clusters.mean,
        low=low,
        high=high,
        n=len(found.scores),
        missing=found.missing,
    )


def all_differences(comparison: Comparison) -> list[Difference]:
    """Return the differences of all families, first those between the main columns."""
    return [
        *_main(comparison),
        *_by_language(comparison),
        *_checkpoints(comparison),
        *_other_metrics(comparison),
    ]


def _main(comparison: Comparison) -> list[Difference]:
    """Compare the main columns. The tuned model must beat all its rivals."""
    pairs = [(TUNED, BASE), (TUNED, PROMPT), (PROMPT, BASE)]
    count = max(1, len(_rivals(comparison)))
    return _family(
        difference(comparison, comparison.primary, a, b, tests=count, together=count)
        for a, b in pairs
    )


def _rivals(comparison: Comparison) -> list[str]:
    """Return the columns that the tuned model must beat."""
    return [name for name in (BASE, PROMPT) if comparison.column(name)]


def _by_language(comparison: Comparison) -> list[Difference]:
    languages = sorted({row.language for row in comparison.rows if row.language})
    count = len(languages)
    if count < 2:
        return []
    return _family(
        difference(comparison, comparison.primary, TUNED, BASE, language=language, tests=count)
        for language in languages
    )


def _checkpoints(comparison: Comparison) -> list[Difference]:
    count = max(1, len(comparison.checkpoints))
    return _family(
        difference(comparison, comparison.primary, column.name, TUNED, tests=count)
        for column in comparison.checkpoints
    )


def _other_metrics(comparison: Comparison) -> list[Difference]:
    others = [metric for metric in comparison.metrics if not metric.primary]
    rivals = _rivals(comparison)
    count = max(1, len(others) * len(rivals))
    return _family(
        difference(comparison, metric, TUNED, other, tests=count)
        for metric in others
        for other in rivals
    )


def _family(found: Iterable[Difference | None]) -> list[Difference]:
    kept = [one for one in found if one is not None]
    adjusted = holm([one.p_value for one in kept])
    return [
        msgspec.structs.replace(one, adjusted_p=p) for one, p in zip(kept, adjusted, strict=True)
    ]
