"""Request bodies with the parameters that the gateway reads, one type per route.

They are checked as OpenAI does, with OpenAI's messages: types and bounds while a request is parsed,
and what depends on other parameters in `check`. The parameters that only the engine reads are in
`parameters.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.constraints import Constraint, check_constraints, is_compiled
from service.inference.gateway.messages import (
    ChatMessage,
    check_input,
    check_messages,
    has_word,
    mentions_json,
)
from service.inference.gateway.refusals import decoded, json_type
from service.inference.gateway.tools import (
    as_tools,
    chat_format,
    check_chat_tools,
    check_functions,
    check_kinds,
    check_response_tools,
    only_allowed,
    text_format,
)

# OpenAI's limit for an embeddings request. The body's size limits the tokens of each input.
_MAX_INPUTS = 2048
# vLLM's default number of tokens to generate for a /v1/completions prompt.
_DEFAULT_COMPLETION_TOKENS = 16
MAX_LOGPROBS = 20
SAY_HOW_LONG = "Say in the system message how long answers should be."
_STRINGS = re.compile(rb'"[^"]*"')
_OBJECTS = re.compile(rb"\{[^{}]*\}")
_NOT_BRACKETS = bytes(c for c in range(256) if c not in b"[]{}")
_BLANKS = b" \n\r\t"
_QUOTE = ord('"')
_SHORT = 64  # bytes of an array that may have nothing but blanks
_TOKENS = b"-0123456789[]," + _BLANKS  # all bytes of a list of token IDs
_ABSENT = msgspec.Raw(b"")  # compared by identity, the cheapest way
_OBJECT = msgspec.json.Decoder(dict[str, Any] | None)
_OFF = frozenset({b"", b"null", b"false"})
# Variables of chat templates that switch thinking. Others could change what the template writes in
# ways that the model was not trained on.
_TEMPLATE_SWITCHES = (
    "enable_thinking",
    "thinking",
    "preserve_thinking",
    "truncate_history_thinking",
)

_CHOICES = ("none", "auto", "required")

AtLeastOne = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """Fields of every route's request."""

    model: str
    # Below 0, vLLM would handle the request before those of all other callers.
    priority: Annotated[int, Meta(ge=0)] | None = None
    cache_salt: msgspec.Raw = _ABSENT  # the gateway sets its own

    @property
    def streamed(self) -> bool:
        """Whether to send the response as server-sent events."""
        return False

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools in this request."""
        return False

    @property
    def asks_for_usage(self) -> bool:
        """Whether the caller requested a final stream event with the token counts."""
        return False

    @property
    def answers(self) -> int:
        """Number of texts that the engine generates."""
        return 1

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of all answers together, if the request limits it."""
        return None

    @property
    def needs_fields(self) -> bool:
        """Whether there may be fields to set for the engine."""
        return self.streamed

    def engine_fields(self, *, with_usage: bool = False) -> dict[str, object]:
        """Return the fields to set for the engine."""
        return {}

    def check(self, max_answers: int) -> None:
        """Raise BadRequest for a value that no engine accepts, or for too many answers."""

    def constraints(self) -> list[Constraint]:
        """Return what constrains the answer, with the names of the parameters."""
        return []

    def check_constraints(self, max_repetitions: int) -> None:
        """Raise BadRequest if the engine takes long to compile what constrains the answer."""
        if found := self.constraints():
            check_constraints(found, max_repetitions)


class _Generated(Request):
    """Fields of requests whose answer is a text."""

    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    stream_interval: msgspec.Raw = _ABSENT
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    structured_outputs: msgspec.Raw = _ABSENT

    @property
    def streamed(self) -> bool:
        """Whether to send the response as server-sent events."""
        return self.stream is True

    @property
    def asks_for_usage(self) -> bool:
        """Whether the caller requested a final stream event with the token counts."""
        return self.stream_options is not None and self.stream_options.get("include_usage") is True

    def engine_fields(self, *, with_usage: bool = False) -> dict[str, object]:
        """Return the fields to set for the engine."""
        fields: dict[str, object] = {}
        if with_usage:
            fields["stream_options"] = {**(self.stream_options or {}), "include_usage": True}
        if self.streamed and memoryview(self.stream_interval):
            # Events of an abandoned stream are counted as tokens, so each must hold about one.
            fields["stream_interval"] = None
        return fields

    def check(self, max_answers: int) -> None:
        """Raise BadRequest for a value that no engine accepts, or for too many answers."""
        if self.stream_options is not None:
            _check_stream_options(self.stream_options, streamed=self.streamed)
        if self.structured_outputs is not _ABSENT:
            decoded(_OBJECT, self.structured_outputs, "structured_outputs")

    def constraints(self) -> list[Constraint]:
        """Return what constrains the answer, with the names of the parameters."""
        if self.structured_outputs is _ABSENT:
            return []
        return [("structured_outputs", self.structured_outputs)]


