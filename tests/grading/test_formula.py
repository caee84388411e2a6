"""Formulas of multi graders."""

from __future__ import annotations

from typing import Any

import pytest

from service.grading.errors import ItemFailed
from service.grading.formula import FormulaInvalid, check_formula, evaluate
from tests.grading.test_schemas import SIMILAR, STRING
from tests.grading.tools import Answers, graded

SCORES = {"a": 0.5, "b": 2.0, "意味": 0.25}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("a", 0.5),
        ("0.7 * a + 0.3 * b", 0.95),
        ("-a + b / 4 - 1", -1.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("b ** 2", 4.0),
        ("(a + b) * 2", 5.0),
        ("min(a, b, 0.1) + max(a, b)", 2.1),
        ("abs(-3) + floor(1.9) + ceil(1.1)", 6.0),
        ("exp(0) + sqrt(4) + log(1)", 3.0),
        ("意味 * 4", 1.0),
        ("  a\n", 0.5),
    ],
)
def test_values(formula: str, expected: float) -> None:
    check_formula(formula, SCORES)
    assert evaluate(formula, SCORES) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", "not arithmetic"),
        ("a +", "not arithmetic"),
        ("a b", "not arithmetic"),
        ("c", "refers to 'c', which is not a grader. Graders: a, b"),
        ("a.real", "something else"),
        ("a[0]", "something else"),
        ("'a' * 3", "something else"),
        ("True", "something else"),
        ("a if b else 1", "something else"),
        ("a % b", "something else"),
        ("a < b", "something else"),
        ("(lambda: 1)()", "something else"),
        ("__import__('os')", "something else"),
        ("round(a)", "something else"),
        ("min(a, *b)", "something else"),
        ("max(a, key=b)", "something else"),
        ("sqrt(a, b)", "takes one argument, but has 2"),
        ("min(a)", "at least two"),
        ("-" * 300 + "a", "nested too deeply"),
        ("(" * 900 + "a" + ")" * 900, "not arithmetic"),
        ("1 if a else 2 if b else 3", "something else"),
        ("a\0", "not arithmetic"),
    ],
)
def test_what_is_not_arithmetic_is_refused(formula: str, message: str) -> None:
    with pytest.raises(FormulaInvalid, match=message):
        check_formula(formula, SCORES)


@pytest.mark.parametrize("name", ["my grader", "1st", "min", "a-b"])
def test_names_that_no_formula_can_use_are_refused(name: str) -> None:
    with pytest.raises(FormulaInvalid, match="cannot refer to the grader"):
        check_formula("1", [name])


@pytest.mark.parametrize(
    "formula",
    [
        "1 / (a - a)",
        "sqrt(-a)",
        "log(0)",
        "exp(1000)",
        "(-8) ^ a",
        "9 ^ 9 ^ 9 ^ 9",
        "1e999",
        "9" * 2000,
    ],
)
def test_formulas_without_a_value_are_errors_of_the_item(formula: str) -> None:
    with pytest.raises(ItemFailed) as failed:
        evaluate(formula, SCORES)
    assert failed.value.error.code == "other_error"


MULTI: dict[str, Any] = {
    "type": "multi",
    "name": "m",
    "graders": {
        "exact": {**STRING, "input": "{{sample.output_text}}", "reference": "{{item.r}}"},
        "close": {**SIMILAR, "input": "{{sample.output_text}}", "reference": "{{item.r}}"},
    },
    "calculate_output": "0.25 * exact + 0.75 * close",
    "pass_threshold": 0.5,
}


async def test_multi_combines_the_scores() -> None:
    result = await graded(MULTI, {"r": "a b c d"}, "a b c e")
    assert result.sub_scores == {"exact": 0.0, "close": 0.75}
    assert result.score == pytest.approx(0.5625)
    assert result.passed


async def test_an_error_of_one_grader_is_one_of_the_whole() -> None:
    graders = {**MULTI["graders"], "broken": {**STRING, "input": "{{item.missing}}"}}
    result = await graded({**MULTI, "graders": graders}, {"r": "a"}, "a")
    assert (result.score, result.passed) == (0.0, False)
    assert result.sub_scores == {"exact": 1.0, "close": 1.0, "broken": 0.0}
    assert [(e.code, e.message[:8]) for e in result.errors] == [
        ("invalid_variable_error", "broken: ")
    ]


async def test_tokens_of_several_judges_are_added() -> None:
    label = {
        "type": "label_model",
        "name": "l",
        "model": "judge",
        "input": [{"role": "user", "content": "x"}],
        "labels": ["yes", "no"],
        "passing_labels": ["yes"],
    }
    body = {**MULTI, "graders": {"a": label, "b": label}, "calculate_output": "min(a, b)"}
    result = await graded(body, {}, "a", Answers('{"result": "yes"}', '{"result": "no"}'))
    assert result.tokens == {"judge": 20}
    assert result.score == 0.0


async def test_a_formula_without_a_value_keeps_the_scores() -> None:
    result = await graded({**MULTI, "calculate_output": "1 / exact"}, {"r": "a"}, "b")
    assert [error.code for error in result.errors] == ["other_error"]
    assert result.sub_scores["exact"] == 0.0
