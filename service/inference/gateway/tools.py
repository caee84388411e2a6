"""Tools of OpenAI's API that vLLM takes in another form, or that only OpenAI's servers have."""

from __future__ import annotations

import functools
from typing import Any, Final, Literal

import msgspec

from service.core.errors import BadRequest
from service.inference.gateway import refusals

_REMEMBERED: Final = 64
_CHAT_TOOLS: Final = frozenset({"function"})
_RESPONSE_TOOLS: Final = frozenset({"function", "custom", "namespace"})
_HOSTED: Final = "It runs on OpenAI's servers. Define a function, and call your own tool for it."
_NOT_CONSTRAINED: Final = "Describe the input of a function by a JSON Schema instead."


class _Named(msgspec.Struct):
    name: str = ""


class _Format(msgspec.Struct):
    type: str = "text"


class _Tool(msgspec.Struct):
    type: str = "function"
    name: str = ""
    function: _Named | None = None
    format: _Format | None = None


class _Allowed(msgspec.Struct):
    mode: Literal["auto", "required"]
    tools: list[_Tool]


class _Choice(msgspec.Struct):
    type: str = "function"
    allowed_tools: _Allowed | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[_Tool] = []


_DECODE: Final = msgspec.json.Decoder(list[_Tool])
_DECODE_CHOICE: Final = msgspec.json.Decoder(_Choice)
_DECODE_RAW: Final = msgspec.json.Decoder(list[msgspec.Raw])


@functools.lru_cache(_REMEMBERED)
def check_kinds(tools: bytes, choice: bytes, *, in_chat: bool) -> None:
    """Raise BadRequest for tools that no engine has, and for a choice among tools that are missing.

    What is not of the expected form is left to the other checks, and to the engine.
    """
    try:
        offered = _DECODE.decode(tools) if tools.startswith(b"[") else []
        chosen = _DECODE_CHOICE.decode(choice) if choice.startswith(b"{") else None
    except msgspec.MsgspecError:
        return
    known = _CHAT_TOOLS if in_chat else _RESPONSE_TOOLS
    for number, tool in enumerate(offered):
        if tool.type not in known:
            raise refusals.unsupported(f"tools[{number}].type", f"'{tool.type[:80]}': {_HOSTED}")
        if tool.type == "custom" and tool.format is not None and tool.format.type != "text":
            raise refusals.unsupported(f"tools[{number}].format", _NOT_CONSTRAINED)
    if chosen is None:
        return
    if chosen.type == "allowed_tools":
        _check_allowed(_allowed(chosen), {_name(tool) for tool in offered})
    elif chosen.type not in known:
        raise refusals.unsupported("tool_choice.type", f"'{chosen.type[:80]}': {_HOSTED}")


def _check_allowed(allowed: _Allowed, names: set[str]) -> None:
    if not allowed.tools:
        raise refusals.empty("tool_choice.tools")
    for number, tool in enumerate(allowed.tools):
        if _name(tool) not in names:
            raise BadRequest(
                f"Tool choice '{_name(tool)[:80]}' not found in 'tools' parameter.",
                param=f"tool_choice.tools[{number}]",
                code="invalid_value",
            )


def _allowed(choice: _Choice) -> _Allowed:
    """Return the tools that a choice allows. Chats have them one level deeper than responses."""
    return choice.allowed_tools or _Allowed(choice.mode or "auto", choice.tools)


def _name(tool: _Tool) -> str:
    return tool.function.name if tool.function is not None else tool.name


def only_allowed(tools: bytes, choice: bytes) -> dict[str, object]:
    """Return the fields of a chat in which the model sees only the tools that a choice allows."""
    chosen = _DECODE_CHOICE.decode(choice) if choice.startswith(b"{") else _Choice()
    if chosen.type != "allowed_tools":
        return {}
    allowed = _allowed(chosen)
    names = {_name(tool) for tool in allowed.tools}
    offered = zip(_DECODE_RAW.decode(tools), _DECODE.decode(tools), strict=True)
    kept = [raw for raw, tool in offered if _name(tool) in names]
    return {"tools": kept, "tool_choice": allowed.mode}


def as_tools(functions: list[msgspec.Raw], call: Any) -> dict[str, object]:
    """Return the fields of a chat that has `functions`, the first form of tools.

    The engine knows from `functions` that the answer has this form too.
    """
    choice: object = call
    if isinstance(call, dict):
        choice = {"type": "function", "function": call}
    return {
        "tools": [{"type": "function", "function": function} for function in functions],
        "tool_choice": "auto" if choice is None else choice,
        "parallel_tool_calls": False,
    }
