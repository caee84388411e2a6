"""OpenAPI descriptions of the inference routes, which bypass FastAPI.

vLLM validates the bodies. The schemas here list the fields that most clients send and read. Other
fields reach the engine, and its answers are returned unchanged.
"""

from __future__ import annotations

from typing import Any

from service.web.openapi import parts
from service.web.openapi.inference_schemas import SCHEMAS

TAG = "Inference"

_PASSED_ON = (
    "`model` is the ID of a base model, a trained model or an alias in the project. The service "
    "forwards the body to vLLM unchanged. All parameters of OpenAI's and vLLM's references that "
    "vLLM supports work, including those not listed here. "
)
_STREAMED = (
    "If `stream` is true, the response is a stream of server-sent events: one `data:` line of JSON "
    "each, {end}. A failure during the stream is sent as an event with the body `Error`."
)
_UNTIL_DONE = "then `data: [DONE]`"
_TYPED = "preceded by an `event:` line with the event's type; the last is `response.completed`"


def _operation(
    operation_id: str, summary: str, description: str, name: str, *, streams: str | None
) -> dict[str, Any]:
    contents: dict[str, Any] = {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}
    }
    if streams is not None:
        contents["text/event-stream"] = {"schema": {"type": "string"}}
        description += " " + _STREAMED.format(end=streams)
    body = {"schema": {"$ref": f"#/components/schemas/Create{name}"}}
    return {
        "tags": [TAG],
        "operationId": operation_id,
        "summary": summary,
        "description": description,
        "security": [{"HTTPBearer": []}],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "The engine's response.",
                "headers": parts.headers(*parts.RATE_HEADERS),
                "content": contents,
            }
        },
    }


def operations() -> dict[str, dict[str, Any]]:
    """Build the operations by path; each is a POST. Every call returns new objects."""
    return {
        "/v1/chat/completions": _operation(
            "createChatCompletion",
            "Create a chat completion",
            f"Generates the next message of a conversation. {_PASSED_ON}",
            "ChatCompletion",
            streams=_UNTIL_DONE,
        ),
        "/v1/completions": _operation(
            "createCompletion",
            "Create a completion",
            f"Continues a text without applying a chat template. {_PASSED_ON}",
            "Completion",
            streams=_UNTIL_DONE,
        ),
        "/v1/responses": _operation(
            "createResponse",
            "Create a response",
            f"Generates a response with OpenAI's Responses API. {_PASSED_ON}Responses are not "
            "stored, so `previous_response_id` finds none.",
            "Response",
            streams=_TYPED,
        ),
        "/v1/embeddings": _operation(
            "createEmbedding",
            "Create embeddings",
            f"Converts texts to embedding vectors. The base model must be an embedding model; "
            f"others answer 400 with the code `unsupported_model`. {_PASSED_ON}",
            "Embeddings",
            streams=None,
        ),
    }


__all__ = ["SCHEMAS", "TAG", "operations"]
