"""Checks messages: field types, texts, tools and calls, and the order of roles."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from service import reasoning
from service.datasets.checks.issues import RowIssues, pointer_to, printable
from service.datasets.checks.negative_labels import check_negative_fields
from service.datasets.rows.lines import exceeded_limit, kind_of


def get_field(
    found: RowIssues,
    owner: Mapping[str, Any],
    at: str,
    field: str,
    kind: type,
    *,
    required: bool = False,
) -> Any:
    """Return the field's value if it has type `kind`, else None. Null counts as missing."""
    value = owner.get(field)
    if value is None:
        if required:
            found.add("missing_field", at, field=field)
        return None
    if type(value) is not kind:
        found.add(
            "wrong_type",
            pointer_to(at, field),
            field=field,
            expected=kind_of(kind()),
            found=kind_of(value),
        )
        return None
    return value


def report_unknown(
    found: RowIssues, owner: Mapping[str, Any], at: str, known: Collection[str]
) -> None:
    """Add a warning for each field that is not part of the format, or a note for one of a row.

    Most data sets have columns that describe their rows. In messages, APIs write fields without a
    value, such as `audio`, and Mistral's API whether an answer was begun by the request (`prefix`).
    """
    for key in owner:
        if key in known:
            continue
        if at and key != "prefix" and owner[key] not in (None, False, "", [], {}):
            found.add("unknown_field", pointer_to(at, key), field=printable(key))
        elif not at:
            found.add("unused_column", pointer_to(at, key), column=printable(key))


CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f]")
# Special tokens of common templates: ChatML, Llama 2 and 3, Mistral, Gemma, DeepSeek, Phi.
SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_]{1,40}\|?>|<[A-Za-z0-9_]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>"
    r"|<[be]os>|<｜[^<>｜]{1,40}｜>"
)
# Turns in the formats of Claude 2, Guanaco, Alpaca and Vicuna.
TURN_MARKER = re.compile(
    r"(?:\A|\n)[ \t]*(?:### )?(?:Human|Assistant):|(?:\A|\n)### (?:Instruction|Response):"
    r"|\b(?:USER|ASSISTANT):"
)


def check_text(found: RowIssues, text: str, at: str) -> None:
    """Add every issue of a string of a message."""
    if "\0" in text:
        found.add("nul_character", at)
    if CONTROL.search(text):
        found.add("control_character", at)
    if mark := SPECIAL_TOKEN.search(text):
        found.add("special_token", at, token=printable(mark.group()))
    if mark := TURN_MARKER.search(text):
        found.add("turn_marker", at, marker=mark.group().strip())


_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict"})


def check_tools(found: RowIssues, tools: list[Any], at: str) -> set[str]:
    """Check the row's tools, and return the names that they declare."""
    names: set[str] = set()
    for index, tool in enumerate(tools):
        here = pointer_to(at, index)
        if type(tool) is not dict:
            _wrong_object(found, tool, here, "tool")
            continue
        report_unknown(found, tool, here, ("type", "function"))
        if tool.get("type") != "function":
            found.add("invalid_tool_type", pointer_to(here, "type"))
        function = get_field(found, tool, here, "function", dict, required=True)
        if function is not None:
            _declare(found, function, pointer_to(here, "function"), names)
    return names


def check_functions(found: RowIssues, functions: list[Any], at: str) -> set[str]:
    """Check the legacy `functions` list, whose entries have no wrapper, and return the names."""
    names: set[str] = set()
    for index, function in enumerate(functions):
        here = pointer_to(at, index)
        if type(function) is dict:
            _declare(found, function, here, names)
        else:
            _wrong_object(found, function, here, "function")
    return names


def _declare(found: RowIssues, function: dict[str, Any], at: str, names: set[str]) -> None:
    report_unknown(found, function, at, _FUNCTION_FIELDS)
    name = _function_name(found, function, at)
    if name in names:
        found.add("duplicate_tool", pointer_to(at, "name"))
    names.add(name)
    get_field(found, function, at, "description", str)
    get_field(found, function, at, "parameters", dict)
    get_field(found, function, at, "strict", bool)


