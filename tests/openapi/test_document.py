"""Tests that openapi.json matches the app and is complete."""

from __future__ import annotations

import json

from service.app import create_app
from service.config import Settings
from service.core.error_codes import CODES
from service.core.errors import BY_STATUS
from service.webhooks.schemas import EventType
from tests.openapi.description import (
    FILE,
    Operation,
    description,
    each_operation,
    each_schema,
    faults,
    received,
    resolved,
    within,
)

# Verbs by method. Other operations of POST are named after what they do, such as `pause`.
VERBS = {"get": ("get", "list"), "put": ("put",), "delete": ("delete",)}
OPEN = {"getLiveness", "getReadiness", "listSignInMethods"}
_IMPROBABLE = "\N{SNOWMAN}" * 9999  # text that no limit of a parameter allows


def test_openapi_json_is_what_the_app_generates():
    """Run `make openapi` to update the file."""
    assert json.loads(FILE.read_text("utf-8")) == create_app(Settings()).openapi()


@each_operation
def test_operation_ids_start_with_the_verb_of_their_method(operation: Operation):
    assert operation.id.startswith(VERBS.get(operation.method, "")), operation.path


@each_operation
def test_operations_that_return_a_list_are_named_list(operation: Operation):
    if operation.method != "get":
        return
    contents = operation.response(200)["content"]
    schema = resolved(contents.get("application/json", {}).get("schema", {}))
    is_list = schema.get("properties", {}).get("object", {}).get("const") == "list"
    assert operation.id.startswith("list" if is_list else "get")


@each_operation
def test_operation_is_described(operation: Operation):
    described = operation.described
    assert described["summary"]
    assert len(described["description"]) > len(described["summary"])
    for parameter in described.get("parameters", ()):
        assert parameter["description"], parameter["name"]
    for parameter in described.get("parameters", ()):
        assert parameter["in"] != "path" or "example" in parameter, parameter["name"]
    assert "422" not in described["responses"]


def test_integers_and_numbers_have_a_format():
    for where, schema in each_schema():
        wanted = {"integer": "int64", "number": "double"}.get(str(schema.get("type")))
        assert schema.get("format") == wanted or wanted is None, where


def test_schemas_and_their_properties_are_described():
    for where, schema in each_schema():
        assert schema.get("description") or "/" in where, where
        for name, field in schema.get("properties", {}).items():
            assert field.get("description"), f"{where} {name}"


def test_objects_of_responses_name_their_type_and_may_get_more_fields():
    closed, optional = [], []
    for name in sorted(received()):
        schema = description()["components"]["schemas"][name]
        parts = within(schema, name)
        closed += [where for where, part in parts if part.get("additionalProperties") is False]
        if "const" in schema.get("properties", {}).get("object", {}):
            optional += [name] if "object" not in schema["required"] else []
    assert (closed, optional) == ([], [])


def test_schemas_have_names_of_their_own():
    """Generated clients have them in one namespace, next to what their language provides."""
    names = set(description()["components"]["schemas"])
    assert names.isdisjoint({"Body", "Deleted", "File", "Limits", "Response", "Status", "Values"})
    assert not [name for name in names if not name.isidentifier() or "_" in name]


@each_operation
def test_streams_are_described_by_their_events(operation: Operation):
    parameters = {parameter["name"] for parameter in operation.described.get("parameters", ())}
    body = operation.described.get("requestBody", {}).get("content", {}).get("application/json", {})
    fields = resolved(body.get("schema", {})).get("properties", {})
    if "stream" in parameters or "stream" in fields:
        stream = operation.response(200)["content"]["text/event-stream"]
        assert resolved(stream["schema"])["properties"], operation.path


def test_each_webhook_event_is_described():
    webhooks = description()["webhooks"]
    assert set(webhooks) == set(EventType)
    for event_type, methods in webhooks.items():
        body = methods["post"]["requestBody"]["content"]["application/json"]
        sample = body["examples"]["sample"]["value"]
        assert sample["type"] == event_type
        assert not faults(sample, body["schema"], closed=True)


@each_operation
def test_common_errors_are_documented(operation: Operation):
    answers = set(operation.described["responses"])
    assert bool(operation.described["security"]) is (operation.id not in OPEN)
    if operation.id not in OPEN:
        assert {"401", "429", "503"} <= answers
    if operation.method == "post" and "{" in operation.path:
        assert "404" in answers


@each_operation
def test_deletions_say_what_is_deleted(operation: Operation):
    """A project takes time to delete, and is returned as it is."""
    if operation.method != "delete" or operation.id == "deleteProject":
        return
    schema = resolved(operation.response("200")["content"]["application/json"]["schema"])
    fields = schema["properties"]
    assert fields["deleted"]["const"] is True
    assert "object" in fields
    assert {"id", "eval_id", "run_id", "count"} & fields.keys()


@each_operation
def test_invalid_queries_are_documented(operation: Operation):
    queries = [p for p in operation.described.get("parameters", ()) if p["in"] == "query"]
    if any(faults(_IMPROBABLE, query["schema"]) for query in queries):
        assert "400" in operation.described["responses"]


@each_operation
def test_failures_have_the_error_body_and_a_real_example(operation: Operation):
    for status in operation.described["responses"]:
        if status < "400" or operation.id in OPEN:
            continue
        answer = operation.response(status)
        content = answer["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorResponse"}
        assert content["examples"], status
        for name, example in content["examples"].items():
            error = resolved(example)["value"]["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert name == error["code"]
            assert name in CODES[int(status)]
            assert error["type"] == BY_STATUS[int(status)].type
        assert set(operation.described.get("x-error-codes", {}).get(status, ())) <= set(
            content["examples"]
        )


@each_operation
def test_failures_are_described_by_their_error_classes(operation: Operation):
    for status in operation.described["responses"]:
        if status < "400" or operation.id in OPEN:
            continue
        kind, answer = BY_STATUS[int(status)], operation.response(status)
        assert answer["description"] == kind.description()
        assert kind.default_headers.keys() <= answer["headers"].keys()
