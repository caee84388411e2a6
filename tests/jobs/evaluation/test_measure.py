"""Rules of an evaluation that need no engine."""

from __future__ import annotations

import pytest

from service.evaluation.comparison import Answer
from service.evaluation.examples import examples_of
from service.grading.sandbox.sandbox import Sandbox
from service.jobs.evaluation.columns import answer_limit
from service.jobs.evaluation.measure import _is_base
from service.jobs.evaluation.scoring import Scoring

GOOD = {"trainer_move": 2.69, "engine_move": 2.46, "base_gap": 0.8, "followed": 0.94}


@pytest.mark.parametrize(
    ("parity", "is_base"),
    [
        (GOOD, True),
        (None, False),
        ({**GOOD, "followed": 0.02}, False),  # the base model was served with the adapter
        ({**GOOD, "base_gap": 3.1}, False),  # another base model
    ],
)
def test_the_base_column_is_verified_by_the_trainers_scores(parity, is_base):
    assert _is_base(parity) is is_base


@pytest.mark.parametrize(
    ("references", "limit"),
    [([], 32), (["Yes."], 32), (["x" * 250], 150), (["x" * 100_000], 512), (["ท" * 100], 180)],
)
def test_answers_may_be_longer_than_the_references(references, limit):
    assert answer_limit(references) == limit


def chat(question: str, answer: str) -> dict:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages}


@pytest.mark.parametrize(
    ("answers", "right", "wrong", "primary"),
    [
        (["billing", "refund", "other"] * 8, "Refund.", "I think it is a refund", "label"),
        (['{"city": "Oslo"}', '{"city": "Bern"}'] * 8, '{"city":"Bern"}', "Bern", "json"),
        ([f"Ahoy, we ship room {i} abroad." for i in range(24)], None, "No.", "chrf"),
    ],
)
async def test_graders_fit_the_answers(answers, right, wrong, primary):
    rows = [chat(f"Question {i}?", answer) for i, answer in enumerate(answers)]
    example = examples_of(rows)[1]
    async with Sandbox() as sandbox:
        scoring = Scoring(rows, sandbox)
        given = [Answer(text=right or example.answer), Answer(text=wrong)]
        failed = Answer(text="", error="engine_error")
        good, bad, missing = await scoring.score([*given, failed], [example] * 3)
    assert scoring.primary == primary
    assert [metric.primary for metric in scoring.metrics][:1] == [True]
    assert good.scores[primary] == pytest.approx(1.0)
    assert bad.scores[primary] < 0.5
    assert missing == failed
    if primary == "label":
        assert (good.passed, bad.passed) == (True, False)