def _function_name(found: RowIssues, function: dict[str, Any], at: str) -> str:
    name = get_field(found, function, at, "name", str, required=True)
    if name is None:
        return ""
    if not _NAME.fullmatch(name):
        found.add("invalid_tool_name", pointer_to(at, "name"))
    return str(name)


def _wrong_object(found: RowIssues, value: object, at: str, field: str) -> None:
    found.add("wrong_type", at, field=field, expected="object", found=kind_of(value))


class ToolCallTracker:
    """Checks tool calls and their results through a conversation."""

    def __init__(self, found: RowIssues, declared: set[str] | None) -> None:
        self._found = found
        self._declared = declared
        self._known: set[str] = set()
        self._open: dict[str, str] = {}  # call ID -> JSON Pointer of the call

    def check_calls(self, calls: list[Any], at: str) -> None:
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
            self._open_call(get_field(found, call, here, "id", str, required=True), here)
            function = get_field(found, call, here, "function", dict, required=True)
            if function is not None:
                self.check_function(function, pointer_to(here, "function"))

    def _open_call(self, call_id: str | None, at: str) -> None:
        if call_id is None:
            return
        if call_id in self._known:
            self._found.add("duplicate_tool_call_id", pointer_to(at, "id"))
        self._known.add(call_id)
        self._open[call_id] = at

    def check_function(self, function: dict[str, Any], at: str) -> None:
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

    def check_result(self, message: dict[str, Any], at: str) -> None:
        """Check that a tool message is the result of an earlier call."""
        call_id = get_field(self._found, message, at, "tool_call_id", str)
        if call_id is None:
            if message.get("tool_call_id") is None:
                self._found.add("missing_tool_call_id", at)
        elif call_id not in self._known:
            self._found.add("unknown_tool_call_id", pointer_to(at, "tool_call_id"))
        else:
            self._open.pop(call_id, None)

    def end_turn(self) -> None:
        """Add an issue for each open call, because a user or assistant message follows."""
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


_COMMON = frozenset({"role", "content", "name", "weight"})
FIELDS: dict[str, frozenset[str]] = {
    "system": _COMMON,
    "developer": _COMMON,
    "user": _COMMON,
    "assistant": _COMMON | {"tool_calls", "function_call", "refusal", *reasoning.FIELDS},
    "tool": _COMMON | {"tool_call_id"},
    "function": _COMMON,
}


def check_message(found: RowIssues, message: Any, at: str, tracker: ToolCallTracker) -> str | None:
    """Check one message and return its role, or None if the role is missing or unknown."""
    if type(message) is not dict:
        found.add("wrong_type", at, field="message", expected="object", found=kind_of(message))
        return None
    role = get_field(found, message, at, "role", str, required=True)
    if role is None:
        return None
    if role not in FIELDS:
        found.add("invalid_role", pointer_to(at, "role"), role=printable(role))
        return None
    report_unknown(found, message, at, FIELDS[role])
    name = get_field(found, message, at, "name", str)
    if role == "function" and message.get("name") is None:
        found.add("missing_field", at, field="name")
    if name:
        check_text(found, name, pointer_to(at, "name"))
    _check_weight(found, message, role, at)
    _check_content(found, message, role, at)
    if role in ("user", "assistant"):
        tracker.end_turn()
    if role == "assistant":
        check_negative_fields(found, message, at, FIELDS[role])
        _check_reasoning(found, message, at)
        _check_calls(found, message, at, tracker)
    elif role == "tool":
        tracker.check_result(message, at)
    return str(role)


def is_supervised(message: dict[str, Any]) -> bool:
    """Return whether the model learns anything from an assistant message."""
    if message.get("weight") == 0:
        return False
    if message.get("tool_calls") or message.get("function_call"):
        return True
    return any(not text.isspace() for text in texts_of(message))


