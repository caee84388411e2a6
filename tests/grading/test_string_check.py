"""The `string_check` grader."""

from __future__ import annotations

from typing import Any

import pytest

from service.grading.check import check
from service.grading.errors import GraderInvalid
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.results import Sample
from service.grading.schemas import StringCheckGrader


class Unused:
    """A judge and a sandbox that no test here needs."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError

    grade = __call__


TOOLS = GraderTools(judge=Unused(), sandbox=Unused())


def grader(operation: Any, reference: str = "{{item.answer}}") -> StringCheckGrader:
    return StringCheckGrader(
        type="string_check",
        name="s",
        input="{{sample.output_text}}",
        operation=operation,
        reference=reference,
    )


@pytest.mark.parametrize(
    ("operation", "text", "expected"),
    [
        ("eq", "Straße", True),
        ("eq", "straße", False),
        ("ne", "straße", True),
        ("ne", "Straße", False),
        ("like", "Die Straße.", True),
        ("like", "Die strasse.", False),
        ("ilike", "DIE STRASSE.", True),
        ("ilike", "Der Weg.", False),
    ],
)
async def test_operations(operation: str, text: str, expected: bool) -> None:
    result = await grade(grader(operation), {"answer": "Straße"}, Sample(text), TOOLS)
    assert (result.score, result.passed) == (float(expected), expected)
    assert result.errors == ()
    assert result.duration_s > 0


async def test_a_missing_variable_is_an_error_in_the_result() -> None:
    result = await grade(grader("eq"), {}, Sample("x"), TOOLS)
    assert (result.score, result.passed) == (0.0, False)
    assert [error.code for error in result.errors] == ["invalid_variable_error"]


async def test_a_grader_of_the_sample_needs_a_sample() -> None:
    result = await grade(grader("eq"), {"answer": "x"}, None, TOOLS)
    assert [error.code for error in result.errors] == ["invalid_variable_error"]


def test_an_unknown_variable_is_found_by_the_check() -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    check(grader("eq"), schema)
    with pytest.raises(GraderInvalid, match="has no 'label'") as refused:
        check(grader("eq", "{{item.label}}"), schema)
    assert refused.value.param == "reference"
