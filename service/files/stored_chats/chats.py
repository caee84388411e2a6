"""Builds a chat from the bodies of a chat completion's request and answer.

Only the first choice of an answer is read. A chat is stored only if it could be a training row: its
messages are text, and the answer is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec

from service.reasoning import FIELDS as REASONING_FIELDS
from service.reasoning import ReasoningEffort

_SAMPLING: Final = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed"),
    *("max_tokens", "max_completion_tokens"),
)
_CONTEXT: Final = ("tools", "parallel_tool_calls")
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class NotAChat(Exception):
    """The bodies are not a complete chat."""


class Chat(msgspec.Struct, frozen=True):
    """A chat. `row` is not yet validated."""

    row: dict[str, Any]
    id: str
    model: str
    created: int
    finish_reason: str
    usage: dict[str, Any] | None
    sampling: dict[str, Any]
    metadata: dict[str, str]


def read_chat(body: bytes, answer: bytes) -> Chat:
    """Read a chat from a request's body and the body of its answer. Raises NotAChat."""
    try:
        request = _decode(body)
        return _chat(request, _join_stream(answer) if is_stream(answer) else _read_answer(answer))
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError) as e:
        raise NotAChat from e


def _chat(request: dict[str, Any], answer: dict[str, Any]) -> Chat:
    if not answer.get("finish_reason") or request.get("continue_final_message"):
        raise NotAChat
    row = {"messages": [*request["messages"], answer["message"]]}
    row |= {name: request[name] for name in _CONTEXT if request.get(name) is not None}
    return Chat(
        row=row,
        id=answer["id"],
        model=answer["model"],
        created=answer["created"],
        finish_reason=answer["finish_reason"],
        usage=answer["usage"],
        sampling=read_sampling(request),
        metadata=read_metadata(request.get("metadata")),
    )


def is_stream(answer: bytes) -> bool:
    """Return whether the body of an answer is a stream of events."""
    return answer.lstrip().startswith((b"data:", b"event:", b":"))


def event_data(stream: bytes) -> Iterator[bytes]:
    """Yield the data of a stream's events."""
    for line in stream.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()


def read_sampling(request: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters of a request."""
    found = {name: request[name] for name in _SAMPLING if _is_number(request.get(name))}
    reasoning = request.get("reasoning")
    effort = request.get("reasoning_effort") or (
        reasoning.get("effort") if isinstance(reasoning, dict) else None
    )
    return found | ({"reasoning_effort": effort} if effort in get_args(ReasoningEffort) else {})


def read_metadata(given: Any) -> dict[str, str]:
    """Return the pairs of a request's metadata that are within OpenAI's limits."""
    pairs = given.items() if isinstance(given, dict) else ()
    allowed = {k: v for k, v in pairs if isinstance(v, str) and 0 < len(k) <= 64 and len(v) <= 512}
    return dict(list(allowed.items())[:16])


def _read_answer(answer: bytes) -> dict[str, Any]:
    found = _decode(answer)
    choice = found["choices"][0]
    return {
        **{name: found[name] for name in ("id", "model", "created")},
        "usage": found.get("usage"),
        "finish_reason": choice["finish_reason"],
        "message": _message(choice["message"]),
    }


def _join_stream(stream: bytes) -> dict[str, Any]:
    """Join the events of a stream to the fields of a complete answer."""
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    joined: dict[str, Any] = {"usage": None, "finish_reason": None}
    for event in _events(stream):
        for name in ("id", "model", "created"):
            joined.setdefault(name, event[name])
        joined["usage"] = event.get("usage") or joined["usage"]
        for choice in event["choices"]:
            if choice["index"] == 0:
                _add_delta(message, calls, choice["delta"])
                joined["finish_reason"] = choice.get("finish_reason") or joined["finish_reason"]
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return joined | {"message": _message(message)}


def _events(stream: bytes) -> Iterator[dict[str, Any]]:
    is_done = False
    for data in event_data(stream):
        is_done = data == b"[DONE]"
        if not is_done:
            yield _decode(data)
    if not is_done:
        raise NotAChat


def _add_delta(
    message: dict[str, Any], calls: dict[int, dict[str, Any]], delta: dict[str, Any]
) -> None:
    for name in ("content", *REASONING_FIELDS):
        if delta.get(name):
            message[name] = message.get(name, "") + delta[name]
    for part in delta.get("tool_calls") or ():
        call = calls.setdefault(
            part["index"],
            {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
        )
        call["id"] = part.get("id") or call["id"]
        function = part.get("function") or {}
        for name in ("name", "arguments"):
            call["function"][name] += function.get(name) or ""


def _message(given: dict[str, Any]) -> dict[str, Any]:
    """Return an answer's message with the fields of a row, and its reasoning in one field."""
    message: dict[str, Any] = {"role": "assistant"}
    if given.get("tool_calls"):
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": call["function"]}
            for call in given["tool_calls"]
        ]
    if given.get("content") or not given.get("tool_calls"):
        message["content"] = given.get("content") or ""
    if reasoning := next((given[name] for name in REASONING_FIELDS if given.get(name)), None):
        message[REASONING_FIELDS[0]] = reasoning
    return message


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