def texts_of(message: dict[str, Any]) -> list[str]:
    """Return the message's nonempty texts: its content, content parts, or refusal."""
    content = message.get("content")
    if content is None:
        content = message.get("refusal")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [text for text in texts if isinstance(text, str) and text]


def _check_weight(found: RowIssues, message: dict[str, Any], role: str, at: str) -> None:
    weight = message.get("weight")
    if weight is None:
        return
    here = pointer_to(at, "weight")
    if role != "assistant":
        found.add("weight_not_allowed", here, role=role)
    elif type(weight) not in (int, float) or weight not in (0, 1):
        found.add("invalid_weight", here)


def _check_reasoning(found: RowIssues, message: dict[str, Any], at: str) -> None:
    for field in reasoning.FIELDS:
        thought = get_field(found, message, at, field, str)
        if thought:
            check_text(found, thought, pointer_to(at, field))


def _check_calls(
    found: RowIssues, message: dict[str, Any], at: str, tracker: ToolCallTracker
) -> None:
    calls = get_field(found, message, at, "tool_calls", list)
    if calls is not None:
        tracker.check_calls(calls, pointer_to(at, "tool_calls"))
    function = get_field(found, message, at, "function_call", dict)
    if function is not None:
        tracker.check_function(function, pointer_to(at, "function_call"))


def _check_content(found: RowIssues, message: dict[str, Any], role: str, at: str) -> None:
    content, here = message.get("content"), pointer_to(at, "content")
    stands_in = ("tool_calls", "function_call", "refusal")
    if content is None:
        if role != "assistant" or not any(message.get(field) is not None for field in stands_in):
            found.add("missing_content", at)
        if role == "assistant":
            get_field(found, message, at, "refusal", str)
        return
    if type(content) is str:
        if not content or content.isspace():
            if not (role == "assistant" and any(message.get(field) for field in stands_in)):
                found.add("empty_turn", here)
        else:
            check_text(found, content, here)
    elif type(content) is list:
        _check_parts(found, content, here)
    else:
        found.add("wrong_type", here, field="content", expected="string", found=kind_of(content))


def _check_parts(found: RowIssues, parts: list[Any], at: str) -> None:
    if not parts:
        found.add("missing_content", at)
    for index, part in enumerate(parts):
        here = pointer_to(at, index)
        if type(part) is not dict:
            found.add("wrong_type", here, field="part", expected="object", found=kind_of(part))
        elif part.get("type") not in ("text", "refusal"):
            found.add("unsupported_content", here, kind=printable(part.get("type")))
        else:
            field = str(part["type"])
            report_unknown(found, part, here, ("type", field))
            text = get_field(found, part, here, field, str, required=True)
            if text is not None:
                check_text(found, text, pointer_to(here, field))


INSTRUCTION_ROLES = frozenset({"system", "developer"})


class OrderFinding(NamedTuple):
    """An issue code, the place of the message from 0, and the role to name in the issue."""

    code: str
    place: int
    role: str


def check_order(roles: Sequence[str], *, ends_with_assistant: bool = True) -> list[OrderFinding]:
    """Return findings about the order of roles. None of them makes a row invalid."""
    found: list[OrderFinding] = []
    before = ""
    for index, role in enumerate(roles):
        if role in INSTRUCTION_ROLES:
            if index > 0:
                found.append(OrderFinding("system_not_first", index, role))
            continue
        if role == "assistant" and not before:
            found.append(OrderFinding("starts_with_assistant", index, role))
        if role == before and role in ("user", "assistant"):
            found.append(OrderFinding("repeated_role", index, role))
        before = role
    if ends_with_assistant and roles and roles[-1] != "assistant":
        found.append(OrderFinding("ends_without_assistant", len(roles) - 1, roles[-1]))
    return found
