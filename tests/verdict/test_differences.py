"""Differences between the columns of a comparison."""

import math

import msgspec
import pytest

from service.verdict.comparison import Answer, Metric
from service.verdict.differences import all_differences, difference, score
from service.verdict.significance import mcnemar_exact
from tests.verdict.build import build


def one(comparison, a="tuned", b="base", **options):
    return difference(comparison, comparison.primary, a, b, **options)


def test_a_difference_counts_its_rows():
    found = one(build({"base": [0.5, 0.5, 0.5, 0.9], "tuned": [0.7, 0.5, 0.8, 0.8]}))
    assert (found.better, found.equal, found.worse, found.n) == (2, 1, 1, 4)
    assert found.mean == pytest.approx(0.1)
    assert found.low <= found.mean <= found.high


def test_answers_that_failed_are_missing_not_wrong():
    found = one(build({"base": [0.5, None, 0.5, 0.5], "tuned": [0.5, 0.9, None, 0.5]}))
    assert (found.n, found.missing, found.mean) == (2, 2, 0)
    assert one(build({"base": [None], "tuned": [0.5]})) is None
    assert one(build({"base": [], "tuned": []})) is None
    assert one(build({"tuned": [0.5]})) is None


def test_scores_that_are_not_numbers_are_missing():
    found = one(build({"base": [0.5, 0.5, 0.5], "tuned": [math.nan, math.inf, 0.7]}))
    assert (found.n, found.missing) == (1, 2)
    assert found.mean == pytest.approx(0.2)


def test_one_row_says_nothing():
    found = one(build({"base": [0.1], "tuned": [0.9]}))
    assert (found.low, found.high, found.p_value) == (-1, 1, 1)
    assert found.standard_error is None
    assert found.detectable is None


def test_one_cluster_says_nothing():
    found = one(build({"base": [0.1] * 30, "tuned": [0.9] * 30}, clusters=["c"] * 30))
    assert (found.low, found.high, found.p_value, found.n, found.clusters) == (-1, 1, 1, 30, 1)


def test_equal_columns():
    found = one(build({"base": [0.4] * 30, "tuned": [0.4] * 30}))
    assert (found.mean, found.p_value, found.equal) == (0, 1, 30)
    # 30 prompts may miss 11.6% of outcomes, which could lose 40 points or gain 60.
    assert (found.low, found.high) == (
        pytest.approx(-0.046, abs=1e-3),
        pytest.approx(0.069, abs=1e-3),
    )


def test_binary_scores_use_mcnemar_unless_rows_share_a_prompt():
    scores = {"base": [0.0] * 9 + [1.0] * 3, "tuned": [1.0] * 9 + [0.0] * 3}
    assert one(build(scores, kind="binary")).p_value == mcnemar_exact(9, 3)
    clusters = [f"c{i // 3}" for i in range(12)]
    assert one(build(scores, kind="binary", clusters=clusters)).p_value == 10 / 16


def test_a_metric_where_less_is_better_is_turned_around():
    scores = {"base": [0.5] * 8, "tuned": [0.2] * 8}
    metric = Metric(name="chrf", kind="continuous", primary=True, higher_is_better=False)
    found = one(build(scores, metrics=[metric]))
    assert found.mean == pytest.approx(0.3)
    assert found.better == 8


def test_differences_are_corrected_within_their_family():
    languages = ["th"] * 12 + ["ja"] * 12 + [None] * 2
    base, tuned = [0.5] * 26, [0.6] * 8 + [0.4] * 4 + [0.7] * 12 + [0.5] * 2
    comparison = build(
        {
            "base": base,
            "prompt": [0.55] * 26,
            "tuned": tuned,
            "ckpt-step-5": base,
            "ckpt-step-10": tuned,
        },
        languages=languages,
    )
    found = all_differences(comparison)
    assert [(d.a, d.b, d.language) for d in found] == [
        ("tuned", "base", None),
        ("tuned", "prompt", None),
        ("prompt", "base", None),
        ("tuned", "base", "ja"),
        ("tuned", "base", "th"),
        ("ckpt-step-5", "tuned", None),
        ("ckpt-step-10", "tuned", None),
    ]
    ja, th = found[3], found[4]
    assert ja.adjusted_p == 2 * ja.p_value
    assert th.adjusted_p == th.p_value
    assert all(d.adjusted_p >= d.p_value for d in found)


def test_other_metrics_are_a_family_of_their_own():
    comparison = build({"base": [0.1] * 8, "tuned": [0.4] * 8})
    rows = [
        msgspec.structs.replace(
            row,
            answers={
                name: Answer(text="", scores={**answer.scores, "language": float(name == "tuned")})
                for name, answer in row.answers.items()
            },
        )
        for row in comparison.rows
    ]
    metrics = [*comparison.metrics, Metric(name="language", kind="binary")]
    found = all_differences(msgspec.structs.replace(comparison, rows=rows, metrics=metrics))
    assert [(d.metric, d.a, d.b) for d in found] == [
        ("chrf", "tuned", "base"),
        ("language", "tuned", "base"),
    ]
    assert found[1].adjusted_p == found[1].p_value == 2 / 2**8


def test_the_score_of_a_column():
    comparison = build({"base": [1.0] * 15 + [None], "tuned": [0.0] * 16}, kind="binary")
    base = score(comparison, comparison.primary, "base")
    assert base is not None
    assert base.low is not None
    assert (base.mean, base.n, base.missing, base.high) == (1.0, 15, 1, 1.0)
    assert 0.7 < base.low < 0.9
    assert score(comparison, comparison.primary, "prompt") is None
