"""openapi.json as tests read it: its operations, and whether a value is what it says."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "openapi.json"
Json = dict[str, Any]


@functools.cache
def description() -> Json:
    """The whole file."""
    return json.loads(FILE.read_text("utf-8"))


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    described: Json

    @property
    def id(self) -> str:
        """Its operationId."""
        return self.described["operationId"]

    def response(self, status: int | str) -> Json:
        """What it may answer with a status."""
        return resolved(self.described["responses"][str(status)])


@functools.cache
def operations() -> dict[str, Operation]:
    """All of them, by operationId."""
    found = [
        Operation(method, path, described)
        for path, methods in description()["paths"].items()
        for method, described in methods.items()
    ]
    return {operation.id: operation for operation in found}


def resolved(part: Json) -> Json:
    """The part itself, where there is only a reference to it."""
    while reference := part.get("$ref"):
        part = functools.reduce(lambda at, key: at[key], reference[2:].split("/"), description())
    return part


def faults(value: object, schema: Json, *, closed: bool = False) -> list[str]:
    """Why a value is not what a schema says; `closed`: nor may it have more than that."""
    components = _closed() if closed else description()["components"]
    validator = Draft202012Validator({**schema, "components": components})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@functools.cache
def _closed() -> Json:
    """The components, whose objects may have no property that is not described."""
    components = copy.deepcopy(description()["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return components


def examples(part: Json) -> Iterator[tuple[str, str, Any, Json]]:
    """All of a body or a response: media type, name, value, schema."""
    for media, described in resolved(part).get("content", {}).items():
        for name, example in described.get("examples", {}).items():
            yield media, name, example["value"], described["schema"]
