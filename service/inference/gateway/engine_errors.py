"""Converts engine errors to OpenAI's format, without revealing internals.

vLLM writes `{"error": {"message", "type", "param", "code": <status>}}` with its own types. Client
errors get OpenAI's messages, and engine errors messages of this service. The exception: vLLM
answers 500 for a grammar that it accepted but cannot follow, which the client has to fix.
"""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

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
from service.inference.gateway import refusals
from service.inference.headers import CONSTRAINT_BUSY, CONSTRAINT_TOO_COMPLEX
from service.models.lookup import model_not_found
from service.web.validation import OWN_WORDS, from_validation, inside_of

log = logging.getLogger(__name__)
_MAX_MESSAGE_CHARS: Final = 2000
_MAX_VALIDATION_CHARS: Final = 12_000  # vLLM writes up to ten errors of up to 1,000 each
_MAX_LOGGED_CHARS: Final = 300

_PARAM_OF_PROMPT: Final = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
}
_TOO_LONG: Final = (
    re.compile(
        r"maximum context length is (?P<longest>\d+) tokens\. However, your prompt contains "
        r"(?P<length>(?:at least )?\d+ (?:input tokens|characters))"
    ),
    re.compile(r"engine prompt length (?P<length>\d+) exceeds the max_model_len (?P<longest>\d+)"),
    re.compile(
        r"Input length \((?P<length>\d+)\) exceeds model's maximum context length "
        r"\((?P<longest>\d+)\)"
    ),
)
_OUTPUT_TOO_LONG: Final = re.compile(
    r"(?P<name>max_\w+)=(?P<value>\d+) cannot be greater than max_model_len=(?P<most>\d+)"
)
_VALIDATION: Final = re.compile(r"\d+ validation errors?:\n")
_INDEX: Final = re.compile(r"\.(\d+)(?=[.'\[]|$)")
_PARAM: Final = re.compile(r"\w+(?:[.\[]\w+\]?)*")
_QUOTED: Final = re.compile(r"""(['"`]).*?\1|\[.*\]|\{.*\}""", re.DOTALL)
_CANNOT_CONSTRAIN: Final = re.compile(
    r"xgrammar|Failed to (transform|compile|convert)|[Ii]nvalid (JSON )?(grammar|structural tag)"
    r"|[Gg]rammar error|[Rr]egex|JSON [Ss]chema|structured output backend|EBNF|Lark"
)
_ONE_OF_THEM: Final = "'json', 'json_object', 'regex', 'choice', 'grammar' and 'structural_tag'"
_VALUE, _COMBINATION = "invalid_value", "invalid_parameter_combination"
# Patterns of vLLM's messages, our message with the pattern's groups, and the code. The first quoted
# word of our message is the parameter.
_KNOWN: Final[Sequence[tuple[str, str, str]]] = (
    (
        r"in (?P<param>\w+) contain out-of-vocab token ids\. Vocabulary size: (?P<size>\d+)",
        "Invalid '{param}': a token ID is not in the model's vocabulary of {size} tokens.",
        _VALUE,
    ),
    (
        r"(?P<param>allowed_token_ids) contains out-of-vocab",
        "Invalid '{param}': a token ID is not in the model's vocabulary.",
        _VALUE,
    ),
    (
        r"(?P<param>allowed_token_ids) is not None and empty",
        "Invalid '{param}': empty array. Send at least one token ID.",
        "empty_array",
    ),
    (
        r"Token id (?P<id>-?\d+) is out of vocabulary",
        "Invalid '{prompt}': the token ID {id} is not in the model's vocabulary.",
        _VALUE,
    ),
    (
        r"(?P<param>min_tokens) must be .* equal to \w+=(?P<most>\d+), got (?P<got>\d+)",
        (
            "Invalid '{param}': integer above maximum value. Expected a value <= {most}, but got "
            "{got} instead."
        ),
        "integer_above_max_value",
    ),
    (
        r"(?P<param>truncate_prompt_tokens)=(?P<got>\d+) cannot be .* = (?P<most>\d+)",
        (
            "Invalid '{param}': integer above maximum value. Expected a value <= {most}, but got "
            "{got} instead."
        ),
        "integer_above_max_value",
    ),
    (
        r"(?P<param>top_p) must be in \(0, 1\], got (?P<got>[\d.]+\d)",
        (
            "Invalid '{param}': decimal below minimum value. Expected a value > 0, but got {got} "
            "instead."
        ),
        "decimal_below_min_value",
    ),
    (
        r"n must be 1 when using greedy sampling",
        (
            "Invalid 'n': with 'temperature' 0, all answers are the same. Send 1, or a higher "
            "'temperature'."
        ),
        _VALUE,
    ),
    (
        r"(?P<param>stop|bad_words) cannot contain an empty string",
        "Invalid '{param}': empty string. Expected strings with minimum length 1.",
        "empty_string",
    ),
    (
        r"specified in `tool_choice` does not match|Tool choice 'function' not found",
        "Invalid 'tool_choice': the function is not among those in 'tools'.",
        _VALUE,
    ),
    (
        r"use one kind of (constraints|structured outputs)",
        f"Invalid 'structured_outputs': it needs exactly one of {_ONE_OF_THEM}.",
        _COMBINATION,
    ),
    (
        r"constraints for structured outputs or tools|both structured_outputs and text.format",
        "Setting 'structured_outputs' together with tools or another format is not supported.",
        _COMBINATION,
    ),
    (
        r"Cannot set both `continue_final_message` and",
        "Setting 'continue_final_message' with 'add_generation_prompt' is not supported.",
        _COMBINATION,
    ),
    (
        r"`prompt_logprobs` are not available when",
        "Setting 'prompt_logprobs' and 'stream' at the same time is not supported.",
        _COMBINATION,
    ),
    (
        r"when using `logprob_token_ids`, `logprobs` must be set",
        "The 'logprob_token_ids' parameter is only allowed when 'logprobs' is enabled.",
        _VALUE,
    ),
    (
        r"logprobs must equal len\(logprob_token_ids\)",
        "Invalid 'logprobs': it has to be the number of 'logprob_token_ids'.",
        _VALUE,
    ),
    (
        r"thinking_token_budget is set but",
        "Unsupported parameter: 'thinking_token_budget' is not supported with this model.",
        "unsupported_parameter",
    ),
    (
        r"does not support Matryoshka|only supports (Matryoshka )?dimensions",
        "Invalid 'dimensions': this model has no vectors of this length. Leave it out.",
        _VALUE,
    ),
    (
        r"At most 0 \w+\(s\) may be provided|not a multimodal model|Multi-modal processor not",
        "Invalid content type in '{prompt}': this model takes only text.",
        _VALUE,
    ),
    (
        r"Unsupported chat content part type",
        "Invalid content type in '{prompt}': this model does not take parts of this type.",
        _VALUE,
    ),
    (
        r"prompt cannot be empty|must pass at least one prompt",
        "Invalid '{prompt}': the prompt has no tokens. Send some text.",
        _VALUE,
    ),
    (
        r"[Rr]oles must alternate",
        (
            "Invalid '{prompt}': this model's chat template needs messages whose roles 'user' and "
            "'assistant' alternate."
        ),
        _VALUE,
    ),
    (
        r"does not support [\w ]+ API|does not support (generation|pooling)",
        "The 'model' does not serve this endpoint.",
        "unsupported_model",
    ),
)
_WORD: Final = re.compile(r"'(\w+)'")


