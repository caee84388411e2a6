"""All paired differences of a comparison, corrected for multiple comparisons.

Differences that answer the same question form a family, within which Holm's correction applies:
the columns "base", "prompt" and "tuned" on the primary metric; tuned against base in each language;
checkpoints against the final model; and all other metrics.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from service.evaluation.comparison import BASE, PROMPT, TUNED, Comparison, Metric
from service.evaluation.results import Difference, Score
from service.evaluation.statistics.bootstrap import difference_interval, mean_interval
from service.evaluation.statistics.clusters import Clusters
from service.evaluation.statistics.pairs import paired, scores_of
from service.evaluation.statistics.power import detectable_difference
from service.evaluation.statistics.significance import holm, mcnemar_exact, sign_flip

# Differences smaller than a rounding error count as equal.
_EQUAL = 1e-9


def difference(
    comparison: Comparison, metric: Metric, a: str, b: str, *, language: str | None = None
) -> Difference | None:
    """Compare two columns on a metric. Returns None if no row has both scores.

    The p-value is McNemar's if the metric is binary and no two rows share a cluster; otherwise the
    sign-flip test's, which generalizes it.
    """
    pairs = paired(comparison, metric, a, b, language=language)
    if not pairs.differences:
        return None
    binary = metric.kind == "binary"
    clusters = Clusters.of(pairs.differences, pairs.clusters)
    better = sum(value > _EQUAL for value in pairs.differences)
    worse = sum(value < -_EQUAL for value in pairs.differences)
    independent = len(clusters) == len(pairs.differences)
    p_value = mcnemar_exact(better, worse) if binary and independent else sign_flip(clusters)
    low, high = difference_interval(clusters, binary=binary)
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
        standard_error=clusters.standard_error,
        detectable=detectable_difference(clusters.standard_error, len(clusters), binary=binary),
    )


def score(comparison: Comparison, metric: Metric, column: str) -> Score | None:
    """Return the mean score of a column with its interval. None if no row has a score."""
    found = scores_of(comparison, metric, column)
    if not found.scores:
        return None
    clusters = Clusters.of(found.scores, found.clusters)
    low, high = mean_interval(clusters, binary=metric.kind == "binary")
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
    pairs = [(TUNED, BASE), (TUNED, PROMPT), (PROMPT, BASE)]
    return _family(difference(comparison, comparison.primary, a, b) for a, b in pairs)


def _by_language(comparison: Comparison) -> list[Difference]:
    languages = sorted({row.language for row in comparison.rows if row.language})
    if len(languages) < 2:
        return []
    return _family(
        difference(comparison, comparison.primary, TUNED, BASE, language=language)
        for language in languages
    )


def _checkpoints(comparison: Comparison) -> list[Difference]:
    return _family(
        difference(comparison, comparison.primary, column.name, TUNED)
        for column in comparison.checkpoints
    )


def _other_metrics(comparison: Comparison) -> list[Difference]:
    return _family(
        difference(comparison, metric, TUNED, other)
        for metric in comparison.metrics
        if not metric.primary
        for other in (BASE, PROMPT)
    )


def _family(found: Iterable[Difference | None]) -> list[Difference]:
    kept = [one for one in found if one is not None]
    adjusted = holm([one.p_value for one in kept])
    return [
        msgspec.structs.replace(one, adjusted_p=p) for one, p in zip(kept, adjusted, strict=True)
    ]