class _Sampled(_Generated):
    """Fields of chats and completions."""

    max_tokens: AtLeastOne | None = None
    n: int | None = None
    response_format: msgspec.Raw = _ABSENT

    def check(self, max_answers: int) -> None:
        """Raise BadRequest for a value that no engine accepts, or for too many answers."""
        super().check(max_answers)
        if self.n is not None:
            _check_range("n", self.n, max_answers)

    def constraints(self) -> list[Constraint]:
        """Return what constrains the answer, with the names of the parameters."""
        found = super().constraints()
        if self.response_format is not _ABSENT:
            found.append(("response_format", self.response_format))
        return found


class ChatRequest(_Sampled):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage] | msgspec.UnsetType = msgspec.UNSET
    max_completion_tokens: AtLeastOne | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)] | None = None
    tools: msgspec.Raw = _ABSENT
    tool_choice: msgspec.Raw = _ABSENT
    parallel_tool_calls: bool | None = None
    functions: list[msgspec.Raw] | None = None
    function_call: dict[str, Any] | str | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def answers(self) -> int:
        """Number of texts that the engine generates."""
        return self.n or 1

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools in this request."""
        if self.functions is not None:
            return bool(self.functions) and self.function_call != "none"
        return _offers(self.tools, self.tool_choice)

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of all answers together, if the request limits it."""
        limit = (
            self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        )
        return None if limit is None else limit * self.answers

    def check(self, max_answers: int) -> None:
        """Raise BadRequest for a value that no engine accepts, or for too many answers."""
        super().check(max_answers)
        if self.messages is msgspec.UNSET:
            raise refusals.missing("messages")
        check_messages(self.messages)
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise refusals.together("max_tokens", "max_completion_tokens")
        if self.response_format is not _ABSENT:
            kind = chat_format(bytes(self.response_format))
            if kind == "json_object" and not mentions_json(self.messages):
                raise _lacks_json("'messages'", "response_format", "messages")
        if self.top_logprobs is not None and not self.logprobs:
            raise refusals.only_with("top_logprobs", "logprobs")
        if self.tools is not _ABSENT:
            if bytes(self.tools).translate(None, _BLANKS) == b"[]":
                raise refusals.empty("tools")
            check_chat_tools(bytes(self.tools))
            check_kinds(bytes(self.tools), bytes(self.tool_choice), in_chat=True)
        if self.tool_choice is not _ABSENT:
            _check_tool_choice(self.tools, self.tool_choice)
        if self.functions is not None or self.function_call is not None:
            self._check_functions()
        if self.chat_template_kwargs is not None:
            _check_template(self.chat_template_kwargs)

    def _check_functions(self) -> None:
        """Raise BadRequest for functions next to tools, or for a call without functions."""
        if self.functions is None:
            raise refusals.only_with("function_call", "functions")
        if not self.functions:
            raise refusals.empty("functions")
        for name in ("tools", "tool_choice"):
            if not _is_off(getattr(self, name)):
                raise refusals.unsupported("functions", f"Use either 'functions' or '{name}'.")
        check_functions(self.functions)

    @property
    def needs_fields(self) -> bool:
        """Whether there may be fields to set for the engine."""
        return self.stream is True or self.functions is not None or self.tool_choice is not _ABSENT

    def engine_fields(self, *, with_usage: bool = False) -> dict[str, object]:
        """Return the fields to set for the engine."""
        fields = super().engine_fields(with_usage=with_usage)
        if self.functions is not None:
            fields |= as_tools(self.functions, self.function_call)
        elif b"allowed_tools" in bytes(self.tool_choice):
            fields |= only_allowed(bytes(self.tools), bytes(self.tool_choice))
        return fields

    def constraints(self) -> list[Constraint]:
        """Return what constrains the answer, with the names of the parameters."""
        found = super().constraints()
        if is_compiled(self.tools, self.tool_choice, parallel=self.parallel_tool_calls):
            found.append(("tools", self.tools))
        found += [("functions", function) for function in self.functions or ()]
        return found


