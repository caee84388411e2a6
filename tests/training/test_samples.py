"""Tests of the files with which trainer and worker exchange prompts and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.training.contract.samples import (
    Answer,
    SampleRequest,
    SamplesError,
    read_answers,
    read_requests,
    read_ungraded,
    write_lines,
)

REQUESTS = [
    SampleRequest(
        row=4, file="training", prompt_token_ids=[5, 6], n=2, seed=1, temperature=1, max_tokens=3
    ),
    SampleRequest(
        row=0, file="training", prompt_token_ids=[7], n=1, seed=2, temperature=0.5, max_tokens=3
    ),
]
ANSWERS: list[dict[str, Any]] = [
    {"row": 0, "index": 0, "token_ids": [1], "reward": 0.5},
    {"row": 4, "index": 1, "token_ids": [2, 3, 9], "reward": -1.0, "finish_reason": "length"},
    {"row": 4, "index": 0, "token_ids": [], "logprobs": [], "grader_error": "ไม่มีคะแนน"},
]


def complete(answer: dict[str, Any]) -> dict[str, Any]:
    return {"file": "training", "text": "secret-row", "finish_reason": "stop", **answer}


def written(path: Path, answers: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(complete(answer)) + "\n" for answer in answers), "utf-8")
    return path


def test_requests_and_answers_survive_their_files(tmp_path):
    write_lines(tmp_path / "requests", REQUESTS)
    assert read_requests(tmp_path / "requests") == REQUESTS
    answers = [Answer.model_validate(complete(answer)) for answer in ANSWERS]
    write_lines(tmp_path / "answers", answers)
    assert read_ungraded(tmp_path / "answers") == answers
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["answers", "requests"]


def test_answers_are_put_in_the_order_of_the_requests(tmp_path):
    found = read_answers(written(tmp_path / "a", ANSWERS), REQUESTS, vocabulary=10)
    assert [[(a.row, a.index) for a in group] for group in found] == [[(4, 0), (4, 1)], [(0, 0)]]
    assert found[0][0].reward is None
    assert found[0][1].reward == -1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"row": 1}, "Line 1 answers a request that was not made."),
        ({"file": "validation"}, "Line 1 answers a request that was not made."),
        ({"index": 1}, "Line 1 answers a request that was not made."),
        ({"index": -1}, "index: greater_than_equal"),
        ({"token_ids": [1, 2, 3, 4]}, "Line 1 has 4 tokens, and at most 3 were asked for."),
        ({"token_ids": [10]}, "Line 1 has a token that is not in the vocabulary."),
        ({"token_ids": [-1]}, "Line 1 has a token that is not in the vocabulary."),
        ({"token_ids": ["1"]}, "token_ids.0: int_type"),
        ({"logprobs": []}, "line: value_error"),
        ({"reward": "0.5"}, "reward: float_type"),
        ({"reward": float("nan")}, "reward: finite_number"),
        ({"finish_reason": "secret-row"}, "finish_reason: literal_error"),
        ({"secret-row": 1}, "line: extra_forbidden"),
    ],
)
def test_a_false_answer_is_refused_without_its_text(tmp_path, change, fault):
    path = written(tmp_path / "a", [ANSWERS[0] | change, *ANSWERS[1:]])
    with pytest.raises(SamplesError) as caught:
        read_answers(path, REQUESTS, vocabulary=10)
    assert fault in str(caught.value)
    assert "secret-row" not in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        (ANSWERS[:2], "1 of 3 answers are missing."),
        ([], "3 of 3 answers are missing."),
        ([*ANSWERS, ANSWERS[0]], "Line 4 repeats an answer."),
    ],
)
def test_each_answer_must_be_there_once(tmp_path, answers, fault):
    with pytest.raises(SamplesError, match=fault):
        read_answers(written(tmp_path / "a", answers), REQUESTS, vocabulary=10)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(SamplesError, match="No such file"):
        read_requests(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\x00\n")
    with pytest.raises(SamplesError, match="Line 1 is malformed"):
        read_ungraded(tmp_path / "bytes")
