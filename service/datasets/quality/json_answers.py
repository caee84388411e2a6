"""Checks of answers in JSON, and of the arguments of tool calls, against their schemas.

Patterns take linear time, and no document is fetched. A schema with references is not used, since
a recursive one can take unbounded time.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

import msgspec

_FENCED = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_LOOKS_LIKE_JSON = re.compile(r"\A(?:\{\s*[\"']|\[\s*[{\"])")
_MAX_SCHEMA_CHARS = 64 * 1024
_MAX_PATTERN_BYTES = 1024 * 1024
_decode = msgspec.json.Decoder().decode
_schemas = json.JSONDecoder()


def is_broken(answer: str) -> bool:
    """Whether an answer looks like JSON but is none."""
    text = _bare(answer)
    if not _LOOKS_LIKE_JSON.match(text):
        return False
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return True
    return False


def breaks_schema(system: str, answer: str) -> bool:
    """Whether a system prompt contains a JSON Schema that the answer does not match."""
    if '"properties"' not in system:
        return False
    validator = _schema_in(system)
    return validator is not None and not _matches(validator, _bare(answer))


def arguments_break_schema(row: dict[str, Any]) -> bool:
    """Whether a tool call in a row has arguments that its tool does not declare."""
    owner = row.get("input", row)
    schemas = {
        tool["function"]["name"]: tool["function"].get("parameters")
        for tool in owner.get("tools") or ()
        if "function" in tool
    }
    for message in [*owner.get("messages", ()), *row.get("preferred_output", ())]:
        for call in message.get("tool_calls") or ():
            schema = schemas.get(call["function"]["name"])
            if isinstance(schema, dict) and schema:
                validator = _validator(json.dumps(schema, sort_keys=True))
                if validator and not _matches(validator, call["function"]["arguments"]):
                    return True
    return False


def _bare(answer: str) -> str:
    """Return an answer without the fence of a code block around it."""
    text = answer.strip()
    fenced = _FENCED.match(text)
    return fenced.group(1).strip() if fenced else text


def _matches(validator: Any, text: str) -> bool:
    try:
        return bool(validator.is_valid(_decode(text)))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False


@lru_cache(maxsize=256)
def _schema_in(text: str) -> Any:
    """Return a validator of the JSON Schema in a text, or None."""
    start = text.find("{")
    while start >= 0 and len(text) <= _MAX_SCHEMA_CHARS:
        try:
            value, _ = _schemas.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        if isinstance(value, dict):
            value = value.get("schema", value)
        if isinstance(value, dict) and isinstance(value.get("properties"), dict):
            return _validator(json.dumps(value, sort_keys=True))
        start = text.find("{", start + 1)
    return None


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    if len(schema) > _MAX_SCHEMA_CHARS or '"$ref"' in schema or '"$dynamicRef"' in schema:
        return None
    import jsonschema_rs  # most data sets contain no schema

    patterns = jsonschema_rs.RegexOptions(
        size_limit=_MAX_PATTERN_BYTES, dfa_size_limit=_MAX_PATTERN_BYTES
    )
    try:
        return jsonschema_rs.validator_for(
            json.loads(schema), pattern_options=patterns, retriever=_refuse
        )
    except (ValueError, RecursionError):
        return None


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is another document")
