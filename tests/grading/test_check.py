"""Checks of definitions: what is wrong is named with its path, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from service.grading.check import check
from service.grading.errors import GraderInvalid
from tests.grading.test_formula import MULTI
from tests.grading.test_schemas import LABEL, OURS, PYTHON, SCORE, SIMILAR, STRING
from tests.grading.tools import GRADER

CHRF, JSON, TOOL, LANGUAGE, LABELS = OURS


@pytest.mark.parametrize(
    "body", [STRING, SIMILAR, LABEL, SCORE, PYTHON, MULTI, CHRF, JSON, TOOL, LANGUAGE, LABELS]
)
def test_good_graders_pass(body: dict[str, Any]) -> None:
    check(GRADER.validate_python(body))


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({**STRING, "input": "{{item.x"}, "input", "not closed"),
        ({**STRING, "reference": "{{answer}}"}, "reference", "start with 'item.'"),
        ({**LABEL, "input": [{"role": "user", "content": "{{x}}"}]}, "input.0.content", "item"),
        ({**SIMILAR, "evaluation_metric": "cosine"}, "model", "Name a model of this server"),
        ({**SIMILAR, "model": "e5"}, "model", "Only the metric 'cosine'"),
        ({**SIMILAR, "pass_threshold": 70}, "pass_threshold", "from 0 to 1"),
        ({**SCORE, "pass_threshold": 0.5}, "pass_threshold", "from 1 to 5"),
        ({**TOOL, "pass_threshold": 1.5}, "pass_threshold", "from 0 to 1"),
        ({**PYTHON, "source": "def grade(): pass"}, "source", "two arguments"),
        ({**JSON, "schema": {"type": "text"}}, "schema", "cannot be used"),
        ({**JSON, "schema": {"$ref": "https://example.com/s"}}, "schema", "another document"),
        (
            {**JSON, "schema": {"properties": {"a": [{"$ref": "file:///x"}]}}},
            "schema",
            "cannot be used",
        ),
        ({**LABEL, "labels": ["good", "bad", "Good."]}, "labels", "differ only"),
        ({**LABELS, "labels": ["a", "A"]}, "labels", "differ only"),
        ({**LABELS, "reference": "c"}, "reference", "not one of the labels"),
        ({**LANGUAGE, "reference": "Japanese!"}, "reference", "BCP 47"),
        ({**TOOL, "reference": "weather"}, "reference", "list of such calls"),
        ({**MULTI, "calculate_output": "exact + fuzzy"}, "calculate_output", "'fuzzy'"),
        (
            {**MULTI, "graders": {"a": {**PYTHON, "source": "x"}}, "calculate_output": "a"},
            "graders.a.source",
            "must define",
        ),
        (
            {**MULTI, "graders": {"a": {**STRING, "input": "{{y}}"}}, "calculate_output": "a"},
            "graders.a.input",
            "item",
        ),
    ],
)
def test_wrong_graders_are_refused(body: dict[str, Any], param: str, message: str) -> None:
    with pytest.raises(GraderInvalid, match=message) as refused:
        check(GRADER.validate_python(body))
    assert refused.value.param == param


def test_deep_schemas_are_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"not": schema}
    with pytest.raises(ValidationError, match="nested too deeply"):
        check(GRADER.validate_python({**JSON, "schema": schema}))
