"""What FastAPI cannot know of the API's description: errors, security, inference routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_OPEN = ("/livez", "/readyz", "/metrics")
_ERRORS = {
    "400": "The request is malformed.",
    "401": "No key, or one that is not known.",
    "404": "No such object in your project.",
    "429": "Over a limit; see retry-after.",
    "503": "A part is away for the moment; see retry-after.",
}
_INFERENCE = {
    "/v1/chat/completions": (
        "createChatCompletion",
        "Create a chat completion",
        "messages",
    ),
    "/v1/completions": ("createCompletion", "Create a completion", "prompt"),
    "/v1/responses": ("createResponse", "Create a response", "input"),
    "/v1/embeddings": ("createEmbedding", "Create embeddings", "input"),
}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def describe(app: FastAPI, schemas: Mapping[str, Any]) -> None:
    """Make `/openapi.json` the whole truth; `schemas` are those of no pydantic model."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary="Fine-tune open models on your own hardware and serve them.",
                    description="OpenAI's API for files, fine-tuning, models and inference.",
                    routes=app.routes,
                ),
                schemas,
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(schema: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    if both := components.keys() & more.keys():
        raise ValueError(f"two schemas have one name: {sorted(both)}")
    components.update(more)
    components["Error"] = _ERROR_SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    for path, (operation_id, summary, wanted) in _INFERENCE.items():
        schema["paths"][path] = {"post": _inference(operation_id, summary, wanted)}
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            responses = operation["responses"]
            responses.pop("422", None)
            if path not in _OPEN:
                for status, text in _ERRORS.items():
                    responses[status] = _error(text)
    return schema


def _error(text: str) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Error"}
    return {"description": text, "content": {"application/json": {"schema": reference}}}


def _inference(operation_id: str, summary: str, wanted: str) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["model", wanted],
        "properties": {
            "model": {"type": "string"},
            wanted: {},
            "stream": {"type": "boolean"},
        },
        "additionalProperties": True,
    }
    return {
        "tags": ["Inference"],
        "operationId": operation_id,
        "summary": summary,
        "description": "Passed through to vLLM as it is; see OpenAI's reference for the body.",
        "security": [{"HTTPBearer": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": body}},
        },
        "responses": {
            "200": {
                "description": "The engine's answer; server-sent events with `stream`.",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            }
        },
    }
