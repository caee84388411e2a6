"""Conversion of engine errors to OpenAI's format, without revealing internals.

vLLM writes `{"error": {"message", "type", "param", "code": <status>}}` with its own types.
Client errors get OpenAI's words (engine_words.py), and engine errors a message of this service.
There is one exception: vLLM answers 500 for a grammar that it accepted but cannot follow, which the
client has to fix.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from service.core.errors import (
    NO_RETRY,
    ApiError,
    BadGateway,
    BadRequest,
    InternalError,
    NotFound,
    RateLimited,
    TooLarge,
    Unavailable,
)
from service.inference.gateway.engine_words import in_openais_words, unusable_grammar
from service.inference.gateway.parameters import constraint_of
from service.inference.headers import CONSTRAINT_BUSY, CONSTRAINT_TOO_COMPLEX

MAX_ERROR_BYTES = 64 * 1024
# vLLM's message for a request that it aborted. Without cache transfers between engines, which this
# service does not use, only grammars cause it. A failing engine reports something else.
_GAVE_UP = "Internal server error"
# Matches only at the start of a line: JSON escapes line breaks.
_ERROR_MARK = b'data: {"error":'
_ERROR_EVENT = re.compile(rb'^data: (\{"error":.*\})$', re.MULTILINE)
# vLLM's answer to `tools` without a parser names its own options, which a client cannot set.
_NO_TOOL_PARSER = "--enable-auto-tool-choice"
# vLLM answers 400 for an adapter that it found but cannot load, which is not a client error.
_NOT_LOADABLE = "was found but could not be loaded"


class EngineRequest(NamedTuple):
    """A request to the engine, used for error messages."""

    model: str
    path: str
    body: bytes


class _Detail(msgspec.Struct):
    message: str = ""
    param: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Detail


def map_error(status: int, body: bytes, request: EngineRequest) -> ApiError:
    """Convert an engine's response with a status of 300 or higher to an error."""
    detail = _detail(body)
    if status == 500 and detail.message == _GAVE_UP and (param := constraint_of(request.body)):
        return unusable_grammar(param)
    if detail.message.startswith(CONSTRAINT_TOO_COMPLEX):
        return _slow_constraint(constraint_of(request.body))
    if detail.message.startswith(CONSTRAINT_BUSY):
        return _many_constraints()
    if _NOT_LOADABLE in detail.message or detail.code == "adapter_broken":
        return not_loadable(request.model)
    if status == 404:
        return _not_found(detail, request.model, request.path)
    if status == 400 and _NO_TOOL_PARSER in detail.message:
        return unsupported_tools(request.model, request.model)
    if 400 <= status < 500:
        return _callers_fault(status, detail, request)
    return _engines_fault(status, detail)


def leading_error(chunk: bytes, request: EngineRequest) -> ApiError | None:
    """Return the error that a stream starts with, while a status can still be sent."""
    found = _ERROR_EVENT.match(chunk)
    return _of_event(found, request) if found else None


def map_events(chunk: bytes, request: EngineRequest) -> bytes:
    """Replace the engine's errors in a chunk of a stream with errors for the client."""
    if _ERROR_MARK not in chunk:
        return chunk

    def replacement(found: re.Match[bytes]) -> bytes:
        return b"data: " + msgspec.json.encode(_of_event(found, request).body())

    return _ERROR_EVENT.sub(replacement, chunk)


def _of_event(found: re.Match[bytes], request: EngineRequest) -> ApiError:
    code = _detail(found[1]).code
    status = code if isinstance(code, int) and code >= 400 else 500
    return map_error(status, found[1], request)


def _callers_fault(status: int, detail: _Detail, request: EngineRequest) -> ApiError:
    if status in {400, 422}:
        return in_openais_words(detail.message, detail.param, request.path, request.body)
    if status == 413:
        return TooLarge("The request is too large for the engine.")
    if status == 429:
        return RateLimited("The engine has too many requests. Try again in a second.")
    return _not_set_up(status)


def _engines_fault(status: int, detail: _Detail) -> ApiError:
    if status == 500:
        return InternalError("The engine failed on this request.", code="engine_error")
    if status in {502, 503, 504}:
        return Unavailable(
            "The engine cannot answer at the moment. Try again in a few seconds.",
            code=detail.code if isinstance(detail.code, str) else "engine_unavailable",
        )
    return _not_set_up(status)


def _not_set_up(status: int) -> ApiError:
    """Convert 401, 405, redirects and the like: the gateway and the engine are misconfigured."""
    return BadGateway(f"The engine answered with an unexpected status, {status}.")


def _slow_constraint(param: str | None) -> BadRequest:
    return BadRequest(
        f"Invalid '{param}': the engine would take too long to prepare this schema or grammar, or "
        "to follow it. Use fewer optional properties, fewer different lengths, and fewer "
        "repetitions within repetitions.",
        param=param,
        code="constraint_too_complex",
    )


def _many_constraints() -> RateLimited:
    return RateLimited(
        "Your project sends new schemas and grammars faster than the engine can prepare them. "
        "Repeat the same ones, or send fewer new ones at a time.",
        headers={"retry-after": "5"},
    )


def not_loadable(model: str) -> ApiError:
    """Build the error for damaged or incompatible model files. A retry cannot fix it."""
    return InternalError(
        f"The model '{model}' cannot be loaded: its files are damaged or do not fit its base "
        "model. Ask the operator to look at the engine's log, or train it again.",
        code="model_not_loadable",
        headers=NO_RETRY,
    )


def model_not_found(model: str) -> NotFound:
    """Build the error for a model that does not exist in the caller's project."""
    return NotFound(
        f"The model '{model}' does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )


def unsupported_tools(model: str, base_model: str) -> BadRequest:
    """Build the error for a request with tools to a model that cannot call any."""
    named = f"'{model}'" if model == base_model else f"'{model}' and its base model '{base_model}'"
    verb = "does" if model == base_model else "do"
    return BadRequest(
        f"{named} {verb} not support tools: the chat template of the base model does not write "
        "tool calls. Choose a model whose `capabilities` in GET /v1/models include 'tools', or "
        "send the request without 'tools'.",
        param="tools",
        code="unsupported_tools",
    )


def _not_found(detail: _Detail, model: str, path: str) -> ApiError:
    if detail.message in ("", "Not Found"):  # not from vLLM's handlers: the route is missing
        return BadRequest(
            f"The model '{model}' does not serve {path}.",
            param="model",
            code="unsupported_model",
        )
    if detail.param == "model" or "does not exist" in detail.message:
        return model_not_found(model)
    return NotFound("The engine does not have what the request asks for.", param=detail.param)


def _detail(body: bytes) -> _Detail:
    try:
        return msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeError):
        return _Detail()
