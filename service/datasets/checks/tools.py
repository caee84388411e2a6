"""Checks of tool declarations, tool calls, and the IDs that link tool messages to calls."""

from __future__ import annotations

import json
import re
from typing import Any

from service.datasets.checks.fields import pointer_to, report_unknown, take
from service.datasets.checks.findings import Findings
from service.datasets.rows.raw_json import exceeded_limit, kind_of

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict"})


def check_tools(found: Findings, tools: list[Any], at: str) -> set[str]:
    """Check the row's tools and return the names that they declare."""
    names: set[str] = set()
    for index, tool in enumerate(tools):
        here = pointer_to(at, index)
        if type(tool) is not dict:
            _wrong_object(found, tool, here, "tool")
            continue
        report_unknown(found, tool, here, ("type", "function"))
        if tool.get("type") != "function":
            found.add("invalid_tool_type", pointer_to(here, "type"))
        function = take(found, tool, here, "function", dict, required=True)
        if function is not None:
            _declare(found, function, pointer_to(here, "function"), names)
    return names


def check_functions(found: Findings, functions: list[Any], at: str) -> set[str]:
    """Check the legacy `functions` list, whose entries have no wrapper, and return the names."""
    names: set[str] = set()
    for index, function in enumerate(functions):
        here = pointer_to(at, index)
        if type(function) is dict:
            _declare(found, function, here, names)
        else:
            _wrong_object(found, function, here, "function")
    return names


def _declare(found: Findings, function: dict[str, Any], at: str, names: set[str]) -> None:
    report_unknown(found, function, at, _FUNCTION_FIELDS)
    name = _function_name(found, function, at)
    if name in names:
        found.add("duplicate_tool", pointer_to(at, "name"))
    names.add(name)
    take(found, function, at, "description", str)
    take(found, function, at, "parameters", dict)
    take(found, function, at, "strict", bool)


def _function_name(found: Findings, function: dict[str, Any], at: str) -> str:
    name = take(found, function, at, "name", str, required=True)
    if name is None:
        return ""
    if not _NAME.fullmatch(name):
        found.add("invalid_tool_name", pointer_to(at, "name"))
    return str(name)


def _wrong_object(found: Findings, value: object, at: str, field: str) -> None:
    found.add("wrong_type", at, field=field, expected="object", found=kind_of(value))


class ToolTrail:
    """Tracks tool calls and their answers through one conversation."""

    def __init__(self, found: Findings, declared: set[str] | None) -> None:
        self._found = found
        self._declared = declared
        self._known: set[str] = set()
        self._open: dict[str, str] = {}  # call ID -> JSON Pointer of the call

    def calls(self, calls: list[Any], at: str) -> None:
        """Check the `tool_calls` of an assistant message."""
        found = self._found
        if not calls:
            found.add("empty_tool_calls", at)
        for index, call in enumerate(calls):
            here = pointer_to(at, index)
            if type(call) is not dict:
                _wrong_object(found, call, here, "tool_calls")
                continue
            report_unknown(found, call, here, ("id", "type", "function"))
            if call.get("type", "function") != "function":
                found.add("invalid_tool_type", pointer_to(here, "type"))
            self._open_call(take(found, call, here, "id", str, required=True), here)
            function = take(found, call, here, "function", dict, required=True)
            if function is not None:
                self.function(function, pointer_to(here, "function"))

    def _open_call(self, call_id: str | None, at: str) -> None:
        if call_id is None:
            return
        if call_id in self._known:
            self._found.add("duplicate_tool_call_id", pointer_to(at, "id"))
        self._known.add(call_id)
        self._open[call_id] = at

    def function(self, function: dict[str, Any], at: str) -> None:
        """Check the name and arguments of one called function."""
        found = self._found
        report_unknown(found, function, at, ("name", "arguments"))
        name = _function_name(found, function, at)
        if name and self._declared is not None and name not in self._declared:
            found.add("undeclared_tool", pointer_to(at, "name"))
        arguments = function.get("arguments")
        here = pointer_to(at, "arguments")
        if arguments is None:
            found.add("missing_field", at, field="arguments")
        elif type(arguments) is dict:
            found.add("arguments_object", here)
        elif type(arguments) is not str or not _is_json_object(arguments):
            found.add("invalid_arguments", here)

    def answer(self, message: dict[str, Any], at: str) -> None:
        """Check that a tool message answers an earlier call."""
        call_id = take(self._found, message, at, "tool_call_id", str)
        if call_id is None:
            if message.get("tool_call_id") is None:
                self._found.add("missing_tool_call_id", at)
        elif call_id not in self._known:
            self._found.add("unknown_tool_call_id", pointer_to(at, "tool_call_id"))
        else:
            self._open.pop(call_id, None)

    def turn(self) -> None:
        """Report open calls as unanswered, because a user or assistant message follows."""
        for at in self._open.values():
            self._found.add("unanswered_tool_call", at)
        self._open.clear()


def _is_json_object(text: str) -> bool:
    if exceeded_limit(text.encode("utf-8", "surrogatepass")):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
