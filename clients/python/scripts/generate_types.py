"""Generates the client's types from openapi.json.

Only shapes are copied. The server enforces limits (lengths, ranges, patterns) and additional
properties, so that a client does not reject what a newer server allows.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent / "src" / "finetuned"
_LIMITS = frozenset(
    {
        "discriminator",  # pydantic forbids it with the validator of `ApiObject`
        "examples",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "propertyNames",
    }
)
_HEAD = '"""{}, generated from openapi.json by `make clients`. Do not edit."""\n\n'
_OPTIONS = [
    *("--target-python-version", "3.10", "--enum-field-as-literal", "all"),
    *("--collapse-root-models", "--formatters", "builtin", "--use-schema-description"),
    *("--use-union-operator", "--use-standard-collections", "--disable-timestamp"),
    "--strict-nullable",
]
_MODELS = [
    "--base-class",
    "finetuned._model.ApiObject",
    "--use-field-description",
    "--use-annotated",
]
_DICTS = ["--output-model-type", "typing.TypedDict"]


def generate(openapi: dict[str, Any]) -> dict[Path, str]:
    """Return the source of the modules `types` and `params`."""
    schemas = openapi["components"]["schemas"]
    operations = [
        operation
        for item in openapi["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
    ]
    used = _used(openapi, [operations, openapi.get("webhooks", {})])
    # The client has one generic type for all lists.
    objects = {n: shape(schemas[n]) for n in schemas if n in used and not is_list(schemas[n])}
    sent = _used(openapi, [operation.get("requestBody", {}) for operation in operations])
    sent_objects = {name: one for name, one in objects.items() if name in sent}
    return {
        PACKAGE / "types.py": _HEAD.format("API objects") + _source(openapi, objects, _MODELS),
        PACKAGE / "params.py": _HEAD.format("Request fields")
        + _source(openapi, sent_objects, _DICTS),
    }


def list_item(schema: dict[str, Any]) -> str | None:
    """Return the schema of a list's objects, or None if it is no list."""
    if not is_list(schema):
        return None
    return str(schema["properties"]["data"]["items"]["$ref"]).rpartition("/")[2]


def is_list(schema: dict[str, Any]) -> bool:
    """Return whether a schema is a page of objects."""
    data = schema.get("properties", {}).get("data", {})
    return "has_more" in schema.get("properties", {}) and "$ref" in data.get("items", {})


def _used(openapi: dict[str, Any], parts: Any) -> set[str]:
    """Return the schemas that parts of the document refer to, directly or not."""
    found: set[str] = set()
    while parts:
        names = {*re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(parts))} - found
        found |= names
        parts = [openapi["components"]["schemas"][name] for name in names]
    return found


def _source(openapi: dict[str, Any], schemas: dict[str, Any], options: list[str]) -> str:
    document = {
        "openapi": openapi["openapi"],
        "info": openapi["info"],
        "paths": {},
        "components": {"schemas": schemas},
    }
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "types.py"
        source.write_text(json.dumps(document), "utf-8")
        files = ["--input", str(source), "--output", str(target), "--input-file-type", "openapi"]
        command = [sys.executable, "-W", "ignore", "-m", "datamodel_code_generator"]
        subprocess.run([*command, *files, *_OPTIONS, *options], check=True)
        text = target.read_text("utf-8")
        return text[text.index("from __future__") :]


def shape(schema: Any, *, named: bool = False) -> Any:
    """Copy a schema without field titles and limits. `named`: keys are field names."""
    if isinstance(schema, list):
        return [shape(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, inner in schema.items():
        if not named and _is_left_out(key, inner):
            continue
        kept[key] = shape(inner, named=key == "properties" and not named)
    return kept


def _is_left_out(key: str, inner: Any) -> bool:
    if key == "additionalProperties":
        return not isinstance(inner, dict)  # the values of a map are typed
    if key == "default":
        return isinstance(inner, dict)  # the server fills in default objects
    return key == "title" or key in _LIMITS
