"""Graders for a data set, chosen by what its answers look like.

`item_of` makes the item of a row that these graders refer to. The first grader of a list decides
the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.evaluation.examples import Example, Row, examples_of
from service.evaluation.shape import Shape, json_value, shape_of
from service.grading.schemas import (
    ChrfGrader,
    JsonSchemaGrader,
    LabelGrader,
    LanguageGrader,
    SingleGrader,
    ToolCallGrader,
)

_REFERENCE: Final = "{{item.reference}}"
_CALLS: Final = "tool_call"
_OUTPUT: Final = "{{sample.output_text}}"
# A tool_call grader compares JSON objects field by field, regardless of their order. The answer
# becomes the arguments of a call, so an answer that is no JSON scores 0 and is not an error.
_AS_ARGUMENTS: Final = '{"name": "json", "arguments": %s}'
_AS_ARGUMENT: Final = '{"name": "json", "arguments": {"value": %s}}'


def graders_for(rows: Sequence[Row]) -> list[SingleGrader]:
    """Return the graders of canonical rows, the primary one first.

    `rows` are those for training and those held out, since a label that occurs in neither is
    unknown to the grader. A small set of labels gets `label`; JSON gets a comparison of its fields
    and `json_schema`; tool calls get `tool_call`; and anything else gets `chrf`. Texts in one
    language get `language` as well.
    """
    examples = examples_of(rows)
    shape = shape_of(examples)
    calls = [_tool_call()] if shape.tool_share else []
    match shape.kind:
        case "label":
            label = LabelGrader(
                type="label", name="label", reference=_REFERENCE, labels=list(shape.labels)
            )
            return [label, *calls]
        case "json":
            texts = [one for one in examples if not one.tool_calls]
            return [*_json_graders(texts, shape), *calls]
        case "tool_call":
            return [*calls, *([_chrf()] if shape.tool_share < 1 else [])]
        case "text":
            return [_chrf(), *calls, *_language(shape)]


def applies(grader: SingleGrader, example: Example) -> bool:
    """Whether a grader scores a row: tool calls need declared tools, and texts need a text."""
    if grader.name == _CALLS:
        return bool(example.tools)
    return bool(example.answer.strip())


def item_of(example: Example) -> dict[str, Any]:
    """Return the item of a row: its question, its reference answer, and its tool calls."""
    return {
        "question": example.question,
        "reference": example.answer,
        "tool_calls": list(example.tool_calls),
    }


def _chrf() -> ChrfGrader:
    return ChrfGrader(type="chrf", name="chrf", reference=_REFERENCE)


def _tool_call() -> ToolCallGrader:
    return ToolCallGrader(type="tool_call", name=_CALLS, reference="{{item.tool_calls}}")


def _language(shape: Shape) -> list[LanguageGrader]:
    if shape.language is None:
        return []
    return [LanguageGrader(type="language", name="language", reference=shape.language)]


def _json_graders(examples: Sequence[Example], shape: Shape) -> list[SingleGrader]:
    values = [value for one in examples if (value := json_value(one.answer)) is not None]
    are_objects = all(isinstance(value, dict) for value in values)
    form = _AS_ARGUMENTS if are_objects else _AS_ARGUMENT
    return [
        ToolCallGrader(
            type="tool_call", name="json", input=form % _OUTPUT, reference=form % _REFERENCE
        ),
        JsonSchemaGrader(
            type="json_schema",
            name="json_schema",
            schema=json_schema(values, shape.keys) if are_objects else _list_schema(values),
        ),
    ]


def json_schema(values: Sequence[Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the JSON Schema of objects: the required keys, and the types of all keys seen.

    Other keys are allowed only if some objects have keys that most lack.
    """
    types: dict[str, set[str]] = {}
    for value in values:
        for key, item in value.items():
            types.setdefault(key, set()).add(_type(item))
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key: {"type": sorted(types[key])} for key in keys},
        "required": list(keys),
    }
    return schema if types.keys() - set(keys) else schema | {"additionalProperties": False}


def _list_schema(values: Sequence[Any]) -> dict[str, Any]:
    if not all(isinstance(value, list) for value in values):
        return {"type": ["array", "object"]}
    types = {_type(item) for value in values for item in value}
    return {"type": "array", "items": {"type": sorted(types)} if types else {}}


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
