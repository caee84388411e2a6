"""Simulation of the verdict's statistics: evaluations of models whose true gain is known.

    python -m bench.evals.simulation [--samples N] [--sizes 20 …] [--kinds NAME …] [--intervals]

For each kind of score and number of prompts, it draws evaluations and prints a row of the table in
docs/evaluation.md. It ends with 1 if a bound is broken: where `serve` can be said, intervals cover
the truth in at least 92% of evaluations, and at most 5% say `serve` without a gain.

`--intervals` compares methods instead: how often their intervals cover a mean of 0. `--labels`
simulates people who label answers: how often the interval of their agreement covers its true value,
and how often labels count for or against a model although people prefer neither.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean, median

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from service.verdict.comparison import (
    BASE,
    PROMPT,
    TUNED,
    Answer,
    Column,
    Comparison,
    Metric,
    Row,
)
from service.verdict.evidence import is_better, is_worse
from service.verdict.human_review import LabeledPair, reliability, review
from service.verdict.intervals import Clusters, difference_interval, t_quantile
from service.verdict.results import Difference, Verdict, VerdictKind
from service.verdict.thresholds import LEAST_CLUSTERS
from service.verdict.verdict import judge

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

SIZES = (10, 20, 40, 100, 1000)
GAIN = 0.15
BASE_GAIN = 0.3  # over the base, where only the prompt is hard to beat
LEAST_COVERAGE, MOST_FALSE_SERVE = 0.92, 0.05
RESAMPLES = 1000


@dataclass(frozen=True)
class Kind:
    """A kind of score: how much the tuned model gains on each row, if its true gain is `gain`.

    `gains` gets the place of each row's prompt; without it, rows pass or fail, and the share
    `differing` of them differs between two equal models. `score` is the mean score of the rivals.
    """

    title: str
    gains: Callable[[Generator, Places, float], Floats] | None = None
    differing: float = 0.0
    score: float = 0.4
    most_rows: int = 1


def _alike(random: Generator, prompts: Places, gain: float) -> Floats:
    return random.normal(gain, 0.15, len(prompts))


def _skewed(random: Generator, prompts: Places, gain: float) -> Floats:
    n = len(prompts)
    jumps = random.random(n) < 0.2
    return np.where(jumps, random.beta(5, 2, n), random.normal(0, 0.05, n)) - 0.2 * 5 / 7 + gain


def _breaks(random: Generator, prompts: Places, gain: float) -> Floats:
    n = len(prompts)
    breaks = random.random(n) < 0.1
    return np.where(breaks, -0.675, random.normal(0.075, 0.02, n)) + gain


def _tied(random: Generator, prompts: Places, gain: float) -> Floats:
    n = len(prompts)
    place, changes = random.random(n), random.normal(0, 0.25, n)
    return np.where(place < 0.3, changes, np.where(place < 0.3 + 2 * gain, 0.5, 0.0))


def _clustered(random: Generator, prompts: Places, gain: float) -> Floats:
    shared = random.normal(gain, 0.15, prompts.max() + 1)
    return shared[prompts] + random.normal(0, 0.1, len(prompts))


KINDS = {
    "alike": Kind("chrF, symmetric", _alike),
    "skewed": Kind("chrF, one answer in five jumps", _skewed),
    "breaks": Kind("chrF, 90% gain 8 points and 10% fail", _breaks, score=0.75),
    "tied": Kind("JSON fields, 70% tied", _tied, score=0.5),
    "clustered": Kind("chrF, 1 to 8 rows per prompt", _clustered, most_rows=8),
    "exact": Kind("pass or fail, 30% differ", differing=0.3),
    "rare": Kind("pass or fail, 10% differ", differing=0.1),
}


@dataclass(frozen=True)
class Evaluation:
    """Scores of base, prompt and tuned model by row, and the place of each row's prompt."""

    kind: Kind
    prompts: Places
    base: Floats
    prompt: Floats
    tuned: Floats

    @classmethod
    def draw(cls, kind: Kind, random: Generator, n: int, gains: Sequence[float]) -> Evaluation:
        """Draw an evaluation with `n` prompts and true gains over base and prompt."""
        prompts = np.repeat(np.arange(n), random.integers(1, kind.most_rows + 1, n))
        return cls(kind, prompts, *_scores(kind, random, prompts, gains))

    @property
    def over_prompt(self) -> Clusters:
        """Differences between the tuned model and the prompt."""
        return Clusters.group((self.tuned - self.prompt).tolist(), self.prompts.tolist())

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the gain over the prompt."""
        return difference_interval(self.over_prompt, fmean(self.prompt))

    @property
    def verdict(self) -> Verdict:
        """Verdict of the service."""
        columns = {BASE: self.base, PROMPT: self.prompt, TUNED: self.tuned}
        rows = [
            Row(
                prompt=[],
                reference="",
                cluster=str(place),
                answers={
                    name: Answer(text="", scores={"score": float(score)})
                    for name, score in zip(columns, scores, strict=True)
                },
            )
            for place, *scores in zip(self.prompts, *columns.values(), strict=True)
        ]
        metric = Metric(
            name="score", kind="continuous" if self.kind.gains else "binary", primary=True
        )
        return judge(
            Comparison(
                model="tuned",
                base_model="base",
                created_at=0,
                columns=[Column(name=name, model=name) for name in columns],
                metrics=[metric],
                rows=rows,
            )
        )


def _scores(
    kind: Kind, random: Generator, prompts: Places, gains: Sequence[float]
) -> tuple[Floats, Floats, Floats]:
    n = len(prompts)
    if kind.gains is not None:
        over_base, over_prompt = (kind.gains(random, prompts, gain) for gain in gains)
        prompt = random.normal(kind.score, 0.1, n)
        tuned = prompt + over_prompt
        return tuned - over_base, prompt, tuned
    right = (1 + max(gains)) / 2
    passed = random.random(n) < right

    def rival(gain: float) -> Floats:
        worse = max(kind.differing - gain, 0) / 2
        flips = np.where(passed, (worse + gain) / right, worse / (1 - right))
        return np.where(random.random(n) < flips, ~passed, passed).astype(float)

    return rival(gains[0]), rival(gains[1]), passed.astype(float)


def without_gain(kind: Kind, n: int, samples: int, seed: int = 38) -> dict[str, float]:
    """Return coverage, type I error and false `serve` if prompt and tuned model are equal."""
    random = np.random.default_rng(seed)
    covered, different, served = 0, 0, 0
    for _ in range(samples):
        one = Evaluation.draw(kind, random, n, (BASE_GAIN, 0))
        low, high = one.interval
        if low <= 0 <= high:  # no verdict calls the difference one, and the tests need not be run
            covered += 1
            continue
        verdict = one.verdict
        found = _over_prompt(verdict)
        different += is_better(found) or is_worse(found)
        served += verdict.kind == VerdictKind.SERVE
    return {
        "coverage": covered / samples,
        "type I error": different / samples,
        "false serve": served / samples,
    }


def power(kind: Kind, n: int, gain: float, samples: int, seed: int = 38) -> tuple[float, float]:
    """Return how often the verdict is `serve`, and the median of the detectable gain.

    The true gain over base and prompt is `gain`.
    """
    random = np.random.default_rng(seed)
    drawn = [Evaluation.draw(kind, random, n, (gain, gain)).verdict for _ in range(samples)]
    detectable = [_over_prompt(verdict).detectable for verdict in drawn]
    served = fmean(verdict.kind == VerdictKind.SERVE for verdict in drawn)
    return served, median(1.0 if one is None else one for one in detectable)


def _over_prompt(verdict: Verdict) -> Difference:
    return next(one for one in verdict.differences if (one.a, one.b) == (TUNED, PROMPT))


def is_within_bounds(n: int, figures: dict[str, float]) -> bool:
    """Return whether the figures keep the bounds of sizes at which `serve` can be said."""
    covers = figures["coverage"] >= LEAST_COVERAGE
    return n < LEAST_CLUSTERS or (covers and figures["false serve"] <= MOST_FALSE_SERVE)


def print_table(kinds: Sequence[Kind], sizes: Sequence[int], samples: int) -> bool:
    """Print the table, and return whether all figures keep their bounds."""
    print("| scores | prompts | coverage | type I error | false `serve` | power | detectable |")
    print("|---|---|---|---|---|---|---|")
    kept = True
    for kind in kinds:
        for n in sizes:
            figures = without_gain(kind, n, samples)
            mark = "" if is_within_bounds(n, figures) else " **broken**"
            kept &= not mark
            fewer = max(samples // max(5, n // 10), 20)
            served, detectable = power(kind, n, GAIN, fewer)
            for _ in range(2):  # the gain may spread the differences, and raise what is detectable
                detected, detectable = power(kind, n, min(detectable, 0.5), fewer)
            shown = f"{detectable * 100:.0f} ({detected:.0%})" if n >= LEAST_CLUSTERS else "-"
            print(
                f"| {kind.title} | {n:,} | {figures['coverage']:.1%} | "
                f"{figures['type I error']:.1%} | {figures['false serve']:.1%}{mark} | "
                f"{served:.0%} | {shown} |",
                flush=True,
            )
    return kept


def print_intervals(kinds: Sequence[Kind], sizes: Sequence[int], samples: int) -> None:
    """Print how often the intervals of each method cover a mean difference of 0."""
    print("| scores | prompts | percentile | BCa | studentized | t | the verdict's |")
    print("|---|---|---|---|---|---|---|")
    for kind in kinds:
        for n in sizes:
            random = np.random.default_rng(38)
            hits = np.zeros(5)
            for _ in range(samples):
                one = Evaluation.draw(kind, random, n, (0, 0))
                clusters = one.over_prompt
                found = [*_bootstrapped(random, clusters), _t_interval(clusters), one.interval]
                hits += [low <= 0 <= high for low, high in found]
            shares = " | ".join(f"{share:.0%}" for share in hits / samples)
            print(f"| {kind.title} | {n:,} | {shares} |", flush=True)


RELIABILITIES = (0.4, 0.667, 0.8, 0.95)
STEP = 5  # rows that are labeled between two looks at the verdict


def print_labels(sizes: Sequence[int], samples: int) -> None:
    """Print how labels of two reviewers behave, by their true alpha and the number of rows.

    Both find the better answer of a row with the same probability, and it is as often tuned's as
    the rival's. `counted` are the reviews in which labels count at the end, and `at any look` those
    in which they did at some time, if people look again after every few rows.
    """
    print("| alpha | rows | the verdict's covers | bootstrap covers | counted | at any look |")
    print("|---|---|---|---|---|---|")
    for alpha in RELIABILITIES:
        for n in sizes:
            random = np.random.default_rng(45)
            hits = np.zeros(4)
            for _ in range(samples):
                labels = _draw_labels(random, n, alpha)
                found = reliability(labels)
                assert found is not None
                low, high = _bootstrapped_alpha(random, labels)
                looks = [_counts(labels[: 2 * rows]) for rows in range(STEP, n, STEP)]
                counted = _counts(labels)
                hits += [
                    found.low <= alpha <= found.high,
                    low <= alpha <= high,
                    counted,
                    counted or any(looks),
                ]
            shares = " | ".join(f"{share:.1%}" for share in hits / samples)
            print(f"| {alpha:g} | {n:,} | {shares} |", flush=True)


def _draw_labels(random: Generator, n: int, alpha: float) -> list[LabeledPair]:
    right = (1 + alpha**0.5) / 2
    labels = []
    for row in _labeled(n).rows:
        better = random.integers(2)
        for reviewer in ("ann", "ben"):
            chosen = better if random.random() < right else 1 - better
            winner = (TUNED, PROMPT)[chosen]
            labels.append(LabeledPair(row, (TUNED, PROMPT), winner, reviewer))
    return labels


@lru_cache(maxsize=8)
def _labeled(n: int) -> Comparison:
    rows = [
        Row(line=place, prompt=[], reference="", cluster=str(place), answers={})
        for place in range(n)
    ]
    return Comparison(
        model="m",
        base_model="b",
        created_at=0,
        columns=[Column(name=name, model=name) for name in (TUNED, PROMPT)],
        metrics=[Metric(name="chrf", kind="continuous", primary=True)],
        rows=rows,
    )


def _counts(labels: Sequence[LabeledPair]) -> bool:
    """Return whether the labels would enter the verdict."""
    [found] = review(_labeled(len(labels) // 2), labels).comparisons
    agreed = found.reliability
    return found.preferred is not None and agreed is not None and agreed.is_enough


def _bootstrapped_alpha(random: Generator, labels: Sequence[LabeledPair]) -> tuple[float, float]:
    """Return the percentile interval of alpha, by rows."""
    values = [1 if label.winner == TUNED else -1 for label in labels]
    rows = np.array(values).reshape(-1, 2)
    differ, k = rows[:, 0] != rows[:, 1], len(rows)
    # With both orders, the expected disagreement of labels without ties is fixed.
    expected = 0.5 * 4 * k / (4 * k - 1)
    drawn = differ[random.integers(0, k, (RESAMPLES, k))].mean(1)
    low, high = np.quantile(1 - drawn / expected, [0.025, 0.975])
    return float(low), float(high)


def _t_interval(clusters: Clusters) -> tuple[float, float]:
    half = t_quantile(0.975, len(clusters) - 1) * (clusters.standard_error or 0)
    return clusters.mean - half, clusters.mean + half


def _bootstrapped(random: Generator, clusters: Clusters) -> list[tuple[float, float]]:
    """Return the percentile, BCa and studentized intervals (Efron and Tibshirani, 1993)."""
    k, mean, error = len(clusters), clusters.mean, clusters.standard_error or 0
    drawn = random.integers(0, k, (RESAMPLES, k))
    sums, sizes = clusters.sums[drawn], clusters.sizes[drawn]
    means = sums.sum(1) / sizes.sum(1)
    residuals = sums - means[:, None] * sizes
    errors = np.sqrt((residuals**2).sum(1) * k / (k - 1)) / sizes.sum(1)
    percentile = np.quantile(means, [0.025, 0.975])
    if not error:
        return [(mean, mean)] * 3
    normal = NormalDist()
    below = ((means < mean).mean() + (means <= mean).mean()) / 2
    left_out = (clusters.sums.sum() - clusters.sums) / (clusters.sizes.sum() - clusters.sizes)
    lean = left_out.mean() - left_out
    acceleration = (lean**3).sum() / (6 * (lean**2).sum() ** 1.5)
    bias = normal.inv_cdf(min(max(float(below), 1e-6), 1 - 1e-6))
    ends = [bias + normal.inv_cdf(p) for p in (0.025, 0.975)]
    bca = np.quantile(means, [normal.cdf(bias + z / (1 - acceleration * z)) for z in ends])
    t = np.divide(means - mean, errors, out=np.sign(means - mean) * 1e9, where=errors > 0)
    high, low = np.quantile(t, [0.025, 0.975])
    return [tuple(percentile), tuple(bca), (mean - low * error, mean - high * error)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate evaluations whose true gain is known.")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--intervals", action="store_true", help="compare methods of intervals")
    parser.add_argument("--labels", action="store_true", help="simulate labels of people")
    options = parser.parse_args()
    kinds = [KINDS[name] for name in options.kinds]
    if options.labels:
        print_labels(options.sizes, options.samples)
    elif options.intervals:
        print_intervals(kinds, options.sizes, options.samples)
    elif not print_table(kinds, options.sizes, options.samples):
        sys.exit(1)


if __name__ == "__main__":
    main()
