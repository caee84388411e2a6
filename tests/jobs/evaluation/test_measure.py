"""Rules of an evaluation that need no engine: columns, scores, and the choice of checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from service.grading.examples import examples_of
from service.grading.sandbox.sandbox import Sandbox
from service.jobs.evaluation.checkpoints import choose_checkpoints
from service.jobs.evaluation.columns import answer_limit, is_base_verified
from service.jobs.evaluation.scoring import Scoring
from service.jobs.records import CheckpointRecord
from service.verdict.comparison import Answer

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
    assert is_base_verified(parity) is is_base


@pytest.mark.parametrize(
    ("references", "limit"),
    [
        ([], 32),
        (["Yes."], 32),
        (["x" * 250], 150),
        (["x" * 100_000], 512),
        (["ท" * 100], 180),
        ([f"<think>{'x' * 240}</think>{'y' * 10}"], 150),
    ],
)
def test_answers_may_be_longer_than_the_references(references, limit):
    assert answer_limit(examples_of([chat("a", text) for text in references])) == limit


def chat(question: str, answer: str) -> dict[str, Any]:
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
    found = bad.scores[primary]
    assert found is not None
    assert found < 0.5
    assert missing == failed
    if primary == "label":
        assert (good.passed, bad.passed) == (True, False)


TOOL = {"type": "function", "function": {"name": "ship", "parameters": {"type": "object"}}}


def call(city: str) -> dict[str, Any]:
    function = {"name": "ship", "arguments": f'{{"to": "{city}"}}'}
    return {"id": "c", "type": "function", "function": function}


async def test_rows_with_tools_are_scored_by_their_calls_and_others_by_their_text():
    called = [
        {
            "messages": [
                {"role": "user", "content": f"Ship to room {i}"},
                {"role": "assistant", "content": None, "tool_calls": [call(f"room {i}")]},
            ],
            "tools": [TOOL],
        }
        for i in range(4)
    ]
    said = [chat(f"Question {i}?", f"Ahoy, we ship room {i} abroad.") for i in range(3)]
    with_call, text = examples_of(called)[2], examples_of(said)[0]
    written = '<tool_call>{"name": "ship", "arguments": {"to": "room 2"}}</tool_call>'
    given = [
        Answer(text="", tool_calls=[call("room 2")]),
        Answer(text=written),  # no parser, or the prompt shows calls in another form
        Answer(text="", tool_calls=[call("room 3")]),
        Answer(text="I do not know."),
    ]
    async with Sandbox() as sandbox:
        scoring = Scoring([*called, *said], sandbox)
        scored = await scoring.score(given, [with_call] * 4)
        (other,) = await scoring.score([Answer(text=text.answer)], [text])
    assert scoring.primary == "tool_call"
    assert [answer.scores for answer in scored] == [{"tool_call": s} for s in (1.0, 1.0, 0.5, 0.0)]
    assert other.scores == {"chrf": pytest.approx(1.0)}


def record(step: int, loss: float | None) -> CheckpointRecord:
    return CheckpointRecord(
        id=f"ftckpt_{step}",
        project_id="proj_a",
        created_at=1,
        job_id="ftjob-a",
        attempt=1,
        step=step,
        model=f"m:ckpt-step-{step}",
        adapter="",
        state="",
        metrics={"step": step, "valid_loss": loss},
    )


LOSSES = {10: 1.2, 20: 1.0, 30: 1.1, 40: 1.3, 50: 1.4}


@pytest.mark.parametrize(
    ("losses", "kept_best", "most", "steps"),
    [
        (LOSSES, False, 2, [20, 40]),
        (LOSSES, False, 1, [20]),
        (LOSSES, False, 9, [10, 20, 30, 40]),
        (LOSSES, False, 0, []),
        (LOSSES, True, 2, [30, 40]),  # the final model has the weights of step 20
        (dict.fromkeys(LOSSES), False, 2, [30, 40]),
        ({50: 1.0}, False, 2, []),
        ({}, False, 2, []),
    ],
)
def test_the_best_and_the_newest_checkpoints_are_evaluated(losses, kept_best, most, steps):
    records = [record(step, loss) for step, loss in losses.items()]
    found = choose_checkpoints(records, final_step=50, kept_best=kept_best, most=most)
    assert [checkpoint.step for checkpoint in found] == steps
