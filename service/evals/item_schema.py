"""Checks items against a JSON Schema that can neither take long nor fetch anything.

Patterns are matched in linear time, and references to other documents fail. The size of a schema
with all its references inlined is bounded, because references to references double the work at
each level.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from service.grading.json_schema import why_unusable
from service.grading.schemas import MAX_SCHEMA_BYTES

_MAX_DEPTH = 32
_MAX_NODES = 2_000  # with references inlined
_SCHEMA = frozenset(
    {
        *("additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if"),
        *("items", "not", "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"),
    }
)
_LIST = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
_MAP = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties"})
# Keywords that change what a reference means, so that `_NodeCounter` could not follow it.
_REFUSED = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef")
_OPTIONS = jsonschema_rs.RegexOptions(size_limit=1024 * 1024, dfa_size_limit=1024 * 1024)


class SchemaInvalid(ValueError):
    """The item schema cannot be used."""


class ItemSchema:
    """A checked schema. `fault` describes what is wrong with an item."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Check the schema. Raises SchemaInvalid."""
        _check_size(schema)
        try:
            self._validator = jsonschema_rs.validator_for(
                dict(schema), pattern_options=_OPTIONS, retriever=_refuse
            )
        except (ValueError, RecursionError) as e:
            raise SchemaInvalid(why_unusable(e).rstrip(".")) from e

    def fault(self, item: Mapping[str, Any]) -> str | None:
        """Describe the first fault of an item without its text; None if it matches the schema."""
        if self._validator.is_valid(item):
            return None
        return _describe(next(iter(self._validator.iter_errors(item))))


def row_schema(schema: Mapping[str, Any], *, with_sample: bool) -> dict[str, Any]:
    """Return the schema of a row as OpenAI shows it: the item, and the sample if expected."""
    properties: dict[str, Any] = {"item": dict(schema)}
    if with_sample:
        properties["sample"] = SAMPLE_SCHEMA
    shared = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    return {"type": "object", "properties": properties, "required": [*properties], **shared}


SAMPLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "output_text": {"type": "string"},
        "output_json": {"type": "object"},
        "output_tools": {"type": "array", "items": {"type": "object"}},
        "finish_reason": {"type": "string"},
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "message": {
                        "type": "object",
                        "properties": {
                            "role": {"type": "string", "enum": ["assistant"]},
                            "content": {"type": ["string", "null"]},
                            "tool_calls": {"type": "array", "items": {"type": "object"}},
                        },
                        "required": ["role"],
                    },
                    "finish_reason": {"type": "string"},
                },
                "required": ["index", "message", "finish_reason"],
            },
        },
    },
    "required": ["model", "choices"],
}

_MESSAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "role": {"type": "string"},
        "content": {"type": ["string", "null"]},
        "name": {"type": "string"},
        "tool_calls": {"type": "array", "items": {"type": "object"}},
        "tool_call_id": {"type": "string"},
    },
    "required": ["role"],
}
CHAT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "input": {"type": "array", "items": _MESSAGE_SCHEMA},
        "tools": {"type": "array", "items": {"type": "object"}},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "id": {"type": "string"},
        "model": {"type": "string"},
        "created_at": {"type": "integer"},
    },
    "required": ["input"],
}
"""Schema of the items of evals of stored chats. OpenAI documents `input` only."""


def _check_size(schema: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(schema))
    except (ValueError, RecursionError) as e:
        raise SchemaInvalid("it is nested too deeply") from e
    if size > MAX_SCHEMA_BYTES:
        raise SchemaInvalid(f"it is over the limit of {MAX_SCHEMA_BYTES} bytes")
    nodes = _NodeCounter(schema).count(schema, 0)
    if nodes > _MAX_NODES:
        raise SchemaInvalid(f"it has more than {_MAX_NODES} parts, counting each use of a '$ref'")


class _NodeCounter:
    """Counts the nodes of schemas with their references inlined."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def count(self, schema: Any, depth: int) -> int:
        """Count the nodes of a schema. Raises SchemaInvalid."""
        if not isinstance(schema, Mapping):
            return 1
        if depth > _MAX_DEPTH:
            raise SchemaInvalid(f"it is nested more than {_MAX_DEPTH} levels deep")
        if refused := next((key for key in _REFUSED if key in schema), None):
            raise SchemaInvalid(f"'{refused}' is not supported; use '$ref' with '#/$defs/…'")
        nodes = 1 + sum(self.count(part, depth + 1) for part in _parts(schema))
        if "$ref" in schema:
            nodes += self._count_target(schema["$ref"], depth)
        return nodes

    def _count_target(self, reference: Any, depth: int) -> int:
        if not isinstance(reference, str) or not reference.startswith("#/"):
            raise SchemaInvalid("a '$ref' must point into the same schema, such as '#/$defs/…'")
        if reference in self._open:
            raise SchemaInvalid("a '$ref' leads back to itself; recursive schemas are unsupported")
        if reference not in self._known:
            self._open.add(reference)
            self._known[reference] = self.count(_resolve(self._root, reference), depth + 1)
            self._open.discard(reference)
        return self._known[reference]


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas directly below a schema."""
    for key, value in schema.items():
        if key in _MAP and isinstance(value, Mapping):
            yield from value.values()
        elif key in _LIST and isinstance(value, list):
            yield from value
        elif key in _SCHEMA:
            yield value


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for segment in reference.split("/")[1:]:
        name = segment.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, Mapping) and name in node:
            node = node[name]
        else:
            raise SchemaInvalid(f"the '$ref' '{reference[:80]}' points nowhere")
    return node


def _refuse(_: str) -> Any:
    raise ValueError("documents are not fetched")


def _describe(error: jsonschema_rs.ValidationError) -> str:
    """Describe a fault. The library's own message repeats the text of the item."""
    place = "".join(f"/{part}" for part in error.instance_path)
    where = f"'item{place}'"
    kind, value = error.kind.name, error.kind.value
    if kind == "required":
        return f"{where} has no property {error.kind.as_dict()['property']!r}"
    if kind == "type":
        types = error.kind.as_dict()["types"]
        return f"{where} is not of the type {' or '.join(map(str, types))}"
    if kind in ("additionalProperties", "unevaluatedProperties"):
        return f"{where} has properties that the item schema does not allow"
    shown = f" {value}" if isinstance(value, int | float) else ""
    return f"{where} does not match '{kind}{shown}' of the item schema"
