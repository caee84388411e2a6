"""Checks of one message: its role, content, weight, and tool calls."""

from __future__ import annotations

from typing import Any

from service import thoughts
from service.datasets.checks.fields import pointer_to, report_unknown, take
from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import shown
from service.datasets.checks.marks import check_marks
from service.datasets.checks.text import check_text
from service.datasets.checks.tools import ToolTrail
from service.datasets.rows.raw_json import kind_of

_COMMON = frozenset({"role", "content", "name", "weight"})
FIELDS: dict[str, frozenset[str]] = {
    "system": _COMMON,
    "developer": _COMMON,
    "user": _COMMON,
    "assistant": _COMMON | {"tool_calls", "function_call", "refusal", *thoughts.FIELDS},
    "tool": _COMMON | {"tool_call_id"},
    "function": _COMMON,
}


def check_message(found: Findings, message: Any, at: str, trail: ToolTrail) -> str | None:
    """Check one message and return its role, or None if the role is missing or unknown."""
    if type(message) is not dict:
        found.add("wrong_type", at, field="message", expected="object", found=kind_of(message))
        return None
    role = take(found, message, at, "role", str, required=True)
    if role is None:
        return None
    if role not in FIELDS:
        found.add("invalid_role", pointer_to(at, "role"), role=shown(role))
        return None
    report_unknown(found, message, at, FIELDS[role])
    name = take(found, message, at, "name", str)
    if role == "function" and message.get("name") is None:
        found.add("missing_field", at, field="name")
    if name:
        check_text(found, name, pointer_to(at, "name"))
    _check_weight(found, message, role, at)
    _check_content(found, message, role, at)
    if role in ("user", "assistant"):
        trail.turn()
    if role == "assistant":
        check_marks(found, message, at, FIELDS[role])
        _check_thoughts(found, message, at)
        _check_calls(found, message, at, trail)
    elif role == "tool":
        trail.answer(message, at)
    return str(role)


def is_supervised(message: dict[str, Any]) -> bool:
    """Whether an assistant message gives the model anything to learn."""
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


def _check_weight(found: Findings, message: dict[str, Any], role: str, at: str) -> None:
    weight = message.get("weight")
    if weight is None:
        return
    here = pointer_to(at, "weight")
    if role != "assistant":
        found.add("weight_not_allowed", here, role=role)
    elif type(weight) not in (int, float) or weight not in (0, 1):
        found.add("invalid_weight", here)


def _check_thoughts(found: Findings, message: dict[str, Any], at: str) -> None:
    for field in thoughts.FIELDS:
        thought = take(found, message, at, field, str)
        if thought:
            check_text(found, thought, pointer_to(at, field))


def _check_calls(found: Findings, message: dict[str, Any], at: str, trail: ToolTrail) -> None:
    calls = take(found, message, at, "tool_calls", list)
    if calls is not None:
        trail.calls(calls, pointer_to(at, "tool_calls"))
    function = take(found, message, at, "function_call", dict)
    if function is not None:
        trail.function(function, pointer_to(at, "function_call"))


def _check_content(found: Findings, message: dict[str, Any], role: str, at: str) -> None:
    content, here = message.get("content"), pointer_to(at, "content")
    stands_in = ("tool_calls", "function_call", "refusal")
    if content is None:
        if role != "assistant" or not any(message.get(field) is not None for field in stands_in):
            found.add("missing_content", at)
        if role == "assistant":
            take(found, message, at, "refusal", str)
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
        found.add(
            "wrong_type",
            here,
            field="content",
            expected="string",
            found=kind_of(content),
        )


def _check_parts(found: Findings, parts: list[Any], at: str) -> None:
    if not parts:
        found.add("missing_content", at)
    for index, part in enumerate(parts):
        here = pointer_to(at, index)
        if type(part) is not dict:
            found.add("wrong_type", here, field="part", expected="object", found=kind_of(part))
        elif part.get("type") not in ("text", "refusal"):
            found.add("unsupported_content", here, kind=shown(part.get("type")))
        else:
            field = str(part["type"])
            report_unknown(found, part, here, ("type", field))
            text = take(found, part, here, field, str, required=True)
            if text is not None:
                check_text(found, text, pointer_to(here, field))
