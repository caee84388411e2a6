"""Requests and answers as a running api gave them, and the errors that each operation has.

A file an operation, in `examples/` from the api alone and in `examples/stack/` from an installation
that trains and serves. Each holds `parameters` by name, and examples by media type in
`requestBody`, by status and media type in `responses`. `make openapi-examples` writes them; a
status for which no example was ever given is not documented.
"""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

Said = dict[str, Any]
SHARED = "shared"


def recorded() -> dict[str, Said]:
    """All that was said, by operationId; under `SHARED` the errors of every operation."""
    folder = files(__package__) / "examples"
    found: dict[str, Said] = {}
    for part in (folder, folder / "stack"):
        for file in _json_files(part):
            said = json.loads(file.read_text("utf-8"))
            _merge(found.setdefault(file.name.removesuffix(".json"), {}), said)
    return found


def add_to_parameters(operation: dict[str, Any], said: Said) -> None:
    """Give parameters the values that they had in a request."""
    given = said.get("parameters", {})
    for parameter in operation.get("parameters", ()):
        name = parameter["name"].lower()
        if name in given and "example" not in parameter:
            parameter["example"] = given[name]


def add_to_contents(described: dict[str, Any], examples: Said) -> None:
    """Give the contents of a body or a response their examples, by media type."""
    contents = described.setdefault("content", {})
    for media, named in examples.items():
        contents.setdefault(media, {})["examples"] = named


def _json_files(folder: Traversable) -> list[Traversable]:
    if not folder.is_dir():
        return []
    named = [file for file in folder.iterdir() if file.name.endswith(".json")]
    return sorted(named, key=lambda file: file.name)


def _merge(into: Said, more: Said) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and "value" not in value:
            _merge(into[key], value)
        else:
            into[key] = value
