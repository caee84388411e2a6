"""Reads openapi.json for tests: its operations, and whether a value matches its schema."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "openapi.json"
Json = dict[str, Any]


@functools.cache
def description() -> Json:
    """Return the complete document."""
    return json.loads(FILE.read_text("utf-8"))


@dataclass(frozen=True)
class Operation:
    """One method of a path."""

    method: str
    path: str
    described: Json

    @property
    def id(self) -> str:
        """Its operationId."""
        return self.described["operationId"]

    def response(self, status: int | str) -> Json:
        """Return the documented response for a status."""
        return resolved(self.described["responses"][str(status)])


@functools.cache
def operations() -> dict[str, Operation]:
    """Return all operations by operationId."""
    found = [
        Operation(method, path, described)
        for path, methods in description()["paths"].items()
        for method, described in methods.items()
    ]
    return {operation.id: operation for operation in found}


def each_operation(check: Callable[[Operation], None]) -> Callable[[], None]:
    """Turn a check of an operation into a test of all, which names the operation that fails."""

    def test() -> None:
        for operation in operations().values():
            try:
                check(operation)
            except AssertionError as e:
                raise AssertionError(f"{operation.id}: {e}") from e

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def resolved(part: Json) -> Json:
    """Return the referenced part, or the part itself."""
    while reference := part.get("$ref"):
        part = functools.reduce(lambda at, key: at[key], reference[2:].split("/"), description())
    return part


def faults(value: object, schema: Json, *, closed: bool = False) -> list[str]:
    """Return why a value does not match a schema. `closed` also refuses undocumented fields."""
    components = _closed() if closed else description()["components"]
    validator = Draft202012Validator({**schema, "components": components})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


@functools.cache
def _closed() -> Json:
    """Return the components with undocumented properties forbidden."""
    components = copy.deepcopy(description()["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return components


def examples(part: Json) -> Iterator[tuple[str, str, Any, Json]]:
    """Return all examples of a body or response: media type, name, value, schema."""
    for media, described in resolved(part).get("content", {}).items():
        for name, example in described.get("examples", {}).items():
            yield media, name, example["value"], described["schema"]


def each_schema() -> Iterator[tuple[str, Json]]:
    """Yield the named schemas and what is within them, each with where it is."""
    for name, schema in description()["components"]["schemas"].items():
        yield from within(schema, name)


def within(part: Any, where: str) -> Iterator[tuple[str, Json]]:
    """Yield a schema and those within it, each with where it is."""
    yield where, part
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(part.get(keyword), dict):
            yield from within(part[keyword], f"{where}/{keyword}")
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, option in enumerate(part.get(keyword, ())):
            yield from within(option, f"{where}/{keyword}/{index}")
    for name, field in part.get("properties", {}).items():
        yield from within(field, f"{where}/{name}")


def received() -> set[str]:
    """Return the names of the schemas that responses contain."""
    found: set[str] = set()
    rest: list[Any] = [operation.described["responses"] for operation in operations().values()]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            reference = part.get("$ref", "")
            if isinstance(reference, str) and reference and reference not in found:
                found.add(reference)
                rest.append(resolved(part))
            rest += [value for key, value in part.items() if key not in ("examples", "example")]
        elif isinstance(part, list):
            rest += part
    prefix = "#/components/schemas/"
    return {one.removeprefix(prefix) for one in found if one.startswith(prefix)}
