"""Comparisons: JSON both ways, and refusal of inconsistent ones."""

from typing import Any

import msgspec
import pytest

from service.verdict.comparison import (
    Answer,
    Column,
    Comparison,
    Forgetting,
    LanguageForgetting,
    LeakedRow,
    Memorization,
    Metric,
    Retrieval,
    Row,
)


def comparison(**changes: object) -> Comparison:
    given: dict[str, Any] = {
        "job_id": "ftjob-1",
        "model": "ft:demo:acme::1",
        "base_model": "demo",
        "created_at": 1_790_000_000,
        "columns": [
            Column(name="base", model="demo", loss=2.5),
            Column(name="tuned", model="ft:demo:acme::1"),
            Column(name="ckpt-step-20", model="ft:demo:acme::1:ckpt-step-20", step=20),
            Column(name="ckpt-step-8", model="ft:demo:acme::1:ckpt-step-8", step=8),
        ],
        "metrics": [
            Metric(name="exact", kind="binary"),
            Metric(name="chrf", kind="continuous", primary=True),
        ],
        "rows": [
            Row(
                line=3,
                prompt=[{"role": "user", "content": "สวัสดี"}],
                reference="สวัสดีครับ",
                cluster="c1",
                language="th",
                answers={
                    "base": Answer(text="", error="timeout"),
                    "tuned": Answer(text="สวัสดีครับ", scores={"chrf": 1.0}, passed=True),
                },
            )
        ],
    }
    return Comparison(**{**given, **changes})


def test_a_comparison_survives_json():
    whole = comparison(
        forgetting=Forgetting(
            languages=[LanguageForgetting(language="th", rows=8, base=0.5, tuned=0.4)],
            rows=8,
            change=-0.1,
            low=-0.2,
            high=0.01,
        ),
        memorization=Memorization(
            canaries_planted=4,
            canaries_returned=1,
            rows_probed=50,
            verbatim=2,
            near=3,
            personal=[LeakedRow(line=7, kinds=["email"])],
        ),
        retrieval=Retrieval(
            rows=1, facts=1, found=0, seen_rows=9, seen_right=9, unseen_rows=1, unseen_right=0
        ),
    )
    assert Comparison.from_json(whole.to_json()) == whole
    assert whole.memorization
    assert whole.memorization.returned == 6


def test_checkpoints_are_ordered_by_step():
    assert [c.name for c in comparison().checkpoints] == ["ckpt-step-8", "ckpt-step-20"]
    assert comparison().primary.name == "chrf"
    base = comparison().column("base")
    assert base is not None
    assert base.loss == 2.5
    assert comparison().column("prompt") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": []}, "exactly one metric must be primary, but 0 are"),
        (
            {"metrics": [Metric(name=n, kind="binary", primary=True) for n in "ab"]},
            "exactly one metric must be primary, but 2 are",
        ),
        (
            {"columns": [Column(name="base", model="demo")] * 2},
            "two columns are named 'base'",
        ),
        (
            {"columns": [Column(name="base", model="demo")]},
            "row 1 has an answer of an unknown column: tuned",
        ),
    ],
)
def test_inconsistent_comparisons_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        comparison(**changes)
    raw = msgspec.to_builtins(comparison()) | msgspec.to_builtins(changes)
    with pytest.raises(msgspec.ValidationError, match=message):
        Comparison.from_json(msgspec.json.encode(raw))


def test_a_newer_comparison_with_unknown_fields_is_read():
    raw = msgspec.to_builtins(comparison()) | {"new_field": 1}
    assert Comparison.from_json(msgspec.json.encode(raw)) == comparison()


def test_a_score_that_is_not_a_number_does_not_spoil_the_json():
    row = Row(
        prompt=[],
        reference="",
        cluster="c",
        answers={"base": Answer(text="", scores={"chrf": float("nan"), "exact": 1.0})},
    )
    read = Comparison.from_json(comparison(rows=[row]).to_json())
    assert read.rows[0].answers["base"].scores == {"chrf": None, "exact": 1.0}
