"""Checks a request's tools and response format, and converts tools to vLLM's form.

vLLM has other forms of some of OpenAI's tools, and some run only on OpenAI's servers. An engine
reports an invalid schema with the message of the library that compiles it, after the request has
waited, or not at all if nothing is compiled.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.refusals import decoded

_REMEMBERED: Final = 64
_CHAT_KINDS: Final = frozenset({"function"})
_RESPONSE_KINDS: Final = frozenset({"function", "custom", "namespace"})
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

    Values of an unexpected form are left to the other checks and to the engine.
    """
    try:
        offered = _DECODE.decode(tools) if tools.startswith(b"[") else []
        chosen = _DECODE_CHOICE.decode(choice) if choice.startswith(b"{") else None
    except msgspec.MsgspecError:
        return
    known = _CHAT_KINDS if in_chat else _RESPONSE_KINDS
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


Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
"""Name of a function or of a format."""

_FORMATS: Final = ("text", "json_object", "json_schema")
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Function(msgspec.Struct):
    name: Name
    parameters: dict[str, Any] | None = None


class _ChatTool(msgspec.Struct):
    type: str
    function: _Function | None = None


class _ResponseTool(msgspec.Struct):
    type: str
    name: Name | None = None
    parameters: dict[str, Any] | None = None


class _Schema(msgspec.Struct):
    name: Name
    schema: dict[str, Any]


class _ChatFormat(msgspec.Struct):
    type: str
    json_schema: _Schema | None = None


class _ResponseFormat(msgspec.Struct):
    type: str
    name: Name | None = None
    schema: dict[str, Any] | None = None


class _Text(msgspec.Struct):
    format: _ResponseFormat | None = None


_FUNCTION: Final = msgspec.json.Decoder(_Function)
_CHAT_TOOLS: Final = msgspec.json.Decoder(list[_ChatTool] | None)
_RESPONSE_TOOLS: Final = msgspec.json.Decoder(list[_ResponseTool] | None)
_CHAT_FORMAT: Final[msgspec.json.Decoder[_ChatFormat | None]] = msgspec.json.Decoder(
    _ChatFormat | None
)
_TEXT: Final[msgspec.json.Decoder[_Text | None]] = msgspec.json.Decoder(_Text | None)


@functools.lru_cache(_REMEMBERED)
def check_chat_tools(tools: bytes) -> None:
    """Raise BadRequest for tools of a chat with wrong names or schemas."""
    for number, tool in enumerate(decoded(_CHAT_TOOLS, tools, "tools") or ()):
        if tool.type == "function":
            place = f"tools[{number}].function"
            if tool.function is None:
                raise refusals.missing(place)
            _check_function(tool.function.name, tool.function.parameters, f"{place}.parameters")


def check_functions(functions: Sequence[msgspec.Raw]) -> None:
    """Raise BadRequest for functions, the first form of tools, with wrong names or schemas."""
    for number, raw in enumerate(functions):
        place = f"functions[{number}]"
        function = decoded(_FUNCTION, raw, place)
        _check_function(function.name, function.parameters, f"{place}.parameters")


@functools.lru_cache(_REMEMBERED)
def check_response_tools(tools: bytes) -> None:
    """Raise BadRequest for tools of a response with wrong names or schemas."""
    for number, tool in enumerate(decoded(_RESPONSE_TOOLS, tools, "tools") or ()):
        if tool.type == "function":
            if tool.name is None:
                raise refusals.missing(f"tools[{number}].name")
            _check_function(tool.name, tool.parameters, f"tools[{number}].parameters")


@functools.lru_cache(_REMEMBERED)
def chat_format(value: bytes) -> str:
    """Return the type of a chat's `response_format`. Raises BadRequest."""
    found = decoded(_CHAT_FORMAT, value, "response_format")
    if found is None:
        return "text"
    if found.type == "structural_tag":  # vLLM's
        return found.type
    if found.type not in _FORMATS:
        raise refusals.not_among("response_format.type", found.type, _FORMATS)
    if found.type == "json_schema":
        if found.json_schema is None:
            raise refusals.missing("response_format.json_schema")
        schema = found.json_schema
        _check_format(schema.name, schema.schema, "response_format")
    return found.type


@functools.lru_cache(_REMEMBERED)
def text_format(value: bytes) -> str:
    """Return the type of the format in `text` of a response. Raises BadRequest."""
    text = decoded(_TEXT, value, "text")
    found = text and text.format
    if not found:
        return "text"
    if found.type not in _FORMATS:
        raise refusals.not_among("text.format.type", found.type, _FORMATS)
    if found.type == "json_schema":
        if found.name is None:
            raise refusals.missing("text.format.name")
        if found.schema is None:
            raise refusals.missing("text.format.schema")
        _check_format(found.name, found.schema, "text.format.schema")
    return found.type


def _check_function(name: str, schema: dict[str, Any] | None, param: str) -> None:
    if schema and (fault := _fault(schema)):
        raise BadRequest(
            f"Invalid schema for function '{name}': {fault}",
            param=param,
            code="invalid_function_parameters",
        )


def _check_format(name: str, schema: dict[str, Any], param: str) -> None:
    if fault := _fault(schema):
        raise BadRequest(
            f"Invalid schema for response_format '{name}': {fault}",
            param=param,
            code="invalid_json_schema",
        )


def _fault(schema: dict[str, Any]) -> str | None:
    """Return what is wrong with a schema, or None if it is one."""
    import jsonschema_rs  # not needed by most requests

    from service.grading.json_schema import why_unusable

    try:  # the schema's own `$schema` would be looked up elsewhere
        jsonschema_rs.meta.validate({**_in_new_draft(schema), "$schema": _DRAFT})
    except jsonschema_rs.ValidationError as e:
        return why_unusable(e).replace("'prefixItems'", "'items'")
    return None


def _in_new_draft(value: Any) -> Any:
    """Return a schema with `prefixItems` instead of the lists in `items` of older drafts."""
    if isinstance(value, list):
        return [_in_new_draft(below) for below in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _in_new_draft(below) for key, below in value.items()}
    if isinstance(items := changed.get("items"), list):
        changed |= {"prefixItems": items or [True], "items": True}
    return changed
