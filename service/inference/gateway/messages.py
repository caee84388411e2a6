"""Checks of a chat's messages, and of a response's input items.

vLLM accepts messages with an unknown role or without content, tool messages without a call, and
calls without an answer. Chat templates then drop them, or fail with messages of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.refusals import decoded, json_type
from service.inference.gateway.tools import Name

ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
_ROLES: Final = frozenset(ROLES)
_MAY_BE_EMPTY: Final = frozenset({"assistant", "function"})
_PARTS: Final = ("text", "image_url", "input_audio", "refusal", "audio", "file")
# vLLM's, and those of the Responses API, which vLLM takes here as well.
_OTHER_PARTS: Final = frozenset(
    {"audio_embeds", "audio_url", "image_embeds", "input_image", "input_text", "output_text"}
    | {"thinking", "tool_reference", "video_url"}
)
_CONTENTS: Final = {"text": "text", "image_url": "image_url", "input_audio": "input_audio"}
_ABSENT: Final = msgspec.Raw(b"")
_KINDS: Final = {
    ord("{"): "object",
    ord("t"): "bool",
    ord("f"): "bool",
    ord("n"): "null",
}


class _Function(msgspec.Struct):
    name: Name
    arguments: str = ""


class ToolCall(msgspec.Struct):
    """A call of a tool in a message of the assistant."""

    id: str
    type: str = "function"
    function: _Function | None = None


class ChatMessage(msgspec.Struct):
    """A message. Its content is not decoded."""

    role: str
    content: msgspec.Raw = _ABSENT
    name: Annotated[str, Meta(pattern=r"^[^\s<|\\/>]+$", max_length=64)] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT


_CONTENT: Final = msgspec.json.Decoder(list[_Part])


def check_messages(messages: Sequence[ChatMessage]) -> None:
    """Raise BadRequest if a message lacks what its role needs, or has what it cannot have."""
    if not messages:
        raise refusals.empty("messages")
    has_tools = False
    for number, message in enumerate(messages):
        if message.role not in _ROLES:
            raise refusals.not_among(f"messages[{number}].role", message.role, ROLES)
        if message.tool_calls or message.role == "tool":
            has_tools = True
        content = bytes(message.content)
        if content.startswith(b'"'):
            continue
        name = f"messages[{number}].content"
        if content.startswith(b"["):
            _check_parts(content, name)
            continue
        is_missing = not content
        if message.role in _MAY_BE_EMPTY and (is_missing or content == b"null"):
            continue
        if is_missing:
            raise refusals.missing(name)
        kind = _KINDS.get(content[0], "float" if b"." in content else "int")
        raise refusals.wrong_type(name, "one of a string or array of objects", kind)
    if has_tools:
        _check_calls(messages)


def mentions_json(messages: Sequence[ChatMessage]) -> bool:
    """Return whether a message contains the word JSON."""
    return any(has_word(message.content) for message in messages)


def has_word(text: msgspec.Raw | bytes) -> bool:
    """Return whether an encoded text contains the word JSON."""
    text = bytes(text)
    if b"json" in text.lower():
        return True
    return b"\\u" in text and "json" in str(msgspec.json.decode(text)).lower()


def _check_parts(content: bytes, name: str) -> None:
    parts = decoded(_CONTENT, content, name)
    if not parts:
        raise refusals.empty(name)
    for number, part in enumerate(parts):
        if part.type not in _PARTS and part.type not in _OTHER_PARTS:
            raise refusals.not_among(f"{name}[{number}].type", part.type, _PARTS)
        needed = _CONTENTS.get(part.type)
        if needed is not None and getattr(part, needed) in (None, _ABSENT):
            raise refusals.missing(f"{name}[{number}].{needed}")


def _check_calls(messages: Sequence[ChatMessage]) -> None:
    """Raise BadRequest for a call without an answer, or an answer to no call."""
    called: set[str] = set()
    open_calls: dict[str, None] = {}
    for number, message in enumerate(messages):
        if message.role == "tool":
            _check_answer(message, number, called)
            open_calls.pop(message.tool_call_id or "", None)
            continue
        if open_calls:
            raise _unanswered(open_calls, f"messages[{number}].role")
        called = _calls(message, number)
        open_calls = dict.fromkeys(sorted(called))
    if open_calls:
        raise _unanswered(open_calls, f"messages[{len(messages) - 1}].tool_calls")


def _calls(message: ChatMessage, number: int) -> set[str]:
    """Return the IDs of the calls in a message."""
    for place, call in enumerate(message.tool_calls or ()):
        name = f"messages[{number}].tool_calls[{place}]"
        if call.type not in ("function", "custom"):
            raise refusals.not_among(f"{name}.type", call.type, ("function", "custom"))
        if call.type == "function" and call.function is None:
            raise refusals.missing(f"{name}.function")
    return {call.id for call in message.tool_calls or ()}


def _check_answer(message: ChatMessage, number: int, called: set[str]) -> None:
    if not called:
        raise BadRequest(
            "Invalid parameter: messages with role 'tool' must be a response to a preceding "
            "message with 'tool_calls'.",
            param=f"messages[{number}].role",
        )
    name = f"messages[{number}].tool_call_id"
    if message.tool_call_id is None:
        raise refusals.missing(name)
    if message.tool_call_id not in called:
        raise BadRequest(
            f"Invalid parameter: 'tool_call_id' of '{message.tool_call_id[:80]}' not found in "
            "'tool_calls' of previous message.",
            param=name,
        )


def _unanswered(calls: dict[str, None], name: str) -> BadRequest:
    listed = ", ".join(call[:80] for call in [*calls][:10])
    return BadRequest(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        "each 'tool_call_id'. The following tool_call_ids did not have response messages: "
        f"{listed}",
        param=name,
    )


_ITEM_ROLES: Final = ("assistant", "system", "developer", "user")
_ITEM_CONTENTS: Final = ("input_text", "input_image", "output_text", "refusal", "input_file")
_OTHER_CONTENTS: Final = frozenset({"text", "input_audio", "reasoning_text", "summary_text"})
_TYPES: Final = ("message", "function_call", "function_call_output", "reasoning")
# OpenAI's, of tools that only some models call, and of what OpenAI stores.
_OTHER_TYPES: Final = frozenset(
    {"code_interpreter_call", "compaction", "computer_call", "computer_call_output"}
    | {"custom_tool_call", "custom_tool_call_output", "file_search_call", "image_generation_call"}
    | {"item_reference", "local_shell_call", "local_shell_call_output", "mcp_approval_request"}
    | {"mcp_approval_response", "mcp_call", "mcp_list_tools", "shell_call", "shell_call_output"}
    | {"apply_patch_call", "apply_patch_call_output", "web_search_call", "additional_tools"}
    | {"tool_search_call", "tool_search_output"}
)
_NEEDED: Final = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
}


_QUOTE: Final = ord('"')


class _Item(msgspec.Struct):
    type: str | None = None
    role: str | None = None
    content: msgspec.Raw = _ABSENT
    call_id: str | None = None
    name: Name | None = None
    arguments: str | None = None
    output: msgspec.Raw = _ABSENT


class _Content(msgspec.Struct):
    type: str
    text: str | None = None


_ITEMS: Final = msgspec.json.Decoder(list[_Item])
_ITEM_CONTENT: Final = msgspec.json.Decoder(str | list[_Content])


def check_input(value: msgspec.Raw) -> None:
    """Raise BadRequest if the input of a response is no text and no array of items."""
    if memoryview(value)[0] == _QUOTE:
        return
    data = bytes(value)
    if not data.startswith(b"["):
        got = json_type(msgspec.json.decode(data))
        raise refusals.wrong_type("input", "one of a string or array of objects", got)
    items = decoded(_ITEMS, data, "input")
    if not items:
        raise refusals.empty("input")
    for number, item in enumerate(items):
        _check_item(item, f"input[{number}]")
    _check_item_calls(items)


def _check_item(item: _Item, name: str) -> None:
    kind = item.type or "message"
    if kind not in _TYPES and kind not in _OTHER_TYPES:
        raise refusals.not_among(f"{name}.type", kind, _TYPES)
    for needed in _NEEDED.get(kind, ()):
        if getattr(item, needed) in (None, _ABSENT):
            raise refusals.missing(f"{name}.{needed}")
    if kind == "message":
        _check_message(item, name)


def _check_message(item: _Item, name: str) -> None:
    if item.role not in _ITEM_ROLES:
        raise refusals.not_among(f"{name}.role", item.role or "", _ITEM_ROLES)
    parts = decoded(_ITEM_CONTENT, item.content, f"{name}.content")
    if isinstance(parts, str):
        return
    if not parts:
        raise refusals.empty(f"{name}.content")
    for number, part in enumerate(parts):
        place = f"{name}.content[{number}]"
        if part.type not in _ITEM_CONTENTS and part.type not in _OTHER_CONTENTS:
            raise refusals.not_among(f"{place}.type", part.type, _ITEM_CONTENTS)
        if part.type.endswith("_text") and part.text is None:
            raise refusals.missing(f"{place}.text")


def _check_item_calls(items: list[_Item]) -> None:
    """Raise BadRequest for a call without an output, or an output of no call."""
    called = {item.call_id for item in items if item.type == "function_call"}
    answered = {item.call_id for item in items if item.type == "function_call_output"}
    for item in items:
        if item.type == "function_call_output" and item.call_id not in called:
            raise _unmatched("call", "function call output with call_id", item)
        if item.type == "function_call" and item.call_id not in answered:
            raise _unmatched("output", "function call", item)


def _unmatched(lacks: str, of: str, item: _Item) -> BadRequest:
    call_id = (item.call_id or "")[:80]
    return BadRequest(f"No tool {lacks} found for {of} {call_id}.", param="input")