def translate_message(message: str, param: str | None, path: str, body: bytes) -> BadRequest:
    """Return the error for a message of the engine about one of its parameters."""
    if (found := _length(message, path) or _validation(message, path, body)) is not None:
        return found
    message = message[:_MAX_MESSAGE_CHARS]
    prompt = _PARAM_OF_PROMPT.get(path, "input")
    for pattern, words, code in _KNOWN:
        if (match := re.search(pattern, message)) is not None:
            said = words.format(prompt=prompt, **match.groupdict())
            name = _WORD.search(said)
            return BadRequest(said, param=name and name[1], code=code)
    if _CANNOT_CONSTRAIN.search(message) and (about := constraint_of(body)) is not None:
        return unusable_grammar(about)
    # A message may repeat text of the request, which the log must not contain.
    log.warning("the engine refused a request: %s", _QUOTED.sub("…", message)[:_MAX_LOGGED_CHARS])
    about = param if param and _PARAM.fullmatch(param) else None
    where = f"the value of '{about}'" if about else "one of its values"
    return BadRequest(
        f"The model's engine refused this request because of {where}. Compare the request with the "
        "model's capabilities in GET /v1/models, and with the parameter's documentation.",
        param=about,
        code="invalid_value",
    )


def unusable_grammar(param: str) -> BadRequest:
    """Build the error for a grammar or schema that the engine cannot follow."""
    return BadRequest(
        f"Invalid '{param}': the engine cannot generate text that follows this grammar or schema. "
        "Check that each rule can end, and that no rule is left-recursive; or simplify it.",
        param=param,
        code="invalid_value",
    )


