"""Validates JSON for `json_schema` graders.

Items are validated in the sandbox, since a recursive schema can take unbounded time. Patterns take
linear time, and no document is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from service.grading.errors import ItemFailed
from service.grading.model_graders import PythonRunner
from service.grading.results import parse_json

_SOURCE: Final = """
import jsonschema_rs

def refuse(uri):
    raise ValueError(f"{uri} is another document")

def grade(sample, item):
    return jsonschema_rs.validator_for(item["schema"], retriever=refuse).is_valid(item["value"])
"""


class SchemaInvalid(ValueError):
    """The value is not a JSON Schema, or refers to another document."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that a JSON Schema is valid and refers to no other document. Raises SchemaInvalid."""
    try:
        jsonschema_rs.validator_for(dict(schema), retriever=_refuse)
    except (ValueError, RecursionError) as error:
        raise SchemaInvalid(f"The schema cannot be used: {why_unusable(error)}") from error


def why_unusable(error: Exception) -> str:
    """Describe why the library refuses a schema, without its own words."""
    if not isinstance(error, jsonschema_rs.ValidationError):
        return "it is nested too deeply, or has a value that is not JSON."
    if error.kind.name == "$ref":
        return (
            "'$schema', '$id' or a '$ref' leads nowhere, or to another document. Copy what it "
            "refers to into '$defs'."
        )
    value = error.instance
    shown = f"'{value[:80]}'" if isinstance(value, str) else "the value"
    what = "as a regular expression" if error.kind.name == "format" else "in a JSON Schema"
    return f"In context={tuple(error.instance_path)}, {shown} is not valid {what}."


async def score(schema: Mapping[str, Any], text: str, runner: PythonRunner) -> float:
    """Return 1.0 if the text is JSON that the schema allows, else 0.0. Raises ItemFailed."""
    value = parse_json(text)
    if value is None and text.strip() != "null":
        return 0.0
    # Each schema has its own source, and so its own child process that may hang.
    digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()
    try:
        return await runner.grade(
            f"# {digest}{_SOURCE}", None, {"schema": dict(schema), "value": value}
        )
    except ItemFailed as failed:
        raise ItemFailed(
            "other_error", f"The answer cannot be validated: {failed.error.message}"
        ) from failed


def _refuse(uri: str) -> Any:
    raise ValueError(f"{uri} is a reference to another document; copy that into '$defs'")
