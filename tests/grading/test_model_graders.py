"""Graders that ask a judge, with prepared answers. A real judge runs in tests/evals."""

from __future__ import annotations

from typing import Any

import pytest

from service.grading.model_graders import JudgeFailed, pairwise
from service.grading.results import LabelPair
from tests.grading.test_schemas import LABEL, SCORE
from tests.grading.tools import Answers, graded

ITEM = {"q": "How was it?"}
REFUSAL = JudgeFailed("model_grader_refusal_error", "The model refused.")


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"result": "good"}', 1.0),
        ('{"result": "bad"}', 0.0),
        ('```json\n{"result": "Good"}\n```', 1.0),
        ('<think>{"result": "bad"}</think>{"result": "good"}', 1.0),
        ("Good.", 1.0),
    ],
)
async def test_label_model(answer: str, score: float) -> None:
    judge = Answers(answer)
    result = await graded(LABEL, ITEM, "x", judge)
    assert (result.score, result.passed, result.errors) == (score, score == 1, ())
    assert result.sample == {"output_text": answer, "model": "m"}
    assert result.tokens == {"m": 10}
    (request,) = judge.requests
    assert request["temperature"] == 0
    schema = request["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"result": {"type": "string", "enum": ["good", "bad"]}}
    assert request["messages"] == [
        {
            "role": "system",
            "content": 'Judge.\n\nAnswer with JSON: {"result": label}. Labels: "good", "bad".',
        },
        {"role": "user", "content": "How was it?"},
        {"role": "user", "content": "one\ntwo"},
    ]


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"steps": ["a"], "result": 4}', 4.0),
        ('{"steps": [], "result": 3.5}', 3.5),
        ('{"result": "2"}', 2.0),
        ("5", 5.0),
        ('Score: {"result": 1e0}', 1.0),
    ],
)
async def test_score_model(answer: str, score: float) -> None:
    judge = Answers(answer)
    result = await graded(SCORE, ITEM, "x", judge)
    assert (result.score, result.passed) == (score, score >= 3)
    (request,) = judge.requests
    assert request["max_completion_tokens"] == 200
    assert (request["seed"], request["temperature"]) == (1, 0.5)
    assert "number from 1 to 5" in request["messages"][0]["content"]


@pytest.mark.parametrize(
    ("body", "answer", "code"),
    [
        (LABEL, "I like it", "model_grader_parse_error"),
        (LABEL, '{"result": "great"}', "model_grader_parse_error"),
        (LABEL, "", "model_grader_parse_error"),
        (LABEL, '{"result": ["good"]}', "model_grader_parse_error"),
        (LABEL, REFUSAL, "model_grader_refusal_error"),
        (SCORE, '{"result": 6}', "model_grader_parse_error"),
        (SCORE, '{"result": 0.99}', "model_grader_parse_error"),
        (SCORE, '{"result": true}', "model_grader_parse_error"),
        (SCORE, '{"result": NaN}', "model_grader_parse_error"),
        (SCORE, '{"result": 1e999}', "model_grader_parse_error"),
        (SCORE, '{"steps": ["the answer', "model_grader_parse_error"),
        (SCORE, "about 3", "model_grader_parse_error"),
        (SCORE, "1" * 5000, "model_grader_parse_error"),
        (
            SCORE,
            JudgeFailed("model_grader_server_error", "The engine is down."),
            "model_grader_server_error",
        ),
    ],
)
async def test_unusable_answers_are_errors_of_the_item(body: Any, answer: Any, code: str) -> None:
    result = await graded(body, ITEM, "x", Answers(answer))
    assert (result.score, result.passed) == (0.0, False)
    assert [error.code for error in result.errors] == [code]


async def test_a_prompt_without_a_user_gets_one() -> None:
    judge = Answers('{"result": "good"}')
    body = {**LABEL, "input": [{"role": "system", "content": "Is {{item.q}} good?"}]}
    await graded(body, ITEM, "x", judge)
    assert [message["role"] for message in judge.requests[0]["messages"]] == ["system", "user"]
    assert judge.requests[0]["messages"][1]["content"] == "Is How was it? good?"


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [("1", "2", "a"), ("2", "1", "b"), ("1", "1", "tie"), ("2", "2", "tie"), ("tie", "2", "tie")],
)
async def test_pairs_are_judged_in_both_orders(first: str, second: str, winner: str) -> None:
    judge = Answers(f'{{"result": "{first}"}}', f'{{"result": "{second}"}}')
    preference = await pairwise(judge, "m", "Why?", "Because A.", "Because B.")
    assert (preference.winner, preference.tokens) == (winner, 20)
    one, two = (request["messages"][-1]["content"] for request in judge.requests)
    assert one.index("Because A.") < one.index("Because B.")
    assert two.index("Because B.") < two.index("Because A.")


HUMAN = "{{item.human_label}}"


@pytest.mark.parametrize(
    ("human", "expected"),
    [("good", "good"), (" GOOD. ", "good"), ("bad", "bad"), ("", None), (None, None)],
)
async def test_a_judges_label_is_compared_with_a_persons(human: Any, expected: str | None) -> None:
    grader = {**LABEL, "human_label": HUMAN}
    result = await graded(grader, {**ITEM, "human_label": human}, "x", Answers('{"result":"bad"}'))
    assert result.errors == ()
    assert result.labels == (None if expected is None else LabelPair(expected, "bad"))


@pytest.mark.parametrize(
    ("human", "expected"),
    [(5, "pass"), ("1.5", "fail"), ("Pass", "pass"), (False, "fail"), ("fail", "fail")],
)
async def test_a_judges_score_is_compared_with_a_person_by_what_passes(
    human: Any, expected: str
) -> None:
    grader = {**SCORE, "human_label": HUMAN}
    result = await graded(grader, {**ITEM, "human_label": human}, "x", Answers('{"result": 4}'))
    assert (result.score, result.errors) == (4.0, ())
    assert result.labels == LabelPair(expected, "pass")


async def test_an_item_that_nobody_judged_has_no_labels() -> None:
    result = await graded({**LABEL, "human_label": HUMAN}, ITEM, "x", Answers('{"result": "bad"}'))
    assert (result.labels, result.errors) == (None, ())


@pytest.mark.parametrize(("grader", "human"), [(LABEL, "ugly"), (SCORE, 9), (SCORE, "nan")])
async def test_unusable_human_labels_are_errors_before_the_judge_is_asked(
    grader: dict[str, Any], human: Any
) -> None:
    judge = Answers()
    item = {**ITEM, "human_label": human}
    result = await graded({**grader, "human_label": HUMAN}, item, "x", judge)
    assert [error.code for error in result.errors] == ["other_error"]
    assert "human label" in result.errors[0].message
    assert judge.requests == []