def _length(message: str, path: str) -> BadRequest | None:
    for pattern in _TOO_LONG:
        if (found := pattern.search(message)) is not None:
            length = found["length"].replace("input tokens", "tokens")
            unit = "" if length.endswith(("tokens", "characters")) else " tokens"
            param = _PARAM_OF_PROMPT.get(path, "input")
            return refusals.context_length_exceeded(param, found["longest"], length + unit)
    if (found := _OUTPUT_TOO_LONG.search(message)) is not None:
        return refusals.too_large_limit(found["name"], int(found["value"]), int(found["most"]))
    return None


def _validation(message: str, path: str, body: bytes) -> BadRequest | None:
    """Convert pydantic's errors, which vLLM writes as Python dictionaries, one on each line."""
    if _VALIDATION.match(message) is None:
        return None
    request = _decoded(body)
    lines = message[:_MAX_VALIDATION_CHARS].splitlines()[1:]
    errors = [error for line in lines if (error := _error(line, request))]
    if not errors:
        return None
    if errors[0]["type"] in OWN_WORDS:  # here, vLLM's
        place = ".".join(map(str, errors[0]["loc"][1:]))
        return translate_message(errors[0]["msg"], _bracketed(place), path, body)
    found = from_validation(errors, request)
    param = found.param and _bracketed(found.param)
    return BadRequest(_bracketed(found.message), param=param, code=found.code)


def _error(line: str, request: object) -> dict[str, Any] | None:
    """Parse one of pydantic's errors, with the value from the request instead of its beginning."""
    try:
        error: dict[str, Any] = ast.literal_eval(line.strip())
        loc = [int(part) if part.isdigit() else part for part in error["loc"].split(".")]
        error = {"ctx": {}, "msg": "", **error, "loc": loc}
        error["input"] = _at(request, loc[1:])
    except (ValueError, SyntaxError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # cut off
    return error


def _at(value: object, parts: Sequence[str | int]) -> object:
    """Return the value at a path, in which pydantic includes the names of union members."""
    for part in parts:
        if (inside := inside_of(value, part)) is not None:
            (value,) = inside
    return value


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _bracketed(text: str) -> str:
    """Write the paths in a text as OpenAI does: `messages[0].role`."""
    return _INDEX.sub(r"[\1]", text)


MAX_ERROR_BYTES = 64 * 1024
# vLLM's message for a request that it aborted. Without cache transfers between engines, which this
# service does not use, only grammars cause it. A failing engine reports something else.
_GAVE_UP = "Internal server error"
# Matches only at the start of a line: JSON escapes line breaks.
ERROR_MARK = b'data: {"error":'
_ERROR_EVENT = re.compile(rb'^data: (\{"error":.*\})$', re.MULTILINE)
# vLLM's answer to `tools` without a parser names its own options, which a client cannot set.
_NO_TOOL_PARSER = "--enable-auto-tool-choice"
# vLLM answers 400 for an adapter that it found but cannot load, which is not a client error.
_NOT_LOADABLE = "was found but could not be loaded"


class _Constraints(msgspec.Struct):
    """Fields of any route that may constrain an answer."""

    structured_outputs: Any = None
    response_format: Any = None
    text: Any = None
    tools: Any = None


_CONSTRAINTS = msgspec.json.Decoder(_Constraints)


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
    if _NOT_LOADABLE in detail.message or detail.code == "model_not_loadable":
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
    if ERROR_MARK not in chunk:
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
        return translate_message(detail.message, detail.param, request.path, request.body)
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
