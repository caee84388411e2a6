"""The parts of a response's input items that the gateway checks.

vLLM tries each type of item in turn, and reports what is wrong as each of them. Here, an item's
`type` or `role` decides what it has to be.
"""

from __future__ import annotations

from typing import Final

import msgspec

from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.decoding import decoded, json_type
from service.inference.gateway.definitions import Name

_ROLES: Final = ("assistant", "system", "developer", "user")
_CONTENTS: Final = ("input_text", "input_image", "output_text", "refusal", "input_file")
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
_ABSENT: Final = msgspec.Raw(b"")


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
_CONTENT: Final = msgspec.json.Decoder(str | list[_Content])


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
    _check_calls(items)


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
    if item.role not in _ROLES:
        raise refusals.not_among(f"{name}.role", item.role or "", _ROLES)
    parts = decoded(_CONTENT, item.content, f"{name}.content")
    if isinstance(parts, str):
        return
    if not parts:
        raise refusals.empty(f"{name}.content")
    for number, part in enumerate(parts):
        place = f"{name}.content[{number}]"
        if part.type not in _CONTENTS and part.type not in _OTHER_CONTENTS:
            raise refusals.not_among(f"{place}.type", part.type, _CONTENTS)
        if part.type.endswith("_text") and part.text is None:
            raise refusals.missing(f"{place}.text")


def _check_calls(items: list[_Item]) -> None:
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
