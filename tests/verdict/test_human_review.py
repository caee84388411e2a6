"""Tests of what people's labels say together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.verdict.comparison import Comparison, Forgetting, LeakedRow, Memorization
from service.verdict.human_review import (
    LabeledPair,
    krippendorff_alpha,
    majorities,
    reliability,
    review,
    weigh,
)
from service.verdict.intervals import wilson_interval
from service.verdict.results import Statement, Verdict
from service.verdict.statements import write
from service.verdict.verdict import judge
from tests.verdict.build import build

TUNED_FIRST, PROMPT_FIRST = ("tuned", "prompt"), ("prompt", "tuned")


def compared(rows: int = 30, gain: float = 0.3) -> Comparison:
    """A comparison of which the metric prefers the tuned model on each row."""
    return build({"base": [0.2] * rows, "prompt": [0.4] * rows, "tuned": [0.4 + gain] * rows})


def labels(comparison: Comparison, winners: Sequence[str | None], order=TUNED_FIRST, who="ann"):
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
    assert found.agreement.pairs == 10, "a row counts once; the metric does not know the checkpoint"


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
        (-0.3, 0, "people_contradict_metric"),
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


def test_alpha_is_that_of_the_literature():
    # Three observers, Krippendorff, Content Analysis, 2004; also in Wikipedia, "Krippendorff's
    # alpha": 0.811 on an interval scale. Units with fewer than two values do not count.
    units = [
        *([1], [], [2, 2], [1, 1], [3, 3], [3, 3, 4], [4, 4, 4], [1, 3], [2, 2], [1, 1]),
        *([1, 1], [3, 3], [3, 3], [], [3, 4]),
    ]
    assert krippendorff_alpha(units) == pytest.approx(0.811, abs=5e-4)
    # Four observers, Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011: 0.849.
    units = [
        *([1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4]),
        *([4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1], [3]),
    ]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_three_reviewers_is_that_calculated_by_hand():
    """Distances are 1 for opposite preferences and 1/4 for a tie and a preference.

    Observed: 0, 2/3, 0 and 1/6 in the four rows, 5/24 on average. Expected, with each row in both
    orders: 11 labels for each column and 2 ties, so (2 * 121 + 2 * 44 / 4) / (24 * 23) = 11/23.
    """
    comparison = compared(5)
    found = reliability(
        [
            *labels(comparison, ["tuned", "tuned", "prompt", "tuned", "tuned"], who="ann"),
            *labels(comparison, ["tuned", "tuned", "prompt", None], PROMPT_FIRST, who="ben"),
            *labels(comparison, ["tuned", "prompt", "prompt", "tuned"], who="cho"),
        ]
    )
    assert found is not None
    assert found.alpha == pytest.approx(1 - (5 / 24) / (11 / 23), abs=1e-6)
    assert found.low < found.alpha < found.high
    assert (found.rows, found.disputed) == (4, 2), "the fifth row has one label"


def test_reviewers_who_always_prefer_the_same_model_agree():
    """Alpha of the columns as categories would be undefined: nobody knows them."""
    comparison = compared()
    found = review(comparison, [*everyone(comparison, ["tuned"] * 30)])
    [one] = found.comparisons
    assert one.reliability is not None
    assert (one.reliability.alpha, one.reliability.disputed) == (1, 0)
    assert 0.7 < one.reliability.low < 1, "30 rows do not exclude some disagreement"
    assert "reviewers_agree_well" in [statement.code for statement in found.statements]
    assert (
        "Reviewers agree well about tuned and the best prompt (alpha 1.00 [0." in found.sentences[1]
    )


@pytest.mark.parametrize(
    ("others", "code"),
    [
        (["tuned", "prompt"] * 10 + ["tuned"] * 10, "reviewers_agree_well"),
        (
            ["prompt", "tuned"] * 2 + ["tuned", "prompt"] * 8 + ["tuned"] * 10,
            "reviewers_agree_tentatively",
        ),
        (["prompt", "tuned"] * 10 + ["tuned"] * 10, "reviewers_disagree"),
        (["tuned", "prompt"], "agreement_may_be_chance"),
        ([], "reviewers_not_compared"),
        ([None] * 2, "reviewers_disagree"),
    ],
)
def test_what_is_said_about_reviewers(others, code):
    comparison = compared()
    mixed: list[str | None] = [*["tuned", "prompt"] * 10, *["tuned"] * 10]
    pairs = [*labels(comparison, mixed), *labels(comparison, others, PROMPT_FIRST, "ben")]
    if not others:
        pairs += labels(comparison, ["base"], ("base", "tuned"), "ben")
    said = [one.code for one in review(comparison, pairs).statements]
    assert next(one for one in said if "agree" in one or "reviewers" in one) == code


def test_a_row_counts_once_however_many_people_labeled_it():
    comparison = compared(4)
    pairs = [
        *labels(comparison, ["tuned", "tuned", "tuned", None]),
        *labels(comparison, ["tuned", "prompt", "prompt", None], who="ben"),
        *labels(comparison, ["prompt", None, "prompt"], who="cho"),
    ]
    assert [(one.row.line, one.winner) for one in majorities(pairs)] == [
        (1, "tuned"),
        (3, "prompt"),
    ]


def everyone(comparison: Comparison, winners: Sequence[str | None], rival: str = "prompt"):
    """Labels of two people who agree on all rows."""
    for who, order in (("ann", ("tuned", rival)), ("ben", (rival, "tuned"))):
        yield from labels(comparison, winners, order, who)


def is_written_from_codes(verdict: Verdict) -> bool:
    assert verdict.recommendation_details is not None
    return (
        write(Statement(verdict.code, verdict.figures)) == verdict.sentence
        and write(verdict.recommendation_details) == verdict.recommendation
        and list(map(write, verdict.reason_details)) == verdict.reasons
        and list(map(write, verdict.warning_details)) == verdict.warnings
    )


def test_a_model_that_people_do_not_prefer_is_not_to_be_served():
    comparison = compared()
    verdict = judge(comparison)
    assert verdict.kind == "serve"
    found = weigh(verdict, review(comparison, [*everyone(comparison, ["prompt"] * 30)]))
    assert found.kind == "disputed"
    assert found.sentence.startswith(
        "People disagree with the measure: tuned minus the best prompt is 30 chrF ["
    )
    assert (
        "but they preferred the best prompt in 100% [88, 100] of 60 comparisons" in found.sentence
    )
    assert "agree with each other (alpha 1.00 [0." in found.sentence
    assert "Serve" not in found.sentence + found.recommendation
    assert found.differences == verdict.differences
    assert is_written_from_codes(found)


def test_a_preference_for_the_served_model_is_a_reason():
    comparison = compared()
    verdict = judge(comparison)
    found = weigh(verdict, review(comparison, [*everyone(comparison, ["tuned"] * 30)]))
    assert (found.kind, found.sentence) == ("serve", verdict.sentence)
    [reason] = found.reasons
    assert reason.startswith("People preferred tuned to the best prompt in 100% [88, 100] of 60")
    assert is_written_from_codes(found)


@pytest.mark.parametrize("people", ["one", "differ"])
def test_labels_do_not_count_until_reviewers_agree(people):
    comparison = compared()
    pairs = labels(comparison, ["prompt"] * 30)
    if people == "differ":
        pairs += labels(comparison, ["tuned", "prompt", "prompt"] * 10, PROMPT_FIRST, "ben")
    verdict = judge(comparison)
    found = weigh(verdict, review(comparison, pairs))
    assert (found.kind, found.sentence) == ("serve", verdict.sentence)
    assert found.reasons == []
    [warning] = found.warnings
    assert "which does not change the verdict until reviewers agree" in warning
    assert ("alpha" in warning) == (people == "differ")
    assert is_written_from_codes(found)


def test_too_few_labels_change_nothing():
    comparison = compared()
    verdict = judge(comparison)
    for winners in (["prompt"] * 19, ["prompt", "tuned"] * 15, [None] * 30):
        assert weigh(verdict, review(comparison, [*everyone(comparison, winners)])) == verdict


@pytest.mark.parametrize(
    ("scores", "kind", "rival"),
    [
        ({"base": 0.4, "prompt": 0.6, "tuned": 0.6}, "prompt", "prompt"),
        ({"base": 0.6, "tuned": 0.6}, "no_gain", "base"),
        ({"base": 0.6, "tuned": 0.4}, "worse", "base"),
        ({"base": 1.0, "tuned": 1.0}, "solved_already", "base"),
        ({"base": 0.4, "prompt": 1.0, "tuned": 1.0}, "solved_already", "prompt"),
    ],
)
def test_people_may_see_a_gain_that_the_measure_does_not(scores, kind, rival):
    comparison = build({name: [value] * 30 for name, value in scores.items()})
    verdict = judge(comparison)
    assert verdict.kind == kind
    preferred = review(comparison, [*everyone(comparison, ["tuned"] * 30, rival)])
    found = weigh(verdict, preferred)
    assert found.kind == "disputed"
    assert found.figures["people"]["column"] == "tuned"
    same = review(comparison, [*everyone(comparison, [rival] * 30, rival)])
    assert weigh(verdict, same).kind == kind
    assert len(weigh(verdict, same).reasons) == 1


def test_risks_stay_when_people_disagree():
    leaks = Memorization(rows_probed=50, personal=[LeakedRow(line=1, kinds=["email"])])
    lost = Forgetting(languages=[], rows=60, change=-0.2, low=-0.3, high=-0.1)
    scores = {"base": [0.2] * 30, "prompt": [0.4] * 30, "tuned": [0.7] * 30}
    for kind, fields in (("memorized", {"memorization": leaks}), ("forgot", {"forgetting": lost})):
        comparison = build(scores, **fields)
        verdict = judge(comparison)
        assert verdict.kind == kind
        found = weigh(verdict, review(comparison, [*everyone(comparison, ["prompt"] * 30)]))
        if kind == "memorized":
            assert (found.kind, len(found.reasons)) == ("memorized", 1)
        else:
            assert found.kind == "disputed"
            assert [one.code for one in found.warning_details] == ["lost_general_abilities"]
        assert is_written_from_codes(found)


def test_wilson_interval_is_that_of_the_literature():
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
