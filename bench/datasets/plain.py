"""The validator that one would write first: `json.loads` on each line, and the same checks.

It finds what `service.datasets` finds in rows without tools, line by line, and stands in
the figures as what the service is compared with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
FIELDS = ("role", "content", "name", "weight")
CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f]")
SPECIAL = re.compile(
    r"<\|[A-Za-z0-9_]{1,40}\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<[be]os>"
)


def check_file(path: Path) -> tuple[int, list[tuple[int, str]]]:
    """How many rows there are, and each (line, code) that is wrong."""
    rows, found = 0, []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            rows += 1
            try:
                row = json.loads(line)
            except ValueError:
                found.append((number, "invalid_json"))
                continue
            found.extend((number, code) for code in check_row(row))
    return rows, found


def check_row(row: Any) -> Iterator[str]:
    """The codes of what is wrong with a row."""
    if not isinstance(row, dict):
        yield "not_an_object"
        return
    for key in row:
        if key not in ("messages", "tools", "parallel_tool_calls", "functions"):
            yield "unknown_field"
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "missing_field"
        return
    supervised, before = False, ""
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            yield "wrong_type"
            continue
        yield from check_message(message)
        role = message.get("role")
        if role in ("system", "developer"):
            if index:
                yield "system_not_first"
            continue
        if role == "assistant":
            if not before:
                yield "starts_with_assistant"
            content = message.get("content")
            if message.get("weight") != 0 and isinstance(content, str) and content.strip():
                supervised = True
        if role == before and role in ("user", "assistant"):
            yield "repeated_role"
        before = role or before
    if not supervised:
        yield "no_supervised_message"
    if before != "assistant":
        yield "ends_without_assistant"


def check_message(message: dict[str, Any]) -> Iterator[str]:
    """The codes of what is wrong with a message."""
    role = message.get("role")
    if role not in ROLES:
        yield "invalid_role"
    for key in message:
        if key not in FIELDS:
            yield "unknown_field"
    weight = message.get("weight")
    if weight is not None and (role != "assistant" or weight not in (0, 1)):
        yield "invalid_weight"
    content = message.get("content")
    if not isinstance(content, str):
        yield "missing_content"
    elif not content or content.isspace():
        yield "empty_turn"
    else:
        if "\0" in content:
            yield "nul_character"
        if CONTROL.search(content):
            yield "control_character"
        if SPECIAL.search(content):
            yield "special_token"
