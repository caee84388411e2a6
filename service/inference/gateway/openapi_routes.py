"""FastAPI routes that describe the inference operations in openapi.json.

They never run: the application does not include this router, because `Gateway` answers the
requests without FastAPI.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from service.inference.gateway.schemas import (
    ChatCompletion,
    Completion,
    CreateChatCompletion,
    CreateCompletion,
    CreateEmbeddings,
    CreateResponse,
    Embeddings,
    Response,
)
from service.web.audit_events import AuditEvent
from service.web.deps import principal
from service.web.openapi.parts import RATE_ERROR_HEADERS, RATE_HEADERS, headers
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1", tags=["Inference"], dependencies=[Depends(principal)])

_PASSED_ON = (
    "`model` is the ID of a base model, a trained model or an alias in the project. The service "
    "forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's reference and "
    "vLLM's sampling parameters, including those not listed here, and answers any other parameter "
    "with 400 and the code `unknown_parameter`. Audio, hosted tools and whatever else no engine "
    "does are answered with 400 and the code `unsupported_parameter`."
)
_STREAMED = (
    "If `stream` is true, the response is a stream of server-sent events: one `data:` line of JSON "
    "each, {end}. A failure during the stream is sent as an event with the body `Error`."
)
_UNTIL_DONE = _STREAMED.format(end="then `data: [DONE]`")
_UNTIL_COMPLETED = _STREAMED.format(
    end="preceded by an `event:` line with the event's type; the last is `response.completed`, or "
    "`response.incomplete` if the answer reached the token limit"
)

_Responses = dict[int | str, dict[str, Any]]
_WHOLE: _Responses = {
    200: {"description": "The engine's response.", "headers": headers(*RATE_HEADERS)},
    429: {"headers": headers(*RATE_ERROR_HEADERS)},
}
_STREAM = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
_STREAM_OR_WHOLE: _Responses = {**_WHOLE, 200: {**_WHOLE[200], **_STREAM}}


@router.post(
    "/chat/completions",
    operation_id="createChatCompletion",
    summary="Create a chat completion",
    description=f"Generates the next message of a conversation. {_PASSED_ON} {_UNTIL_DONE}",
    responses=_STREAM_OR_WHOLE,
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_chat_completion(_: CreateChatCompletion) -> ChatCompletion:
    """Generate the next message of a conversation."""
    raise NotImplementedError


@router.post(
    "/completions",
    operation_id="createCompletion",
    summary="Create a completion",
    description=f"Continues a text without applying a chat template. {_PASSED_ON} {_UNTIL_DONE}",
    responses=_STREAM_OR_WHOLE,
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_completion(_: CreateCompletion) -> Completion:
    """Continue a text."""
    raise NotImplementedError


@router.post(
    "/responses",
    operation_id="createResponse",
    summary="Create a response",
    description=f"Generates a response with OpenAI's Responses API. {_PASSED_ON} A response "
    f"cannot be continued by its ID: `previous_response_id` finds none. {_UNTIL_COMPLETED}",
    responses=_STREAM_OR_WHOLE,
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_response(_: CreateResponse) -> Response:
    """Generate a response with OpenAI's Responses API."""
    raise NotImplementedError


@router.post(
    "/embeddings",
    operation_id="createEmbedding",
    summary="Create embeddings",
    description="Converts texts to embedding vectors. The base model must be an embedding model; "
    f"others answer 400 with the code `unsupported_model`. {_PASSED_ON}",
    responses=_WHOLE,
    openapi_extra=needs(Permission.MODEL_REQUEST, AuditEvent.MODEL_REQUESTED),
)
async def create_embedding(_: CreateEmbeddings) -> Embeddings:
    """Convert texts to embedding vectors."""
    raise NotImplementedError
