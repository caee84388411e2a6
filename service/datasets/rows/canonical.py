"""Converts rows to their canonical form, which trainers read.

A canonical file is UTF-8 with one object per line and keys in a fixed order. Content is one
string, and the arguments of a tool call are a JSON string. The legacy `function_call` and
`functions` fields become tool calls and tools. The `developer` role becomes `system`, which
every chat template supports. Weights are kept.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from service.chat_content import join_texts, merge_system_messages
from service.datasets.checks.issues import Issue, RowIssues, make_issue
from service.datasets.checks.messages import FIELDS, texts_of
from service.datasets.checks.rows import check_row
from service.datasets.checks.validate import UNPLAIN, decode_plain_chat
from service.datasets.formats.options import RowFormat
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.rows.lines import Batch, FileSlice, LongLine, parse, read_batches
from service.datasets.rows.typed_rows import DeveloperMessage, item_of
from service.reasoning import put_in

encode = msgspec.json.Encoder().encode
# Matches escaped control characters such as NUL, which makes a row invalid.
_ESCAPED_CONTROL = re.compile(rb"\\u00[0-7]")


class CanonicalBlock(NamedTuple):
    """The valid rows in a range of a file: the line of each, from 1, and its canonical form.

    `last_line` is the number of lines.
    """

    lines: list[int]
    rows: list[bytes]
    last_line: int


def canonical_block(path: Path, row_format: RowFormat, span: tuple[int, int]) -> CanonicalBlock:
    """Convert the lines in a byte range of a JSONL file, which starts and ends with a line."""
    lines: list[int] = []
    rows: list[bytes] = []
    last_line = 0
    with FileSlice(path, *span) as stream:
        for batch in read_batches(stream):
            last_line = batch.last_line
            for number, data, issue in _canonical_batch(batch, row_format):
                if issue is None:
                    lines.append(number)
                    rows.append(data)
    return CanonicalBlock(lines, rows, last_line)


def _canonical_batch(
    batch: Batch | LongLine, row_format: RowFormat
) -> Iterator[tuple[int, bytes, Issue | None]]:
    if isinstance(batch, LongLine):
        yield batch.line, b"", make_issue("line_too_long", batch.line, limit=MAX_LINE_BYTES)
        return
    for number, line in enumerate(batch.lines, batch.first_line):
        if line and not line.isspace():
            yield number, *canonical_line(line, number, row_format)


def canonical_line(line: bytes, number: int, row_format: RowFormat) -> tuple[bytes, Issue | None]:
    """Convert one line to canonical form, or return (b"", its first error)."""
    if row_format == "chat":
        with contextlib.suppress(*UNPLAIN):
            plain = decode_plain_chat(line)
            # Rows with developer messages take the slow path, because their role changes.
            if (
                plain is not None
                and DeveloperMessage not in map(type, plain.messages)
                and not (b"\\u00" in line and _ESCAPED_CONTROL.search(line))
            ):
                return encode(plain) + b"\n", None
    row, issue = parse(line)
    if issue is not None:
        return b"", msgspec.structs.replace(issue, line=number)
    found = RowIssues(number)
    check_row(found, row, row_format)
    if (issue := found.first_error) is not None:
        return b"", issue
    return encode(canonical_row(row, row_format)) + b"\n", None


def canonical_row(row: dict[str, Any], row_format: RowFormat) -> dict[str, Any]:
    """Return the canonical form of a row that has passed the checks."""
    match row_format:
        case "chat":
            return canonical_chat(row)
        case "preference":
            return canonical_preference(row)
        case "labeled":
            return canonical_chat(row) | {"label": row["label"]}
        case "text":
            return {"text": row["text"]}
        case "reinforcement":
            return canonical_chat(row) | {"item": item_of(row)}


# The order of fields. It applies to converted function calls, too: a row has one canonical form.
_KEYS = ("role", "content", "name", "tool_calls", "tool_call_id", "weight")


def canonical_preference(row: dict[str, Any]) -> dict[str, Any]:
    """Return the canonical form of a preference row that has passed the checks."""
    better = row.get("preferred_output") or row["preferred_completion"]
    worse = row.get("non_preferred_output") or row["non_preferred_completion"]
    return {
        "input": canonical_chat(row["input"]),
        "preferred_output": canonical_messages(better),
        "non_preferred_output": canonical_messages(worse),
    }


def canonical_chat(row: dict[str, Any]) -> dict[str, Any]:
    """Return the canonical form of a chat row that has passed the checks."""
    canonical: dict[str, Any] = {"messages": canonical_messages(row["messages"])}
    return canonical | _canonical_context(row)


def canonical_messages(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the canonical form of messages that have passed the checks."""
    canonical: list[dict[str, Any]] = []
    called: dict[str, list[str]] = {}  # legacy function name -> IDs of unanswered calls
    for index, given in enumerate(messages):
        # Fields that a role does not have were not checked.
        message = {key: given[key] for key in given if key in FIELDS[given["role"]]}
        new = _canonical_message(message)
        if call := message.get("function_call"):
            call_id = f"call_{index}"
            called.setdefault(call["name"], []).append(call_id)
            new = _ordered(new | {"tool_calls": [_call(call_id, call), *new.get("tool_calls", ())]})
        if new["role"] == "function" and called.get(new["name"]):
            call_id = called[new["name"]].pop(0)
            new = _ordered(new | {"role": "tool", "tool_call_id": call_id})
        canonical.append(new)
    if any(message["role"] == "developer" for message in messages):
        return merge_system_messages(canonical)
    return canonical


def _canonical_message(message: dict[str, Any]) -> dict[str, Any]:
    role = "system" if message["role"] == "developer" else message["role"]
    new: dict[str, Any] = {"role": role}
    content = put_in(message, join_texts(texts_of(message)))
    if content or message.get("content") is not None or message.get("refusal") is not None:
        new["content"] = content
    if message.get("name") is not None:
        new["name"] = message["name"]
    if message.get("tool_calls"):
        new["tool_calls"] = [_call(c["id"], c["function"]) for c in message["tool_calls"]]
    if message.get("tool_call_id") is not None:
        new["tool_call_id"] = message["tool_call_id"]
    if message.get("weight") is not None:
        new["weight"] = int(message["weight"])
    return new


def _ordered(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message with its keys in the order of the canonical form."""
    return {key: message[key] for key in _KEYS if key in message}


def _call(call_id: str, function: dict[str, Any]) -> dict[str, Any]:
    arguments = function["arguments"]
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _canonical_context(owner: dict[str, Any]) -> dict[str, Any]:
    canonical: dict[str, Any] = {}
    tools = [
        {"type": "function", "function": tool["function"]} for tool in owner.get("tools") or ()
    ]
    tools += [
        {"type": "function", "function": function} for function in owner.get("functions") or ()
    ]
    if tools:
        canonical["tools"] = tools
    if owner.get("parallel_tool_calls") is not None:
        canonical["parallel_tool_calls"] = owner["parallel_tool_calls"]
    return canonical
