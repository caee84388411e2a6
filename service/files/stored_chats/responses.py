"""Builds a chat from the bodies of a request to `/v1/responses` and its response.

Items become the messages that the engine makes of them. Responses with items that no training row
can have, such as images, files, and tools that are not functions, are not chats.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from service.files.stored_chats.chats import (
    Chat,
    NotAChat,
    event_data,
    is_stream,
    read_metadata,
    read_sampling,
)
from service.reasoning import FIELDS as REASONING_FIELDS

_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
_ENDS: Final = frozenset({"response.completed", "response.incomplete"})
_FINISH_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
_FUNCTION: Final = ("name", "description", "parameters", "strict")
_TOKENS: Final = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
}
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def read_response(body: bytes, answer: bytes) -> Chat:
    """Read a chat from a request's body and the body of its response. Raises NotAChat."""
    try:
        request = _decode(body)
        return _chat(request, _last(answer) if is_stream(answer) else _decode(answer))
    except (msgspec.DecodeError, LookupError, TypeError, ValueError, AttributeError) as e:
        raise NotAChat from e


def _last(stream: bytes) -> dict[str, Any]:
    """Return the response in the last event of a stream, which is complete."""
    events = list(event_data(stream))
    last = _decode(events[-1])
    if last["type"] not in _ENDS:
        raise NotAChat
    response: dict[str, Any] = last["response"]
    return response


def _chat(request: dict[str, Any], response: dict[str, Any]) -> Chat:
    asked = _asked(request)
    [answer] = _messages(response["output"])
    if "tool_calls" not in answer:
        answer.setdefault("content", "")  # only reasoning
    row: dict[str, Any] = {"messages": [*asked, answer]}
    if request.get("tools"):
        row["tools"] = [_tool(tool) for tool in request["tools"]]
        if request.get("parallel_tool_calls") is not None:
            row["parallel_tool_calls"] = request["parallel_tool_calls"]
    limit = {"max_completion_tokens": request.get("max_output_tokens")}
    return Chat(
        row=row,
        id=response["id"],
        model=response["model"],
        created=int(response["created_at"]),
        finish_reason=_finish_reason(response, answer),
        usage=_usage(response.get("usage")),
        sampling=read_sampling({**request, **limit}),
        metadata=read_metadata(request.get("metadata")),
    )


def _finish_reason(response: dict[str, Any], answer: dict[str, Any]) -> str:
    if response["status"] == "incomplete":
        return _FINISH_REASONS[response["incomplete_details"]["reason"]]
    if response["status"] != "completed":
        raise NotAChat
    return "tool_calls" if "tool_calls" in answer else "stop"


def _usage(given: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if given is None else {name: given[theirs] for name, theirs in _TOKENS.items()}


def _asked(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of a request."""
    given = request["input"]
    if isinstance(given, str):
        asked = [{"role": "user", "content": given}]
    else:
        if given[-1].get("status") in ("in_progress", "incomplete"):
            raise NotAChat  # the response continues this message
        asked = _messages(given)
    instructions = request.get("instructions")
    return [{"role": "system", "content": instructions}, *asked] if instructions else asked


def _messages(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages of items. Consecutive reasoning, text and calls are one message."""
    messages: list[dict[str, Any]] = []
    for item in items:
        kind = item.get("type") or "message"
        if kind == "function_call_output":
            content = _content(item["output"])
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
        elif kind == "function_call":
            call = _call(item)
            if messages and "tool_calls" in messages[-1]:
                messages[-1]["tool_calls"].append(call)
            else:
                _answer(messages, "tool_calls")["tool_calls"] = [call]
        elif kind == "reasoning":
            if reasoning := _reasoning(item):
                _answer(messages, REASONING_FIELDS[0])[REASONING_FIELDS[0]] = reasoning
        elif kind != "message":
            raise NotAChat
        elif item["role"] == "assistant":
            _answer(messages, "content")["content"] = _content(item["content"])
        else:
            messages.append({"role": item["role"], "content": _content(item["content"])})
    return messages


def _answer(messages: list[dict[str, Any]], field: str) -> dict[str, Any]:
    """Return the message for an item of the assistant.

    It is the last message if that is the assistant's and lacks the field, or else a new one, as in
    the engine.
    """
    last = messages[-1] if messages else None
    if last is None or last["role"] != "assistant" or field in last:
        last = {"role": "assistant"}
        messages.append(last)
    return last


def _call(item: dict[str, Any]) -> dict[str, Any]:
    if item.get("namespace"):
        raise NotAChat
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def _reasoning(item: dict[str, Any]) -> str:
    return "".join(part["text"] for part in item.get("content") or ())


def _content(given: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return the content of a message, with its parts as those of a chat."""
    if isinstance(given, str):
        return given
    if any(part["type"] not in _TEXTS for part in given):
        raise NotAChat
    return [{"type": "text", "text": part["text"]} for part in given]


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        raise NotAChat
    given = {name: tool[name] for name in _FUNCTION if tool.get(name) is not None}
    return {"type": "function", "function": given}
