"""Tests of what people's labels say together."""

from __future__ import annotations

import pytest

from service.verdict.comparison import Comparison
from service.verdict.human_review import LabeledPair, review
from service.verdict.intervals import wilson_interval
from tests.verdict.build import build

TUNED_FIRST, PROMPT_FIRST = ("tuned", "prompt"), ("prompt", "tuned")


def compared(rows: int = 30, gain: float = 0.3) -> Comparison:
    """A comparison of which the metric prefers the tuned model on each row."""
    return build({"base": [0.2] * rows, "prompt": [0.4] * rows, "tuned": [0.4 + gain] * rows})


def labels(comparison: Comparison, winners: list[str | None], order=TUNED_FIRST, who="ann"):
    rows = zip(comparison.rows, winners, strict=False)
    return [LabeledPair(row, order, winner, who) for row, winner in rows]


def test_people_prefer_the_tuned_model_and_the_metric_agrees():
    comparison = compared()
    winners = ["tuned"] * 20 + ["prompt"] * 4 + [None] * 6
    found = review(comparison, labels(comparison, winners))
    assert (found.labels, found.rows, found.reviewers) == (30, 30, 1)
    [one] = found.comparisons
    assert (one.a, one.b, one.a_better, one.ties, one.b_better) == ("tuned", "prompt", 20, 6, 4)
    assert one.win_rate.mean == pytest.approx(100 * 23 / 30)
    assert one.win_rate.low < one.win_rate.mean < one.win_rate.high
    assert found.agreement is not None
    assert (found.agreement.agreements, found.agreement.pairs) == (20, 24)
    assert [statement.code for statement in found.statements] == [
        "people_compared",
        "people_agree_with_metric",
        "people_favor_position",  # tuned was always shown first
    ]
    assert found.sentences[0].startswith("People preferred tuned to the best prompt in 77% [")
    assert "(chrF) agreed with people on 20 of 24 pairs of answers, 83% [" in found.sentences[1]


def test_columns_are_compared_in_one_direction_whichever_was_shown_first():
    comparison = compared()
    shown = [
        *labels(comparison, ["tuned"] * 10),
        *labels(comparison, ["tuned"] * 10, PROMPT_FIRST, "ben"),
        *labels(comparison, ["base"] * 3, ("base", "ckpt-step-4"), "ben"),
    ]
    found = review(comparison, shown)
    assert [(one.a, one.b, one.a_better) for one in found.comparisons] == [
        ("tuned", "prompt", 20),
        ("base", "ckpt-step-4", 3),
    ]
    assert (found.labels, found.rows, found.reviewers) == (23, 10, 2)
    assert found.comparisons[0].rows == 10
    assert found.position is not None
    assert (found.position.first, found.position.second) == (13, 10)
    assert "people_favor_position" not in [one.code for one in found.statements]
    assert found.agreement is not None
    assert found.agreement.pairs == 20, "the metric has no score of that checkpoint"


def test_two_labels_of_a_row_are_not_two_independent_rows():
    comparison = compared(rows=10)
    winners = ["tuned", "tuned", "prompt", "tuned", None] * 2
    once = review(comparison, labels(comparison, winners))
    twice = review(comparison, labels(comparison, winners) + labels(comparison, winners, who="ben"))
    assert once.comparisons[0].win_rate == twice.comparisons[0].win_rate


@pytest.mark.parametrize(
    ("gain", "agreements", "code"),
    [
        (0.3, 12, "people_agree_with_metric"),
        (-0.3, 0, "people_may_disagree_with_metric"),
        (0.0, 6, "people_may_disagree_with_metric"),
    ],
)
def test_the_metric_may_disagree_or_not_decide(gain, agreements, code):
    comparison = compared(12, gain)
    found = review(comparison, labels(comparison, ["tuned"] * 12))
    assert found.agreement is not None
    assert found.agreement.agreements == agreements
    assert code in [one.code for one in found.statements]


def test_nothing_is_concluded_from_ties_or_from_no_labels():
    comparison = compared()
    ties = review(comparison, labels(comparison, [None] * 5))
    assert (ties.agreement, ties.position) == (None, None)
    assert [one.code for one in ties.statements] == ["people_compared"]
    none = review(comparison, [])
    assert (none.labels, none.comparisons, none.statements) == (0, [], [])


def test_wilson_interval_is_that_of_the_literature():
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
