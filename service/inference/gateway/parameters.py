"""The request parameters that the gateway reads, with one type per route.

vLLM converts values where it can: `"stream": "true"` streams, and `"max_tokens": "200"` means 200.
The gateway rejects such values, so that both interpret the request alike and nothing bypasses
limits and usage accounting. The engine validates all other fields.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from service.core.errors import BadRequest
from service.inference.gateway.request_body import check_nesting

MAX_NAME_CHARS = 512
# OpenAI's limit for an embeddings request. The body's size limits the tokens of each input.
_MAX_INPUTS = 2048
# vLLM's default number of tokens to generate for a /v1/completions prompt.
_DEFAULT_COMPLETION_TOKENS = 16

_MISMATCH = re.compile(r"Expected `(\w+)[^`]*`, got `(\w+)` - at `\$\.(\w+)`")
_STRINGS = re.compile(rb'"[^"]*"')
_OBJECTS = re.compile(rb"\{[^{}]*\}")
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")
_TYPE_NAMES = {
    "bool": "a boolean",
    "int": "an integer",
    "float": "a decimal number",
    "str": "a string",
    "array": "an array",
    "object": "an object",
}


class Request(msgspec.Struct):
    """Fields of every route's request. Streams on /v1/responses have no usage options."""

    model: str
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    stream_interval: Any = None
    priority: int | None = None

    @property
    def streamed(self) -> bool:
        """Whether to send the response as server-sent events."""
        return self.stream is True

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools in this request."""
        return False

    @property
    def asks_for_usage(self) -> bool:
        """Whether the caller requested a final stream event with the token counts."""
        return self.stream_options is not None and self.stream_options.get("include_usage") is True

    @property
    def answers(self) -> int:
        """Number of texts that the engine generates."""
        return 1

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of all answers together, if the request limits it."""
        return None

    def check(self, max_answers: int) -> None:
        """Raise BadRequest if the request has too many answers or inputs."""


class _ToolRequest(Request):
    tools: msgspec.Raw = msgspec.Raw(b"")
    tool_choice: msgspec.Raw = msgspec.Raw(b"")

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools in this request."""
        tools = bytes(self.tools)
        return (
            tools.strip(b"[] \n\r\t") not in (b"", b"null") and bytes(self.tool_choice) != b'"none"'
        )


class ChatRequest(_ToolRequest):
    """Body of `POST /v1/chat/completions`."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None

    @property
    def answers(self) -> int:
        """Number of texts that the engine generates."""
        return self.n or 1

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of all answers together, if the request limits it."""
        limit = (
            self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        )
        return None if limit is None else limit * self.answers

    def check(self, max_answers: int) -> None:
        """Raise BadRequest if the request has too many answers."""
        if self.n is not None:
            _check_range("n", self.n, max_answers)


class CompletionRequest(Request, dict=True):
    """Body of `POST /v1/completions`. `prompt` can hold many prompts, each with `n` answers."""

    max_tokens: int | None = _DEFAULT_COMPLETION_TOKENS
    n: int | None = None
    best_of: int | None = None
    prompt: msgspec.Raw = msgspec.Raw(b"")
    prompt_embeds: msgspec.Raw = msgspec.Raw(b"")

    @functools.cached_property
    def prompts(self) -> int:
        """Number of prompts."""
        return max(1, _count(self.prompt) + _count(self.prompt_embeds))

    @property
    def answers(self) -> int:
        """Number of texts that the engine generates."""
        return max(self.n or 1, self.best_of or 1) * self.prompts

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of all answers together, if the request limits it."""
        return None if self.max_tokens is None else self.max_tokens * self.answers

    def check(self, max_answers: int) -> None:
        """Raise BadRequest if the request has too many answers."""
        for name, value in (("n", self.n), ("best_of", self.best_of)):
            if value is not None:
                _check_range(name, value, max_answers)
        _check_length("prompt", self.prompts, max_answers)
        if self.answers > max_answers:
            raise BadRequest(
                f"This request asks for {self.answers} completions ({self.prompts} prompts with "
                f"{self.answers // self.prompts} each), and one request may ask for "
                f"{max_answers}. Send fewer prompts, or a smaller 'n'.",
                param="n",
                code="integer_above_max_value",
            )


