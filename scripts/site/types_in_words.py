"""Formats JSON schemas for the tables of the API reference."""

from __future__ import annotations

import json
import re
from typing import Any

Schema = dict[str, Any]

_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "{} characters or more",
    "maxLength": "up to {} characters",
}


def slug(text: str) -> str:
    """Convert a name to a URL slug."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")


def kind(schema: Schema | bool) -> str:
    """Describe a schema's type briefly, with links to objects and with limits."""
    if not isinstance(schema, dict) or not schema:
        return "anything"
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[1]
        return f"[{name}](objects.md#{slug(name)})"
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(kind(one) for one in schema[choice]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(one)}`" for one in schema["enum"])
    return _plain(schema)


def _plain(schema: Schema) -> str:
    of = schema.get("type", "anything")
    if isinstance(of, list):
        return " or ".join(kind({**schema, "type": one}) for one in of)
    if of == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if of == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    if of == "string" and schema.get("format"):
        of = schema["format"]
    found = [form.format(_number(schema[key])) for key, form in _LIMITS.items() if key in schema]
    return ", ".join([of, *found]).replace("1 characters or more", "not empty")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def default(field: Schema | bool) -> str:
    """Format a field's default, to append to its type."""
    if not isinstance(field, dict) or field.get("default") is None or "const" in field:
        return ""
    return f"; default `{json.dumps(field['default'], ensure_ascii=False)}`"


def cell(text: str) -> str:
    """Format text for a table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def star(required: bool) -> str:
    """Return the mark of a required field."""
    return " **\\***" if required else ""
