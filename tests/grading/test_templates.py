"""Template variables: parsing, checks against an item schema, rendering."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from service.grading.errors import ItemFailed
from service.grading.results import Sample
from service.grading.templates import TemplateInvalid, check_variables, parse_template

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ITEM: dict[str, Any] = {
    "question": "Why?",
    "reference answer": "because",
    "質問": "なぜ",
    "tags": ["a", {"b": 1.5}],
    "nothing": None,
    "a.b [c]": {"d": 2},
}


def render(text: str, answer: str = '{"x": [1, 2]}') -> str:
    sample = Sample.from_text(answer, tool_calls=[CALL], model="m", finish_reason="stop")
    return parse_template(text).render({"item": ITEM, "sample": sample.scope()})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain } text {", "plain } text {"),
        ("", ""),
        ("{{item.question}}", "Why?"),
        ("<{{ item.question }}>", "<Why?>"),
        ("{{item.reference answer}}, {{item.質問}}", "because, なぜ"),
        ("{{item.tags[1].b}} {{item.tags.0}}", "1.5 a"),
        ("{{item[\"question\"]}} {{ item [ 'question' ] }}", "Why? Why?"),
        ('{{item["tags"][1]["b"]}} {{item["a.b [c]"].d}}', "1.5 2"),
        ('{{sample["output_json"]["x"][0]}}', "1"),
        ("{{item.tags}}", '["a", {"b": 1.5}]'),
        ("{{item.nothing}}", "null"),
        ("{{sample.output_text}}", '{"x": [1, 2]}'),
        ("{{sample.output_json.x[1]}}", "2"),
        ("{{sample.output_tools[0].function.name}}", "f"),
        ("{{sample.choices[0].message.tool_calls[0].id}}", "c1"),
        ("{{sample.model}} {{sample.finish_reason}}", "m stop"),
    ],
)
def test_renders(text: str, expected: str) -> None:
    assert render(text) == expected


def test_inserted_text_is_not_expanded_again() -> None:
    scope = {"item": {"a": "{{item.b}}", "b": "secret"}}
    assert parse_template("{{item.a}}").render(scope) == "{{item.b}}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{{item.unknown}}", "invalid_variable_error"),
        ("{{item.tags[7]}}", "invalid_variable_error"),
        ("{{item.question.more}}", "invalid_variable_error"),
        ("{{sample.output_json.y}}", "invalid_variable_error"),
    ],
)
def test_a_missing_value_is_an_error_of_the_item(text: str, code: str) -> None:
    with pytest.raises(ItemFailed) as failed:
        render(text)
    assert failed.value.error.code == code


def test_an_answer_that_is_not_json_is_named() -> None:
    with pytest.raises(ItemFailed, match="not JSON") as failed:
        render("{{sample.output_json.x}}", "no JSON")
    assert failed.value.error.code == "sample_parse_error"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{item.a", "not closed"),
        ("{{}}", "not a template variable"),
        ("{{item..a}}", "not a template variable"),
        ("{{item.a[x]}}", "not a template variable"),
        ("{{question}}", "start with 'item.' or 'sample.'"),
        ("{{sample.output}}", "Fields of the sample: output_text"),
        ("{{sample}}", "Fields of the sample"),
        ("{{item" + ".a" * 20 + "}}", "segments"),
        ("{{" + "x" * 10_000 + "}}", "unknown"),
    ],
)
def test_a_wrong_template_is_refused(text: str, message: str) -> None:
    with pytest.raises(TemplateInvalid, match=message) as refused:
        parse_template(text)
    assert len(str(refused.value)) < 300


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "maybe": {"type": ["object", "null"], "properties": {"a": {}}},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
        "either": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/row"}]},
        "free": {"type": "object"},
        "open": {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        "typed": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "$defs": {
        "row": {
            "type": "object",
            "properties": {"cell": {"type": "string"}, "below": {"$ref": "#/$defs/row"}},
        }
    },
    "required": ["question"],
}


@pytest.mark.parametrize(
    "path",
    [
        "item",
        "item.question",
        "item.maybe.a",
        "item.rows[0].cell",
        "item.rows[0].below.below.cell",
        "item.either.cell",
        "item.free.anything.at.all",
        "item.open.b",
        "item.typed.b",
    ],
)
def test_a_variable_of_the_schema_passes(path: str) -> None:
    check_variables("{{" + path + "}}", SCHEMA)


@pytest.mark.parametrize(
    "path",
    [
        "item.answer",
        "item.question.a",
        "item.maybe.b",
        "item.rows.cell",
        "item.rows[0].cells",
        "item.either.other",
        "item.typed.b.c",
    ],
)
def test_a_variable_that_the_schema_lacks_is_refused(path: str) -> None:
    with pytest.raises(TemplateInvalid, match="unknown template variable"):
        check_variables("{{" + path + "}}", SCHEMA)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5, "properties": 7},
        {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
        {"anyOf": [{"anyOf": "x"}, 5, None, True]},
        {"properties": {"a": {"$ref": "#/a/b/c"}}},
        {"$ref": "https://example.com/schema.json"},
    ],
)
def test_odd_schemas_do_not_fail(schema: dict[str, Any]) -> None:
    with contextlib.suppress(TemplateInvalid):
        check_variables("{{item.a.b}}", schema)


def test_a_sample_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TemplateInvalid, match="nothing is sampled"):
        check_variables("{{sample.output_text}}", None, has_sample=False)
