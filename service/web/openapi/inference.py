"""The inference routes, which go past FastAPI, as openapi.json tells of them.

Their bodies are vLLM's to judge: what is named here is what most callers send and read. Fields
beyond that reach the engine, and its answers come back as they are.
"""

from __future__ import annotations

from typing import Any

from service.web.openapi import parts
from service.web.openapi.inference_schemas import SCHEMAS

TAG = "Inference"

_PASSED_ON = (
    "`model` is a base model, a trained model or an alias of the project. The body goes to vLLM "
    "as it is, so all fields of OpenAI's reference and vLLM's that vLLM knows work, beside those "
    "that are described here. "
)
_STREAMED = (
    "With `stream: true` the answer comes as server-sent events: one `data:` line of JSON each, "
    "{end}. A failure in mid-stream is an event with the body `Error`."
)
_UNTIL_DONE = "then `data: [DONE]`"
_TYPED = "with an `event:` line before it that names its type; the last is `response.completed`"


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
                "description": "The engine's answer.",
                "headers": parts.headers(*parts.RATE_HEADERS),
                "content": contents,
            }
        },
    }


def operations() -> dict[str, dict[str, Any]]:
    """Each is a POST, by its path; made anew at each call."""
    return {
        "/v1/chat/completions": _operation(
            "createChatCompletion",
            "Create a chat completion",
            f"Answers a conversation. {_PASSED_ON}",
            "ChatCompletion",
            streams=_UNTIL_DONE,
        ),
        "/v1/completions": _operation(
            "createCompletion",
            "Create a completion",
            f"Goes on with a text, without a chat template. {_PASSED_ON}",
            "Completion",
            streams=_UNTIL_DONE,
        ),
        "/v1/responses": _operation(
            "createResponse",
            "Create a response",
            f"Answers by OpenAI's Responses API. {_PASSED_ON}Nothing is kept between requests: "
            "`previous_response_id` finds nothing.",
            "Response",
            streams=_TYPED,
        ),
        "/v1/embeddings": _operation(
            "createEmbedding",
            "Create embeddings",
            f"Turns texts into vectors, where the base model is an embedding model; others answer "
            f"400 with the code `unsupported_model`. {_PASSED_ON}",
            "Embeddings",
            streams=None,
        ),
    }


__all__ = ["SCHEMAS", "TAG", "operations"]