class ResponseRequest(_ToolRequest):
    """Body of `POST /v1/responses`."""

    max_output_tokens: int | None = None

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of the answer, if the request limits it."""
        return self.max_output_tokens


class EmbeddingRequest(Request):
    """Body of `POST /v1/embeddings`. `input` can hold many texts; `messages` are chats to embed."""

    input: msgspec.Raw = msgspec.Raw(b"")
    messages: msgspec.Raw = msgspec.Raw(b"")

    def check(self, max_answers: int) -> None:
        """Raise BadRequest if the request has too many inputs."""
        _check_length("input", _count(self.input), _MAX_INPUTS)
        _check_length("messages", _count(self.messages), _MAX_INPUTS)


class _Constraints(msgspec.Struct):
    """Fields of any route that can constrain an answer to a grammar."""

    structured_outputs: Any = None
    response_format: Any = None
    text: Any = None
    tools: Any = None


_CONSTRAINTS = msgspec.json.Decoder(_Constraints)
_DECODERS: Mapping[str, msgspec.json.Decoder[Request]] = {
    "/v1/chat/completions": msgspec.json.Decoder(ChatRequest),
    "/v1/completions": msgspec.json.Decoder(CompletionRequest),
    "/v1/responses": msgspec.json.Decoder(ResponseRequest),
    "/v1/embeddings": msgspec.json.Decoder(EmbeddingRequest),
}
PATHS = frozenset(_DECODERS)


def parse(path: str, body: bytes) -> Request:
    """Parse the body of a request. Raises BadRequest if it is invalid for the route."""
    check_nesting(body)
    try:
        request = _DECODERS[path].decode(body)
    except msgspec.ValidationError as e:
        raise _invalid(str(e)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadRequest("The body is not valid JSON.", code="invalid_json") from None
    if not request.model or len(request.model) > MAX_NAME_CHARS:
        raise BadRequest(
            f"'model' must have 1 to {MAX_NAME_CHARS} characters.",
            param="model",
            code="invalid_value",
        )
    if request.stream_options is not None:
        _check_stream_options(request.stream_options)
    if request.priority is not None and request.priority < 0:
        # vLLM would handle the request before those of all other callers.
        raise _below("priority", request.priority, 0)
    return request


def constraint_of(body: bytes) -> str | None:
    """Return the parameter that constrains the answer to a grammar or schema, if any."""
    found = _CONSTRAINTS.decode(body)
    if found.structured_outputs:
        return "structured_outputs"
    if _is_format(found.response_format):
        return "response_format"
    if isinstance(found.text, dict) and _is_format(found.text.get("format")):
        return "text.format"
    return "tools" if found.tools else None


def _is_format(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") != "text"


def _check_stream_options(options: Mapping[str, Any]) -> None:
    for name in ("include_usage", "continuous_usage_stats"):
        value = options.get(name)
        if value is not None and type(value) is not bool:
            raise _wrong_type(f"stream_options.{name}", "bool", _json_type(value))


def _check_range(name: str, value: int, most: int) -> None:
    if value < 1:
        raise _below(name, value, 1)
    if value > most:
        raise BadRequest(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {most}, but got "
            f"{value} instead.",
            param=name,
            code="integer_above_max_value",
        )


def _below(name: str, value: int, least: int) -> BadRequest:
    return BadRequest(
        f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got "
        f"{value} instead.",
        param=name,
        code="integer_below_min_value",
    )


def _check_length(name: str, length: int, most: int) -> None:
    if length > most:
        raise BadRequest(
            f"Invalid '{name}': array too long. Expected an array with maximum length {most}, but "
            f"got an array with length {length} instead.",
            param=name,
            code="array_above_max_length",
        )


def _count(value: msgspec.Raw) -> int:
    """Count the prompts in a JSON value: a text, its tokens, or a list of either.

    Nothing is decoded, because a list of all elements could use thirty times the body's memory.
    vLLM rejects lists of mixed types, so the first element determines the type of the others.
    """
    data = bytes(value)
    if not data or data == b"null":
        return 0
    first = data[1:].lstrip()[:1] if data[:1] == b"[" else b""
    if first not in (b'"', b"["):
        return 1  # a text, its tokens, or the messages of a chat
    data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if first == b'"':
        return data.count(b'"') // 2
    return _lists(data)


def _lists(data: bytes) -> int:
    """Count the lists in a list. Escapes must already be removed from its strings."""
    brackets = _STRINGS.sub(b"", data).translate(None, _NOT_BRACKETS)
    while (fewer := _OBJECTS.sub(b"", brackets)) != brackets:
        brackets = fewer
    return brackets.count(b"[") - 1


def _json_type(value: object) -> str:
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else type(value).__name__


def _invalid(reason: str) -> BadRequest:
    if "missing required field `model`" in reason:
        return BadRequest(
            "Missing required parameter: 'model'.",
            param="model",
            code="missing_required_parameter",
        )
    if (found := _MISMATCH.search(reason)) is not None:
        expected, got, name = found.groups()
        return _wrong_type(name, expected, got)
    return BadRequest("The body must be a JSON object.", code="invalid_json")


def _wrong_type(name: str, expected: str, got: str) -> BadRequest:
    """Build the error with OpenAI's wording."""
    return BadRequest(
        f"Invalid type for '{name}': expected {_TYPE_NAMES.get(expected, expected)}, but got "
        f"{_TYPE_NAMES.get(got, got)} instead.",
        param=name,
        code="invalid_type",
    )
