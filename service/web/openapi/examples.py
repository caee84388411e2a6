"""Example requests and responses recorded from a running API, and the errors of each operation.

There is one file per operation: in `examples/` if recorded from the API alone, and in
`examples/stack/` if recorded from an installation that trains and serves. Each file holds
`parameters` by name, `requestBody` examples by media type, and `responses` examples by status and
media type. `make openapi-examples` writes the files. A status without a recorded example is not
documented.
"""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

Recorded = dict[str, Any]
SHARED = "shared"


def recorded() -> dict[str, Recorded]:
    """All recorded examples by operationId; `SHARED` holds the errors that all operations share."""
    folder = files(__package__) / "examples"
    found: dict[str, Recorded] = {}
    for part in (folder, folder / "stack"):
        for file in _json_files(part):
            recorded_examples = json.loads(file.read_text("utf-8"))
            _merge(found.setdefault(file.name.removesuffix(".json"), {}), recorded_examples)
    return found


def add_to_parameters(operation: dict[str, Any], recorded_examples: Recorded) -> None:
    """Set each parameter's example to the value recorded in a request."""
    given = recorded_examples.get("parameters", {})
    for parameter in operation.get("parameters", ()):
        name = parameter["name"].lower()
        if name in given and "example" not in parameter:
            parameter["example"] = given[name]


def add_to_contents(described: dict[str, Any], examples: Recorded) -> None:
    """Add examples to the contents of a request body or a response, by media type."""
    contents = described.setdefault("content", {})
    for media, named in examples.items():
        contents.setdefault(media, {})["examples"] = named


def _json_files(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    named = [file for file in folder.iterdir() if file.name.endswith(".json")]
    return sorted(named, key=lambda file: file.name)


def _merge(into: Recorded, more: Recorded) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and "value" not in value:
            _merge(into[key], value)
        else:
            into[key] = value
