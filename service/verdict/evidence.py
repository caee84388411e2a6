"""Decides whether a difference shows that one column is better or worse, or too little."""

from __future__ import annotations

import math
from dataclasses import dataclass

from service.verdict.comparison import BASE, PROMPT, TUNED, Comparison, pair_scores
from service.verdict.differences import all_differences, mean_change, score
from service.verdict.results import Difference, Score
from service.verdict.significance import Rule, rows_needed
from service.verdict.thresholds import (
    ALPHA,
    ASSUMED_DEVIATION,
    CEILING,
    CEILING_LOW,
    LEAST_CLUSTERS,
    LEAST_MORE_ROWS,
    SMALLEST_DIFFERENCE,
)


@dataclass(frozen=True)
class Evidence:
    """A comparison with all its differences.

    A difference between two columns is None if no row was answered by both.
    """

    comparison: Comparison
    differences: list[Difference]

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> Evidence:
        """Compute all differences of a comparison."""
        return cls(comparison, all_differences(comparison))

    @property
    def tuned_base(self) -> Difference | None:
        """Difference between tuned and base."""
        return self._main(TUNED, BASE)

    @property
    def tuned_prompt(self) -> Difference | None:
        """Difference between tuned and the best prompt."""
        return self._main(TUNED, PROMPT)

    @property
    def prompt_base(self) -> Difference | None:
        """Difference between the best prompt and base."""
        return self._main(PROMPT, BASE)

    @property
    def languages(self) -> list[Difference]:
        """Differences between tuned and base by language."""
        return [found for found in self.differences if found.language is not None]

    @property
    def checkpoints(self) -> list[Difference]:
        """Differences between each checkpoint and the final model."""
        primary = self.comparison.primary.name
        return [d for d in self.differences if d.b == TUNED and d.metric == primary]

    @property
    def other_metrics(self) -> list[Difference]:
        """Differences on metrics other than the primary one."""
        primary = self.comparison.primary.name
        return [found for found in self.differences if found.metric != primary]

    @property
    def rivals(self) -> list[Difference]:
        """Differences between tuned and what it must beat, the strongest rival first."""
        found = [d for d in (self.tuned_base, self.tuned_prompt) if d is not None]
        return sorted(found, key=lambda difference: difference.mean)

    def ceiling(self, column: str) -> Score | None:
        """Return the column's primary score if no answer could be much better; else None."""
        primary = self.comparison.primary
        found = score(self.comparison, primary, column) if primary.higher_is_better else None
        if found is None or found.mean < CEILING or found.low < CEILING_LOW:
            return None
        return found

    def more_rows(self, found: Difference) -> int:
        """Return the number of additional rows that would show the observed difference.

        Below the smallest gain that matters, they would show that any gain is smaller than that.
        """
        error = found.standard_error
        if error is None:
            error = ASSUMED_DEVIATION / math.sqrt(found.clusters)
        primary = self.comparison.primary
        pairs = pair_scores(self.comparison, primary, found.a, found.b)
        rival, distance = pairs.rival, found.mean
        change = mean_change(pairs.differences, binary=primary.kind == "binary")
        if distance < SMALLEST_DIFFERENCE:
            distance = SMALLEST_DIFFERENCE + max(-found.mean, 0)
            rival = max(1 - rival - found.mean, 0)
        count = len(self.rivals)
        needed = rows_needed(
            distance,
            standard_error=error,
            clusters=found.clusters,
            rows=found.n,
            rule=Rule(tests=count, together=count, rival=rival, change=change),
        )
        least = math.ceil(LEAST_CLUSTERS * found.n / found.clusters)
        return math.ceil(max(max(needed, least) - found.n, LEAST_MORE_ROWS) / 10) * 10

    def _main(self, a: str, b: str) -> Difference | None:
        primary = self.comparison.primary.name
        wanted = (a, b, primary, None)
        return next(
            (d for d in self.differences if (d.a, d.b, d.metric, d.language) == wanted), None
        )


def is_better(found: Difference) -> bool:
    """Return whether `a` is better than `b`: the interval and the corrected test agree."""
    return found.low > 0 and found.adjusted_p <= ALPHA


def is_worse(found: Difference) -> bool:
    """Return whether `a` is worse than `b`: the interval and the corrected test agree."""
    return found.high < 0 and found.adjusted_p <= ALPHA


def gains(found: Difference) -> bool:
    """Return whether `a` is better than `b` by a difference that matters, on enough prompts."""
    is_enough = found.clusters >= LEAST_CLUSTERS
    return is_enough and is_better(found) and found.mean >= SMALLEST_DIFFERENCE


def loses(found: Difference) -> bool:
    """Return whether `a` is worse than `b` by a difference that matters."""
    return is_worse(found) and found.mean <= -SMALLEST_DIFFERENCE


def is_no_better(found: Difference) -> bool:
    """Return whether any gain of `a` over `b` is too small to matter."""
    return found.high < SMALLEST_DIFFERENCE and found.clusters >= LEAST_CLUSTERS
