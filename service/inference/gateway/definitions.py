"""What a request defines: the names and schemas of its tools, and the format of its answer.

An engine reports a wrong schema in the words of the library that compiles it, after the request has
waited, and not at all if nothing is compiled.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from service.core.errors import BadRequest
from service.inference.gateway import refusals
from service.inference.gateway.decoding import decoded

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]+$")]
"""Name of a function or of a format."""

_FORMATS: Final = ("text", "json_object", "json_schema")
_REMEMBERED: Final = 64
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
