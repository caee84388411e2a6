"""The wire types of graders: OpenAI's shapes are accepted, and limits hold."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.graders import (
    LabelModelGrader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)
from pydantic import TypeAdapter, ValidationError

from service.grading import schemas

GRADER: TypeAdapter[Any] = TypeAdapter(schemas.Grader)
STRING = {"type": "string_check", "name": "s", "input": "a", "operation": "eq", "reference": "a"}
SIMILAR = {
    "type": "text_similarity",
    "name": "t",
    "input": "a",
    "reference": "b",
    "evaluation_metric": "rouge_l",
    "pass_threshold": 0.7,
}
MESSAGES = [
    {"role": "developer", "content": "Judge.", "type": "message"},
    {"role": "user", "content": {"type": "input_text", "text": "{{item.q}}"}},
    {"role": "user", "content": ["one", {"type": "output_text", "text": "two"}]},
]
LABEL = {
    "type": "label_model",
    "name": "l",
    "model": "m",
    "input": MESSAGES,
    "labels": ["good", "bad"],
    "passing_labels": ["good"],
}
SCORE = {
    "type": "score_model",
    "name": "s",
    "model": "m",
    "input": MESSAGES,
    "range": [1, 5],
    "sampling_params": {"max_completions_tokens": 200, "seed": 1, "temperature": 0.5},
}
PYTHON = {"type": "python", "name": "p", "source": "def grade(sample, item):\n    return 1.0\n"}
MULTI = {"type": "multi", "name": "m", "graders": {"a": STRING}, "calculate_output": "a"}
OURS: list[dict[str, Any]] = [
    {"type": "chrf", "name": "c", "reference": "{{item.r}}"},
    {"type": "json_schema", "name": "j", "schema": {"type": "object"}},
    {"type": "tool_call", "name": "t", "reference": "{{item.call}}"},
    {"type": "language", "name": "l", "reference": "ja"},
    {"type": "label", "name": "l", "reference": "{{item.label}}", "labels": ["a", "b"]},
]


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (STRING, StringCheckGrader),
        (SIMILAR, TextSimilarityGrader),
        (LABEL, LabelModelGrader),
        (SCORE, ScoreModelGrader),
        (PYTHON, PythonGrader),
        (MULTI, None),
        ({**MULTI, "graders": STRING, "calculate_output": "s"}, MultiGrader),
    ],
)
def test_the_shapes_of_the_sdk_are_accepted_and_returned(body: dict[str, Any], type_: Any) -> None:
    returned = GRADER.dump_python(GRADER.validate_python(body), exclude_unset=True)
    assert returned == body
    if type_ is not None:
        type_.model_validate(returned, strict=True)


@pytest.mark.parametrize("body", OURS)
def test_our_graders_return_what_was_given(body: dict[str, Any]) -> None:
    assert GRADER.dump_python(GRADER.validate_python(body), exclude_unset=True) == body


@pytest.mark.parametrize("key", ["max_completion_tokens", "max_tokens"])
def test_other_names_of_the_token_limit_are_accepted(key: str) -> None:
    grader = GRADER.validate_python({**SCORE, "sampling_params": {key: 7}})
    assert grader.sampling_params.max_completions_tokens == 7


def test_a_single_grader_of_a_multi_grader_has_its_own_name() -> None:
    multi = GRADER.validate_python({**MULTI, "graders": STRING})
    assert list(multi.named) == ["s"]


def test_parts_of_a_message_are_one_text() -> None:
    grader = GRADER.validate_python(LABEL)
    assert [message.text for message in grader.input] == ["Judge.", "{{item.q}}", "one\ntwo"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**STRING, "type": "regex"}, "regex"),
        ({**STRING, "operation": "gt"}, "eq"),
        ({**STRING, "extra": 1}, "extra"),
        ({**STRING, "name": ""}, "at least 1"),
        ({**STRING, "input": "x" * (schemas.MAX_TEMPLATE_CHARS + 1)}, "at most"),
        ({**SIMILAR, "pass_threshold": float("nan")}, "finite"),
        ({**SIMILAR, "evaluation_metric": "rouge_9"}, "rouge_5"),
        ({**LABEL, "passing_labels": ["great"]}, "not in labels"),
        ({**LABEL, "labels": ["good", "good"]}, "distinct"),
        ({**LABEL, "labels": [str(n) for n in range(200)]}, "at most 128"),
        ({**LABEL, "input": []}, "at least 1"),
        ({**LABEL, "input": MESSAGES * 30}, "at most 64"),
        ({**LABEL, "input": [{"role": "tool", "content": "x"}]}, "developer"),
        (
            {
                **LABEL,
                "input": [{"role": "user", "content": {"type": "input_image", "image_url": "x"}}],
            },
            "'input_image' are not supported",
        ),
        (
            {**LABEL, "input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "'input_audio' are not supported",
        ),
        ({**SCORE, "range": [1, 1]}, "low < high"),
        ({**SCORE, "range": [1]}, "at least 2"),
        ({**SCORE, "sampling_params": {"temperature": 3}}, "less than or equal to 2"),
        ({**PYTHON, "source": "#" * (schemas.MAX_SOURCE_BYTES + 1)}, "262144 bytes"),
        ({**MULTI, "graders": {}}, "at least 1"),
        ({**MULTI, "graders": {f"g{n}": STRING for n in range(33)}}, "at most 32"),
        ({**MULTI, "graders": {"m": MULTI}}, "multi"),
        ({**OURS[1], "schema": {"enum": ["x" * 70_000]}}, "65536 bytes"),
    ],
)
def test_wrong_graders_are_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GRADER.validate_python(body)
