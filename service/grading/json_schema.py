"""Validation of JSON by `json_schema` graders.

Items are validated in the sandbox: a pattern or a recursive schema can take unbounded time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from service.grading.errors import ItemFailed
from service.grading.judges import PythonRunner
from service.grading.samples import parse_json

# An empty registry: references to other documents fail and nothing is fetched.
_SOURCE: Final = """
import jsonschema
import referencing

def grade(sample, item):
    validator = jsonschema.Draft202012Validator(item["schema"], registry=referencing.Registry())
    return float(validator.is_valid(item["value"]))
"""


class SchemaInvalid(ValueError):
    """The text is not a JSON Schema, or refers to another document."""


def check_schema(schema: Mapping[str, Any]) -> None:
    """Check that a JSON Schema of draft 2020-12 is valid and closed. Raises SchemaInvalid."""
    import jsonschema  # type: ignore[import-untyped]

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        _check_references(schema)
    except jsonschema.SchemaError as error:
        path = "/".join(map(str, error.absolute_path))
        raise SchemaInvalid(
            f"The schema is not a JSON Schema of draft 2020-12: see /{path}."
        ) from error
    except RecursionError as error:
        raise SchemaInvalid("The schema is nested too deeply.") from error


async def score(schema: Mapping[str, Any], text: str, runner: PythonRunner) -> float:
    """Return 1.0 if the text is JSON that the schema allows, else 0.0. Raises ItemFailed."""
    value = parse_json(text)
    if value is None and text.strip() != "null":
        return 0.0
    try:
        return await runner.grade(_SOURCE, None, {"schema": dict(schema), "value": value})
    except ItemFailed as failed:
        raise ItemFailed(
            "other_error", f"The answer cannot be validated: {failed.error.message}"
        ) from failed


def _check_references(node: Any) -> None:
    if isinstance(node, Mapping):
        for key in ("$ref", "$dynamicRef"):
            reference = node.get(key)
            if isinstance(reference, str) and not reference.startswith("#"):
                raise SchemaInvalid(
                    f"The schema refers to another document ({reference[:100]}). Copy it into "
                    f"'$defs' and refer to '#/$defs/…'."
                )
        for below in node.values():
            _check_references(below)
    elif isinstance(node, list):
        for below in node:
            _check_references(below)
