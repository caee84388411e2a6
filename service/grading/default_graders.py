"""Chooses graders for a data set by the shape of its answers: labels, JSON, tool calls, or text.

The first grader of a list decides the verdict. `item_of` returns the item of a row to which these
graders refer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from service.datasets.text.languages import UNKNOWN, detect
from service.grading.examples import Example, Row, examples_of
from service.grading.labels import normalize_label
from service.grading.schemas import (
    MAX_LABELS,
    ChrfGrader,
    JsonSchemaGrader,
    LabelGrader,
    LanguageGrader,
    SingleGrader,
    ToolCallGrader,
)

Kind = Literal["label", "json", "tool_call", "text"]

MAX_LABEL_CHARS: Final = 60
_ROWS_A_LABEL = 3  # at least, on average; otherwise the answers are not labels
_LEAST_ROWS = 6
_NEARLY_ALL = 0.95
_MAJORITY = 0.5
_DOMINANT = 0.9
_REFERENCE: Final = "{{item.reference}}"
_CALLS: Final = "tool_call"
_OUTPUT: Final = "{{sample.output_text}}"
# A tool_call grader compares JSON objects field by field in any order. The answer becomes the
# arguments of a call, so an answer that is not JSON scores 0 and is not an error.
_AS_ARGUMENTS: Final = '{"name": "json", "arguments": %s}'
_AS_ARGUMENT: Final = '{"name": "json", "arguments": {"value": %s}}'


class Shape(NamedTuple):
    """The shape of the answers of a data set.

    `labels` are all different answers, as most often written, if `kind` is "label". `keys` are the
    keys that nearly all answers have, if they are JSON objects. `language` is the code of the
    language of at least nine in ten answers whose language is known, or None. `tool_share` is the
    share of answers that call a tool.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    language: str | None = None
    tool_share: float = 0.0


def shape_of(examples: Sequence[Example]) -> Shape:
    """Return the shape of the answers of examples, which may be empty."""
    if not examples:
        return Shape("text")
    tool_share = sum(bool(example.tool_calls) for example in examples) / len(examples)
    answers = [example.answer for example in examples if not example.tool_calls]
    language = dominant_language(answers)
    if tool_share >= _MAJORITY:
        return Shape("tool_call", language=language, tool_share=tool_share)
    values = [value for value in map(json_value, answers) if value is not None]
    if values and len(values) >= _NEARLY_ALL * len(answers):
        return Shape("json", keys=_common_keys(values), tool_share=tool_share)
    if labels := label_set(answers):
        return Shape("label", labels=labels, tool_share=tool_share)
    return Shape("text", language=language, tool_share=tool_share)


def label_set(answers: Sequence[str]) -> tuple[str, ...]:
    """Return the labels, sorted, if all answers are short and from a small set; else nothing.

    Answers that a `label` grader takes for equal are one label, in its most frequent spelling.
    """
    if len(answers) < _LEAST_ROWS:
        return ()
    spellings: dict[str, Counter[str]] = {}
    for answer in answers:
        written = answer.strip()
        key = normalize_label(written)
        if not key or len(written) > MAX_LABEL_CHARS or "\n" in written:
            return ()
        spellings.setdefault(key, Counter())[written] += 1
        if len(spellings) > min(MAX_LABELS, len(answers) // _ROWS_A_LABEL):
            return ()
    return tuple(sorted(counts.most_common(1)[0][0] for counts in spellings.values()))


def json_value(text: str) -> dict[str, Any] | list[Any] | None:
    """Return the JSON object or array that a text consists of, or None if it is neither."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def dominant_language(texts: Sequence[str]) -> str | None:
    """Return the language of at least nine in ten texts, of those whose language is known.

    None if there is no such language, or if the language of most texts is unknown.
    """
    counts = Counter(detect(text).code for text in texts if text.strip())
    total = sum(counts.values())
    unknown = counts.pop(UNKNOWN, 0)
    if not counts or unknown > _MAJORITY * total:
        return None
    language, count = counts.most_common(1)[0]
    return language if count >= _DOMINANT * (total - unknown) else None


def _common_keys(values: Sequence[Any]) -> tuple[str, ...]:
    """Return the keys of nearly all values, in their usual order."""
    if not all(isinstance(value, dict) for value in values):
        return ()
    counts = Counter(key for value in values for key in value)
    return tuple(key for key, count in counts.items() if count >= _NEARLY_ALL * len(values))


def graders_for(rows: Sequence[Row]) -> list[SingleGrader]:
    """Return the graders of canonical rows, the primary one first.

    `rows` must include both training and held-out rows, since the grader knows no other labels. A
    small set of labels gets `label`; JSON gets a comparison of its fields and `json_schema`; tool
    calls get `tool_call`; and anything else gets `chrf`. Texts in one language also get `language`.
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
    """Return whether a grader applies to a row: it needs declared tools, or else a text answer."""
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
