"""Error events for streams in which vLLM fails, instead of broken connections.

vLLM raises in the middle of some streams, such as a /v1/responses stream whose grammar it aborts.
The server would then break the connection, and the gateway would treat the engine as dead. One
caller's request must not have that effect.
"""

from __future__ import annotations

import json
import logging
import traceback

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

# vLLM's message for an aborted request, which the gateway knows, and ours for other failures.
_GAVE_UP, _STREAM_FAILED = "Internal server error", "The engine failed in this stream."


async def answer_whole(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let vLLM answer the request. If it fails during a stream, end the stream with an error."""
    is_open = False  # a stream has started and not ended

    async def watched(message: Message) -> None:
        nonlocal is_open
        if message["type"] == "http.response.start":
            is_open = _is_stream(message)
        elif not message.get("more_body", False):
            is_open = False
        await send(message)

    try:
        await app(scope, receive, watched)
    except Exception as e:  # vLLM can raise anything
        if not is_open:
            raise
        causes = _causes(e)
        # No tracebacks: they may contain parts of a prompt.
        log.error("a stream failed: %s", ", ".join(map(_place, causes)))
        message, status = _told(causes)
        error = {"message": message, "type": "InternalServerError", "param": None, "code": status}
        event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": event})


def _told(causes: list[BaseException]) -> tuple[str, int]:
    """Return the message and the status of an error, as vLLM has them outside of streams."""
    for cause in causes:
        name = type(cause).__name__
        if name == "GenerationError":
            return _GAVE_UP, 500
        if name == "VLLMValidationError":
            return str(cause), 400
        if (status := getattr(cause, "http_status", None)) is not None:  # GracefulHTTPError
            return str(cause), int(status)
    return _STREAM_FAILED, 500


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and its chain of causes."""
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) and cause not in found:
        found.append(cause)
    return found


def _place(error: BaseException) -> str:
    """Return the type of an error and the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return " at ".join([type(error).__name__, *(f"{at.filename}:{at.lineno}" for at in last)])


def _is_stream(start: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream")
        for name, value in start["headers"]
    )
