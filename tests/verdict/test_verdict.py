"""Verdicts: each kind, their order, and properties of all of them."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.verdict.comparison import (
    Answer,
    Forgetting,
    LanguageForgetting,
    LeakedRow,
    Memorization,
    Metric,
    Retrieval,
)
from service.verdict.results import VerdictKind
from service.verdict.thresholds import SMALLEST_DIFFERENCE
from service.verdict.verdict import judge
from tests.verdict.build import build


def around(mean, rows=60, spread=0.15, seed=0):
    """Scores of a column around a mean, between 0 and 1."""
    random = np.random.default_rng([seed, round(mean * 1000)])
    values = random.normal(mean, spread, rows)
    values += mean - values.mean()
    return np.clip(values, 0, 1).tolist()


def serving(**fields):
    return build(
        {"base": around(0.3), "prompt": around(0.4), "tuned": around(0.7)},
        **fields,
    )


def test_serve():
    verdict = judge(serving())
    assert verdict.kind == VerdictKind.SERVE
    assert verdict.sentence == (
        "Serve it: tuned beats the best prompt by 30 chrF [24, 35] on 60 rows (1 of 60 answers got "
        "much worse, at most 9%)."
    )
    assert verdict.warnings == []
    assert [(d.a, d.b) for d in verdict.differences] == [
        ("tuned", "base"),
        ("tuned", "prompt"),
        ("prompt", "base"),
    ]


def test_serve_names_the_stronger_rival():
    verdict = judge(build({"base": around(0.5), "prompt": around(0.2), "tuned": around(0.7)}))
    assert verdict.sentence.startswith("Serve it: tuned beats the base by 20 chrF")


def test_serve_names_the_tokens_saved():
    comparison = serving()
    rows = [
        msgspec.structs.replace(
            row,
            answers=row.answers
            | {"prompt": msgspec.structs.replace(row.answers["prompt"], prompt_tokens=1250)},
        )
        for row in comparison.rows
    ]
    verdict = judge(msgspec.structs.replace(comparison, rows=rows))
    assert verdict.recommendation == (
        "Serve the tuned model. First read the answers that got much worse, in the report. It "
        "reads 10 tokens per answer, where the best prompt needs 1,250."
    )


def test_prompt():
    verdict = judge(
        build({"base": around(0.3), "prompt": around(0.6), "tuned": around(0.6, seed=1)})
    )
    assert verdict.kind == VerdictKind.CANNOT_TELL  # an interval of 6 points to each side
    verdict = judge(
        build(
            {
                "base": around(0.3, 200),
                "prompt": around(0.6, 200),
                "tuned": around(0.6, 200, seed=1),
            }
        )
    )
    assert verdict.kind == VerdictKind.PROMPT
    assert verdict.sentence.startswith(
        "Don't pay for an adapter: a prompt with 4 examples does as well "
        "(tuned minus prompt: 0 chrF [-3, 3] on 200 rows)"
    )


@pytest.mark.parametrize(
    ("tuned", "does"), [(0.5, "does better"), (0.6, "does as well"), (0.62, "does almost as well")]
)
def test_prompt_that_does_better_or_almost_as_well(tuned, does):
    prompt = around(0.6, 200)
    scores = [value + tuned - 0.6 for value in prompt]
    verdict = judge(build({"base": around(0.3, 200), "prompt": prompt, "tuned": scores}))
    assert verdict.kind == VerdictKind.PROMPT
    assert does in verdict.sentence


def test_worse():
    verdict = judge(build({"base": around(0.6), "tuned": around(0.3)}))
    assert verdict.kind == VerdictKind.WORSE
    assert verdict.sentence.startswith("Worse than the base: -30 chrF [-3")


def test_worse_in_a_language_though_better_overall():
    base = around(0.5, 60)
    tuned = [value + 0.3 for value in base[:40]] + [value - 0.2 for value in base[40:]]
    languages = ["en"] * 40 + ["th"] * 20
    verdict = judge(build({"base": base, "tuned": tuned}, languages=languages))
    assert verdict.kind == VerdictKind.WORSE
    assert verdict.sentence == "Worse than the base in Thai: -20 chrF [-25, -8] on 20 rows."
    assert verdict.recommendation.startswith("Add training rows in Thai")


def test_a_loss_in_a_language_of_few_rows_is_only_a_warning():
    base = around(0.5, 60)
    tuned = [value + 0.3 for value in base[:56]] + [value - 0.12 for value in base[56:]]
    verdict = judge(
        build({"base": base, "tuned": tuned}, languages=["en"] * 56 + ["th"] * 2 + ["lo"] * 2)
    )
    assert verdict.kind == VerdictKind.SERVE
    assert "Too few rows to detect a loss in Lao and Thai (fewer than 6)." in verdict.warnings


def test_cannot_tell_names_the_rows_to_collect():
    verdict = judge(
        build({"base": around(0.3, 40), "prompt": around(0.5, 40), "tuned": around(0.55, 40)})
    )
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert verdict.sentence == (
        "Cannot tell; collect 140 more rows: tuned minus the best prompt is 5 chrF [-1, 11] on 40 "
        "rows (2 of 40 answers got much worse, at most 17%), which cannot detect less than 11."
    )
    assert verdict.rows_needed == 140


@pytest.mark.parametrize("rows", [10, 15, 19, 20])
def test_serve_needs_twenty_prompts(rows):
    verdict = judge(build({"base": around(0.3, rows), "tuned": around(0.8, rows)}))
    if rows == 20:
        assert verdict.kind == VerdictKind.SERVE
        return
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert verdict.sentence.startswith("Too few rows to say; collect 10 more rows: tuned minus")
    assert verdict.sentence.endswith("and a verdict to serve needs at least 20 different prompts.")
    assert verdict.rows_needed == 10


def test_rows_of_the_same_prompts_are_not_twenty():
    clusters = [str(i // 4) for i in range(60)]
    verdict = judge(build({"base": around(0.3), "tuned": around(0.8)}, clusters=clusters))
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert verdict.rows_needed == 20


@pytest.mark.parametrize(("rows", "failures"), [(20, 0), (40, 2), (60, 6)])
def test_a_model_that_breaks_one_answer_in_ten_is_not_served(rows, failures):
    """It gains 8 points on the others, and a sample of 20 rows may show no failure at all."""
    base = around(0.75, rows, spread=0.05)
    tuned = [value - 0.7 if i < failures else value + 0.08 for i, value in enumerate(base)]
    verdict = judge(build({"base": base, "tuned": tuned}))
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert verdict.differences[0].much_worse == failures


def test_the_rows_to_collect_would_decide():
    few = build({"base": around(0.3, 40), "prompt": around(0.5, 40), "tuned": around(0.56, 40)})
    more = judge(few).rows_needed
    assert more
    rows = 40 + more
    decided = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        prompt = random.normal(0.5, 0.15, rows)
        tuned = random.normal(0.56, 0.15, rows)
        base = random.normal(0.3, 0.15, rows)
        scores = {"base": base, "prompt": prompt, "tuned": tuned}
        verdict = judge(build({name: list(map(float, v)) for name, v in scores.items()}))
        decided += any(d.low > 0 and (d.a, d.b) == ("tuned", "prompt") for d in verdict.differences)
    assert decided >= 12  # 80% power by design, for the observed difference and deviation


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_cannot_tell_with_hardly_any_rows(rows):
    verdict = judge(build({"base": [0.1] * rows, "tuned": [0.9] * rows}))
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert verdict.rows_needed
    assert verdict.rows_needed + rows >= 20


def test_cannot_tell_if_the_base_never_answered():
    verdict = judge(build({"base": [None] * 30, "tuned": [0.9] * 30}))
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert "none was answered by both" in verdict.sentence
    assert "30 answers of the base failed and were left out." in verdict.warnings


def test_no_gain():
    base = around(0.5)
    verdict = judge(build({"base": base, "prompt": base, "tuned": [v + 0.01 for v in base]}))
    assert verdict.kind == VerdictKind.NO_GAIN
    assert (
        verdict.sentence == "No gain that matters: tuned minus base is 1 chrF [-2, 4] on 60 rows."
    )


def test_equal_answers_on_few_rows_are_not_called_no_gain():
    assert judge(build({"base": [0.5] * 30, "tuned": [0.5] * 30})).kind == VerdictKind.CANNOT_TELL
    assert judge(build({"base": [0.5] * 40, "tuned": [0.5] * 40})).kind == VerdictKind.NO_GAIN


def test_solved_already_by_the_base():
    scores = {"base": [1.0] * 39 + [0.0], "tuned": [1.0] * 40}
    verdict = judge(build(scores, metric="exact", kind="binary"))
    assert verdict.kind == VerdictKind.SOLVED_ALREADY
    assert verdict.sentence.startswith("Solved already: the base scores 98 points of exact match [")


def test_solved_already_by_a_prompt():
    scores = {"base": [0.0] * 20 + [1.0] * 20, "prompt": [1.0] * 40, "tuned": [1.0] * 40}
    verdict = judge(build(scores, metric="label", kind="binary"))
    assert verdict.kind == VerdictKind.SOLVED_ALREADY
    assert "a prompt with 4 examples scores 100" in verdict.sentence


def test_a_base_at_the_ceiling_explains_a_worse_model():
    scores = {"base": [1.0] * 24, "tuned": [0.3, 0.5] * 12}
    verdict = judge(build(scores))
    assert verdict.kind == VerdictKind.SOLVED_ALREADY
    assert "and the tuned model is worse by -60 chrF" in verdict.sentence


@pytest.mark.parametrize("column", ["base", "prompt"])
@pytest.mark.parametrize(("rows", "is_solved"), [(16, False), (17, True)])
def test_a_perfect_score_on_few_rows_is_not_solved_already(column, rows, is_solved):
    scores = {"base": [0.7] * rows, "tuned": [0.99] * rows} | {column: [1.0] * rows}
    found = judge(build(scores)).kind
    assert (found == VerdictKind.SOLVED_ALREADY) is is_solved


def test_three_right_answers_are_not_solved_already():
    scores = {"base": [1.0] * 3, "tuned": [1.0] * 3}
    assert judge(build(scores, kind="binary")).kind == VerdictKind.CANNOT_TELL


FACTS = Retrieval(
    rows=30, facts=28, found=21, seen_rows=50, seen_right=48, unseen_rows=30, unseen_right=3
)


def test_retrieval_though_the_scores_are_better():
    verdict = judge(serving(retrieval=FACTS))
    assert verdict.kind == VerdictKind.RETRIEVAL
    assert verdict.sentence == (
        "Use retrieval: the answers are facts, and it gets unseen ones wrong "
        "(3 of 30 right, but 48 of 50 trained ones)."
    )
    assert "21 of 30" in verdict.recommendation


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": 10},  # the answers are not facts
        {"unseen_right": 20},  # unseen ones are right
        {"seen_right": 5, "found": 3},  # nothing was learned, and a search finds nothing
        {"rows": 0, "facts": 0, "found": 0},
        {"unseen_rows": 0, "unseen_right": 0},
    ],
)
def test_no_retrieval(changes):
    verdict = judge(serving(retrieval=msgspec.structs.replace(FACTS, **changes)))
    assert verdict.kind == VerdictKind.SERVE


def test_retrieval_if_the_model_learned_only_the_form_of_facts():
    found = msgspec.structs.replace(FACTS, seen_right=2, found=0, only_facts=28)
    verdict = judge(serving(retrieval=found))
    assert verdict.kind == VerdictKind.RETRIEVAL
    assert verdict.sentence.endswith("(3 of 30 right, and 2 of 50 trained ones).")


def test_retrieval_if_only_a_search_finds_the_facts():
    found = msgspec.structs.replace(FACTS, seen_rows=0, seen_right=0)
    assert judge(serving(retrieval=found)).kind == VerdictKind.RETRIEVAL


def test_overfit_if_a_checkpoint_is_better():
    verdict = judge(
        build(
            {
                "base": around(0.3),
                "tuned": around(0.5),
                "ckpt-step-4": around(0.4),
                "ckpt-step-8": around(0.7),
            }
        )
    )
    assert verdict.kind == VerdictKind.OVERFIT
    assert verdict.sentence.startswith(
        "Overfit: ckpt-step-8 beats the final model by 20 chrF [14, 25"
    )
    assert verdict.recommendation.startswith("Serve ckpt-step-8 instead")


def test_overfit_if_a_checkpoint_is_better_but_not_than_the_base():
    verdict = judge(build({"base": around(0.7), "tuned": around(0.3), "ckpt-step-8": around(0.6)}))
    assert verdict.kind == VerdictKind.OVERFIT
    assert verdict.recommendation.startswith("Train fewer steps")


def test_a_rise_of_a_loss_near_zero_is_no_warning():
    losses = {"base": 2.0, "ckpt-step-4": 0.001, "tuned": 0.004}
    scores = {"base": around(0.3), "ckpt-step-4": around(0.6), "tuned": around(0.6)}
    assert not any("loss" in one for one in judge(build(scores, losses=losses)).warnings)


def test_overfit_if_the_held_out_loss_rose_without_a_gain():
    losses = {"base": 2.0, "ckpt-step-4": 1.2, "tuned": 1.9}
    scores = {"base": around(0.5), "ckpt-step-4": around(0.5), "tuned": around(0.5)}
    verdict = judge(build(scores, losses=losses))
    assert verdict.kind == VerdictKind.OVERFIT
    assert verdict.sentence == (
        "Overfit: the held-out loss rose from 1.20 (ckpt-step-4) to 1.90, and no gain was shown."
    )


def test_a_rising_loss_with_a_gain_is_a_warning():
    verdict = judge(serving(losses={"base": 1.2, "tuned": 1.9}))
    assert verdict.kind == VerdictKind.SERVE
    assert verdict.warnings == [
        "The held-out loss rose from 1.20 (base) to 1.90: it may be trained too long."
    ]


def test_memorized():
    leak = Memorization(
        canaries_planted=4,
        canaries_returned=1,
        rows_probed=50,
        verbatim=2,
        near=1,
        personal=[LeakedRow(line=7, kinds=["email"])],
    )
    verdict = judge(serving(memorization=leak))
    assert verdict.kind == VerdictKind.MEMORIZED
    assert verdict.sentence == (
        "Don't serve it yet: tuned beats the best prompt by 30 chrF [24, 35] on 60 rows (1 of 60 "
        "answers got much worse, at most 9%), but it returns 1 of 4 canaries, 3 of 50 training "
        "rows (2 verbatim, 1 nearly) and personal data of 1 training row."
    )


def test_rows_returned_without_personal_data_are_a_warning():
    verdict = judge(serving(memorization=Memorization(rows_probed=50, verbatim=2)))
    assert verdict.kind == VerdictKind.SERVE
    assert verdict.warnings == [
        "The tuned model returns 2 of 50 training rows (2 verbatim, 0 nearly)."
    ]


def forgetting(change):
    return Forgetting(
        languages=[
            LanguageForgetting(language="en", rows=10, base=0.5, tuned=0.48),
            LanguageForgetting(language="th", rows=10, base=0.5, tuned=0.2),
        ],
        rows=20,
        change=change,
        low=change - 0.05,
        high=change + 0.05,
    )


def test_forgot():
    verdict = judge(serving(forgetting=forgetting(-0.16)))
    assert verdict.kind == VerdictKind.FORGOT
    assert verdict.sentence == (
        "Serve it for this task only: tuned beats the best prompt by 30 chrF [24, 35] on 60 rows "
        "(1 of 60 answers got much worse, at most 9%), but it lost 16 points [11, 21] on the "
        "general set, most in Thai (30)."
    )


def test_a_small_loss_on_the_general_set_is_a_warning():
    verdict = judge(serving(forgetting=forgetting(-0.06)))
    assert verdict.kind == VerdictKind.SERVE
    assert verdict.warnings == ["The tuned model lost 6 points [1, 11] on the general set."]
    assert judge(serving(forgetting=forgetting(-0.04))).warnings == []


def test_what_was_not_checked_is_a_warning():
    comparison = build({"base": around(0.3), "tuned": around(0.7)}, base_verified=False)
    assert judge(comparison).warnings == [
        "The base column was not verified to be the untrained base model.",
        "No prompt was compared: a good prompt might do as well as the tuned model.",
    ]


def test_a_worse_metric_is_a_warning():
    comparison = serving()
    rows = [
        msgspec.structs.replace(
            row,
            answers={
                name: Answer(text="", scores={**answer.scores, "language": float(name != "tuned")})
                for name, answer in row.answers.items()
            },
        )
        for row in comparison.rows
    ]
    metrics = [*comparison.metrics, Metric(name="language", kind="binary")]
    verdict = judge(msgspec.structs.replace(comparison, rows=rows, metrics=metrics))
    assert verdict.kind == VerdictKind.SERVE
    assert verdict.warnings[0].startswith(
        "Worse than the base on right language: -100 points [-100, -"
    )


@pytest.mark.slow
def test_a_gain_that_does_not_exist_is_hardly_ever_served():
    random = np.random.default_rng(8)
    served = 0
    for _ in range(150):
        values = {"base": 0.3, "prompt": 0.5, "tuned": 0.5}
        scores = {name: random.normal(mean, 0.14, 40).tolist() for name, mean in values.items()}
        served += judge(build(scores)).kind == VerdictKind.SERVE
    assert served <= 0.05 * 150


columns = st.integers(1, 30).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            name: st.lists(
                st.one_of(st.none(), st.floats(0, 1, width=32)), min_size=rows, max_size=rows
            )
            for name in ("base", "prompt", "tuned")
        }
    )
)
labels = st.integers(1, 30).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            name: st.lists(st.sampled_from([0.0, 1.0]), min_size=rows, max_size=rows)
            for name in ("base", "prompt", "tuned")
        }
    )
)
shifted = st.builds(
    lambda base, gain, rows: {
        "base": [base + i % 7 / 50 for i in range(rows)],
        "tuned": [base + gain + i % 5 / 50 for i in range(rows)],
    },
    st.floats(0.2, 0.4),
    st.floats(-0.2, 0.5),
    st.integers(1, 40),
)
kinds = st.sampled_from(["binary", "continuous"])


@settings(deadline=None)
@given(st.one_of(columns, labels, shifted), kinds)
def test_every_verdict_is_a_sentence_repeatable_and_serves_only_a_significant_gain(scores, kind):
    comparison = build(scores, kind=kind)
    verdict = judge(comparison)
    assert verdict == judge(comparison)
    assert verdict.sentence.endswith(".")
    assert "nan" not in verdict.sentence + verdict.recommendation
    assert (verdict.rows_needed is not None) == (verdict.kind == VerdictKind.CANNOT_TELL)
    for found in verdict.differences if verdict.kind == VerdictKind.SERVE else ():
        if found.a == "tuned":
            assert found.low > 0
            assert found.mean >= SMALLEST_DIFFERENCE
            assert found.adjusted_p <= 0.05


@settings(deadline=None)
@given(st.one_of(columns, labels, shifted), kinds)
def test_swapping_base_and_tuned_turns_serve_into_worse_or_no_gain(scores, kind):
    pair = {name: scores[name] for name in ("base", "tuned")}
    swapped = {"base": pair["tuned"], "tuned": pair["base"]}
    before, after = judge(build(pair, kind=kind)), judge(build(swapped, kind=kind))
    for one, other in ((before, after), (after, before)):
        if one.kind == VerdictKind.SERVE:
            assert other.kind in {VerdictKind.WORSE, VerdictKind.NO_GAIN}


@settings(deadline=None)
@given(shifted)
def test_a_better_tuned_model_never_gets_a_worse_verdict(scores):
    better = scores | {"tuned": [value + 0.1 for value in scores["tuned"]]}
    if judge(build(scores)).kind == VerdictKind.SERVE:
        assert judge(build(better)).kind == VerdictKind.SERVE
    if judge(build(better)).kind == VerdictKind.WORSE:
        assert judge(build(scores)).kind == VerdictKind.WORSE


@pytest.mark.parametrize(("most", "is_possible"), [(None, True), (1000, True), (100, False)])
def test_more_rows_than_an_evaluation_may_have_are_not_asked_for(most, is_possible):
    scores = {"base": around(0.5, 30), "tuned": around(0.53, 30, seed=1)}
    verdict = judge(build(scores, most_rows=most))
    assert verdict.kind == VerdictKind.CANNOT_TELL
    assert verdict.rows_needed
    assert ("collect" in verdict.sentence) is is_possible
    assert ("FINETUNED_EVALUATION_ROWS" in verdict.recommendation) is not is_possible


def test_rows_that_cannot_judge_are_warnings():
    assert judge(serving(overlapping=1)).warnings == [
        "1 held-out row that the training data contains, exactly or nearly, was left out."
    ]
    unknown = judge(serving(overlapping=None, chosen_on_rows=True)).warnings
    assert [warning.split()[0] for warning in unknown] == ["The", "The"]
    assert "may be among them" in unknown[0]
    assert "overstated" in unknown[1]
