"""Tests that each example matches its schema and was exchanged with a running api."""

from __future__ import annotations

import copy
import difflib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.openapi.description import (
    Json,
    Operation,
    each_operation,
    examples,
    faults,
    operations,
    resolved,
)
from tests.openapi.record import EXAMPLES
from tests.openapi.stable import Stable
from tests.openapi.world import SHARED, World

pytestmark = pytest.mark.slow


@each_operation
def test_examples_are_what_their_schemas_say(operation: Operation):
    parts = [operation.response(status) for status in operation.described["responses"]]
    body = operation.described.get("requestBody")
    for part in [*parts, *([] if body is None else [body])]:
        for media, name, value, schema in examples(part):
            assert not faults(value, schema, closed=True), f"{media} {name}"
    for parameter in operation.described.get("parameters", ()):
        if "example" in parameter:
            assert not faults(parameter["example"], parameter["schema"]), parameter["name"]


@each_operation
def test_operation_has_examples_of_its_body_and_its_success(operation: Operation):
    answers = operation.described["responses"]
    wanted = [resolved(answers[status]) for status in answers if status < "300"]
    if body := operation.described.get("requestBody"):
        wanted.append(body)
    for part in wanted:
        for media, content in part["content"].items():
            assert content.get("examples"), media


def test_a_false_example_would_be_found():
    schema = {"$ref": "#/components/schemas/FileObject"}
    file = operations()["createFile"].response(200)["content"]["application/json"]
    example = copy.deepcopy(next(iter(file["examples"].values()))["value"])
    assert not faults(example, schema, closed=True)
    assert faults({**example, "bytes": "many"}, schema)
    assert faults({**example, "new": 1}, schema, closed=True)
    del example["bytes"]
    assert faults(example, schema)


def test_examples_are_what_a_running_api_says(world: World):
    """Every request was sent. Run `make openapi-examples` to update the examples."""
    kept = {file.stem: json.loads(file.read_text("utf-8")) for file in EXAMPLES.glob("*.json")}
    if os.geteuid() != 0:  # a full disk needs root
        for said in kept.values():
            said.get("responses", {}).pop("507", None)
    assert world.said.keys() == kept.keys()
    for name, said in world.said.items():  # in the order of the requests: the first shifts others
        assert said == kept[name], "\n".join(_changes(name, kept[name], said))


def _changes(name: str, before: Any, after: Any) -> Iterator[str]:
    kept, said = (
        json.dumps(value, indent=1, sort_keys=True).splitlines() for value in (before, after)
    )
    return difflib.unified_diff(kept, said, f"{name}, kept", f"{name}, said", n=1, lineterm="")


@pytest.mark.parametrize("first", "aZ0_-")
def test_tokens_are_replaced_whatever_they_begin_with(first: str):
    """One in 64 begins with a hyphen. If it stayed, it would shift the names after it, too."""
    token = first + "x7Kq_-3VnM" * 4 + "d0"
    for text in (token, f"finetuned-session={token}", f"sk-ft-{token}"):
        assert "x7Kq" not in Stable().value(text)


def test_every_operation_was_called(world: World):
    called = world.said.keys() - {SHARED}
    assert called == operations().keys()


def test_every_error_that_is_documented_was_seen(world: World):
    """Errors that all operations share were observed with one of them, and some with a stack."""
    shared = set(world.said[SHARED]["responses"])
    stack = {f.stem: json.loads(f.read_text("utf-8")) for f in EXAMPLES.glob("stack/*.json")}
    for operation in operations().values():
        said: Json = {
            **stack.get(operation.id, {}).get("responses", {}),
            **world.said[operation.id].get("responses", {}),
        }
        documented = {status for status in operation.described["responses"] if status >= "400"}
        root = set() if os.geteuid() == 0 else {"507"}
        assert documented - shared - root <= said.keys(), operation.id
