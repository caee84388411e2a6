"""Item schemas: what is accepted, what is refused, and that no schema takes long or fetches."""

from __future__ import annotations

from typing import Any

import pytest

from service.evals.item_schema import ItemSchema, SchemaInvalid, row_schema

ITEM = {
    "type": "object",
    "properties": {
        "question": {"type": "string", "maxLength": 20},
        "n": {"type": ["integer", "null"], "minimum": 1},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "required": ["question"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"question": "?", "n": None, "tags": ["a", "b"]}, None),
        ({}, "'item' has no property 'question'"),
        ({"question": 1}, "'item/question' is not of the type string"),
        ({"question": "?", "n": 0}, "'item/n' does not match 'minimum 1' of the item schema"),
        (
            {"question": "?", "secret": 1},
            "'item' has properties that the item schema does not allow",
        ),
        (
            {"question": "?", "tags": ["c"]},
            "'item/tags/0' does not match 'enum' of the item schema",
        ),
        (
            {"question": "S3CRET" * 9},
            "'item/question' does not match 'maxLength 20' of the item schema",
        ),
    ],
)  # fmt: skip
def test_faults_name_the_place_and_hide_the_text(item: dict[str, Any], fault: str | None):
    assert ItemSchema(ITEM).fault(item) == fault


def test_any_number_of_json_is_an_item():
    assert ItemSchema({"type": "object"}).fault({"n": 10**400, "x": [1e308, -(2**63)]}) is None
    assert ItemSchema({"properties": {"n": {"type": "integer"}}}).fault({"n": 10**30}) is None


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """References to references: twice the work at each level."""
    twice = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**twice, f"d{levels}": {"type": "object"}}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "not valid"),
        ({"properties": []}, "not valid"),
        ({"properties": {"a": {"pattern": "("}}}, "regular expression"),
        ({"properties": {"a": {"pattern": "(?=a)b"}}}, "regular expression"),
        ({"properties": {"a": {"pattern": "(a{1000}){1000}"}}}, "regular expression"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "same schema"),
        ({"$ref": "file:///etc/passwd"}, "same schema"),
        ({"$schema": "http://127.0.0.1:9/schema"}, "another document"),
        ({"$ref": "#"}, "same schema"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "points nowhere"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "recursive"),
        ({"$id": "http://127.0.0.1:9/schema"}, "'$id' is not supported"),
        ({"$dynamicRef": "#a"}, "'$dynamicRef' is not supported"),
        (nested(40), "nested more than 32"),
        (doubling(12), "more than 2000 parts"),
        ({"description": "x" * 70_000}, "65536 bytes"),
    ],
)
def test_a_schema_that_cannot_be_used_says_why(schema: dict[str, Any], words: str):
    with pytest.raises(SchemaInvalid, match=words.replace("$", r"\$")):
        ItemSchema(schema)


def test_a_property_may_have_the_name_of_a_keyword():
    schema = {"type": "object", "properties": {"$id": {"type": "string"}, "$ref": {}}}
    assert ItemSchema(schema).fault({"$id": 1}) == "'item/$id' is not of the type string"


def test_a_pattern_is_matched_in_linear_time():
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    assert ItemSchema(schema).fault({"a": "a" * 50_000 + "b"}) is not None


def test_the_schema_of_a_row_keeps_its_references():
    shown = row_schema(ITEM, with_sample=True)
    assert shown["required"] == ["item", "sample"]
    assert ItemSchema(shown).fault({"item": {"question": "?", "tags": ["c"]}, "sample": {}})
    assert row_schema(ITEM, with_sample=False)["properties"].keys() == {"item"}