class CompletionRequest(_Sampled, dict=True):
    """Body of `POST /v1/completions`. `prompt` can hold many prompts, each with `n` answers."""

    max_tokens: AtLeastOne | None = _DEFAULT_COMPLETION_TOKENS
    best_of: int | None = None
    prompt: msgspec.Raw = _ABSENT
    prompt_embeds: msgspec.Raw = _ABSENT

    @functools.cached_property
    def prompts(self) -> int:
        """Number of prompts."""
        return max(1, _count(self.prompt) + _count(self.prompt_embeds))

    @property
    def answers(self) -> int:
        """Number of texts that the engine generates."""
        return (self.n or 1) * self.prompts

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of all answers together, if the request limits it."""
        return None if self.max_tokens is None else self.max_tokens * self.answers

    def check(self, max_answers: int) -> None:
        """Raise BadRequest for a value that no engine accepts, or for too many answers."""
        super().check(max_answers)
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise refusals.unsupported("best_of", "All answers are returned: set 'n'.")
        if self.response_format is not _ABSENT:
            kind = chat_format(bytes(self.response_format))
            if kind == "json_object" and not has_word(self.prompt):
                raise _lacks_json("'prompt'", "response_format", "prompt")
        _check_length("prompt", self.prompts, max_answers)
        if self.answers > max_answers:
            raise BadRequest(
                f"This request asks for {self.answers} completions ({self.prompts} prompts with "
                f"{self.answers // self.prompts} each), and one request may ask for "
                f"{max_answers}. Send fewer prompts, or a smaller 'n'.",
                param="n",
                code="integer_above_max_value",
            )
        if _is_off(self.prompt) and _is_off(self.prompt_embeds):
            raise refusals.missing("prompt")
        _check_texts("prompt", self.prompt)
        _check_tokens("prompt", self.prompt)


class ResponseRequest(_Generated):
    """Body of `POST /v1/responses`."""

    input: msgspec.Raw = _ABSENT
    max_output_tokens: AtLeastOne | None = None
    instructions: str | None = None
    text: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    tool_choice: msgspec.Raw = _ABSENT
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    conversation: msgspec.Raw = _ABSENT
    background: bool | None = None
    prompt: msgspec.Raw = _ABSENT
    chat_template_kwargs: dict[str, Any] | None = None

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call tools in this request."""
        return _offers(self.tools, self.tool_choice)

    @property
    def output_limit(self) -> int | None:
        """Maximum number of tokens of the answer, if the request limits it."""
        return self.max_output_tokens

    def check(self, max_answers: int) -> None:
        """Raise BadRequest for what no engine accepts, or what needs an earlier response."""
        super().check(max_answers)
        if self.previous_response_id is not None:
            raise BadRequest(
                f"Previous response with id '{self.previous_response_id[:80]}' not found: "
                "responses cannot be continued by their ID. Send the earlier messages in 'input'.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        if not _is_off(self.conversation):
            raise refusals.unsupported(
                "conversation", "No conversation is kept: send the earlier messages in 'input'."
            )
        if self.background:
            raise refusals.unsupported("background", "Stream the response instead.")
        if not _is_off(self.prompt):
            raise refusals.unsupported("prompt", "Send the text of the prompt in 'instructions'.")
        if _is_off(self.input):
            raise refusals.missing("input")
        check_input(self.input)
        kind = text_format(bytes(self.text)) if self.text is not _ABSENT else None
        if kind == "json_object" and not (
            has_word(self.input) or "json" in (self.instructions or "").lower()
        ):
            raise _lacks_json("Response input messages", "text.format", "input")
        if self.tools is not _ABSENT:
            check_response_tools(bytes(self.tools))
        if b"verbosity" in bytes(self.text):
            _check_verbosity(self.text)
        _check_tool_choice(self.tools, self.tool_choice)
        if self.tools is not _ABSENT:
            check_kinds(bytes(self.tools), bytes(self.tool_choice), in_chat=False)
        _check_template(self.chat_template_kwargs)

    def constraints(self) -> list[Constraint]:
        """Return what constrains the answer, with the names of the parameters."""
        found = super().constraints()
        if is_compiled(self.tools, self.tool_choice, parallel=self.parallel_tool_calls):
            found.append(("tools", self.tools))
        return [*found, ("text", self.text)]


class EmbeddingRequest(Request):
    """Body of `POST /v1/embeddings`. `input` can hold many texts; `messages` are chats to embed."""

    input: msgspec.Raw = _ABSENT
    messages: msgspec.Raw = _ABSENT
    chat_template_kwargs: dict[str, Any] | None = None

    def check(self, max_answers: int) -> None:
        """Raise BadRequest if the request has no input, or too many."""
        super().check(max_answers)
        if _is_off(self.input) and _is_off(self.messages):
            raise refusals.missing("input")
        _check_texts("input", self.input)
        _check_length("input", _count(self.input), _MAX_INPUTS)
        _check_tokens("input", self.input)
        _check_length("messages", _count(self.messages), _MAX_INPUTS)
        _check_template(self.chat_template_kwargs)


def _is_off(value: msgspec.Raw) -> bool:
    return len(memoryview(value)) <= 5 and bytes(value) in _OFF


def _offers(tools: msgspec.Raw, tool_choice: msgspec.Raw) -> bool:
    if tools is _ABSENT:
        return False
    listed = bytes(tools).strip(b"[] \n\r\t")
    return listed not in (b"", b"null") and bytes(tool_choice) != b'"none"'


def _check_tool_choice(tools: msgspec.Raw, choice: msgspec.Raw) -> None:
    if _is_off(tools) and bytes(choice) not in (b"", b"null", b'"none"'):
        raise BadRequest(
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are "
            "specified.",
            param="tool_choice",
            code="invalid_value",
        )
    if choice is not _ABSENT:
        _check_kind("tool_choice", choice, b'"{n', "a string | object")
        named = bytes(choice)
        if named.startswith(b'"') and (chosen := named.decode().strip('"')) not in _CHOICES:
            raise refusals.not_among("tool_choice", chosen, _CHOICES)


def _check_kind(name: str, value: msgspec.Raw, starts: bytes, expected: str) -> None:
    """Raise BadRequest if a value does not start like one of the expected type."""
    if memoryview(value)[0] not in starts:
        raise refusals.wrong_type(name, expected, json_type(msgspec.json.decode(value)))


def _check_texts(name: str, value: msgspec.Raw) -> None:
    """Raise BadRequest if a value is no text and no array with an element."""
    data = memoryview(value)
    if not data or data[0] == _QUOTE:
        return
    _check_kind(name, value, b"[n", "a string | array")
    if len(data) < _SHORT and bytes(data).translate(None, _BLANKS) == b"[]":
        raise refusals.empty(name)


def _lacks_json(where: str, parameter: str, param: str) -> BadRequest:
    return BadRequest(
        f"{where} must contain the word 'json' in some form, to use '{parameter}' of type "
        "'json_object'.",
        param=param,
    )


def _check_verbosity(text: msgspec.Raw) -> None:
    verbosity = msgspec.json.decode(text).get("verbosity")
    if verbosity not in (None, "medium"):
        raise refusals.unsupported("text.verbosity", SAY_HOW_LONG)


def _check_template(variables: Mapping[str, Any] | None) -> None:
    for name, value in (variables or {}).items():
        place = f"chat_template_kwargs.{name[:80]}"
        if name not in _TEMPLATE_SWITCHES:
            listed = ", ".join(_TEMPLATE_SWITCHES)
            raise refusals.unsupported(place, f"Supported are: {listed}.")
        if type(value) is not bool:
            raise refusals.wrong_type(place, "bool", json_type(value))


def _check_stream_options(options: Mapping[str, Any], *, streamed: bool) -> None:
    for name in ("include_usage", "continuous_usage_stats"):
        value = options.get(name)
        if value is not None and type(value) is not bool:
            raise refusals.wrong_type(f"stream_options.{name}", "bool", json_type(value))
    if not streamed:
        raise refusals.only_with("stream_options", "stream")


def _check_range(name: str, value: int, most: int) -> None:
    if value < 1:
        raise refusals.below(name, value, 1)
    if value > most:
        raise refusals.above(name, value, most)


def _check_length(name: str, length: int, most: int) -> None:
    if length > most:
        raise refusals.wrong_length(name, length, "<=", most, kind="array")


def _check_tokens(name: str, value: msgspec.Raw) -> None:
    """Raise BadRequest if a list that is not of texts has anything but token IDs.

    The engine takes `true` for the token 1, and `2.0` for the token 2.
    """
    data = bytes(value)
    if data[:1] == b"[" and data[1:].lstrip()[:1] != b'"' and data.translate(None, _TOKENS):
        raise refusals.wrong_type(
            name, "a string, an array of strings, or token IDs", "an array of other values"
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
