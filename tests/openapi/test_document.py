"""Tests that openapi.json matches the app and is complete."""

from __future__ import annotations

import json

from service.app import create_app
from service.config import Settings
from service.core.error_codes import CODES
from service.core.errors import BY_STATUS
from tests.openapi.description import FILE, Operation, each_operation, faults, operations, resolved

# OpenAI's own operationIds for the routes that it has too. Its administration has operationIds in
# kebab case, which make poor function names.
OPENAI = {
    *("createFile", "listFiles", "retrieveFile", "deleteFile", "downloadFile"),
    *("createUpload", "addUploadPart", "completeUpload", "cancelUpload"),
    *("createFineTuningJob", "retrieveFineTuningJob", "cancelFineTuningJob"),
    *("pauseFineTuningJob", "resumeFineTuningJob", "listFineTuningEvents"),
    *("listFineTuningJobCheckpoints", "listModels", "retrieveModel", "deleteModel"),
    *("runGrader", "validateGrader"),
    *("createChatCompletion", "createCompletion", "createResponse", "createEmbedding"),
    *("createEval", "listEvals", "getEval", "updateEval", "deleteEval"),
    *("createEvalRun", "getEvalRuns", "getEvalRun", "cancelEvalRun", "deleteEvalRun"),
    *("getEvalRunOutputItems", "getEvalRunOutputItem"),
    # Its published document has these without an operationId; ours are in the same style.
    *("listChatCompletions", "getChatCompletion", "updateChatCompletion"),
    *("deleteChatCompletion", "getChatCompletionMessages"),
    *("createBatch", "listBatches", "retrieveBatch", "cancelBatch"),
}
OPEN = {"livez", "readyz"}
_IMPROBABLE = "\N{SNOWMAN}" * 9999  # text that no limit of a parameter allows


def test_openapi_json_is_what_the_app_generates():
    """Run `make openapi` to update the file."""
    assert json.loads(FILE.read_text("utf-8")) == create_app(Settings()).openapi()


def test_operation_ids_are_openais():
    assert set(operations()) >= OPENAI


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
        assert content["schema"] == {"$ref": "#/components/schemas/Error"}
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
