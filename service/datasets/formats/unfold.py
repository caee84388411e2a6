"""Rows inside other values: tables as JSON, exports, and conversations as bare lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from service.datasets.checks.issues import make_issue
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.records import Record
from service.datasets.formats.shapes import find_shape
from service.datasets.formats.spread import find_spread
from service.datasets.formats.table_layout import forms_shape
from service.datasets.formats.turn_forms import are_turns, transcript

Row = dict[str, Any]

_VIEWER_FIELDS = {"row_idx", "row", "truncated_cells"}
_MAX_PATH = 10_000  # messages of a ChatGPT conversation, which a loop must not exceed


class Unfolded(NamedTuple):
    """The records, and whether they differ from those of the file."""

    records: Iterator[Record]
    changed: bool


def unfold(records: Iterator[Record], options: FormatOptions) -> Unfolded:
    """Unfold the rows of a JSON file if its first records are not rows themselves."""
    first = list(islice(records, 2))
    whole = chain(first, records)
    value = first[0].value if first else None
    if isinstance(value, list):
        if all(isinstance(name, str) for name in value) and forms_shape(value, options):
            return Unfolded(_below_names(whole), True)
        if are_turns(value):
            return Unfolded(_changed(whole, _conversation), True)
    if not isinstance(value, dict):
        return Unfolded(whole, False)
    if len(first) == 1 and (rows := _rows_of_document(value, options)):
        line = first[0].line
        return Unfolded((Record(line, row) for row in rows), True)
    if value.keys() <= _VIEWER_FIELDS and isinstance(value.get("row"), dict):
        return Unfolded(_changed(whole, _viewed), True)
    if "current_node" in value and isinstance(value.get("mapping"), dict):
        return Unfolded(_changed(whole, _exported), True)
    if _holds_transcripts(value, options):
        return Unfolded(_changed(whole, _transcribed), True)
    return Unfolded(whole, False)


def _holds_transcripts(value: dict[str, Any], options: FormatOptions) -> bool:
    """Whether a record's text is a conversation, and it is no row of another shape."""
    if options.shape == "text" or not transcript(value.get("text")):
        return False
    found = find_shape(value, options, lambda _: True)
    return (found is None or found[0] == "text") and find_spread(list(value), options) is None


def _changed(records: Iterator[Record], change: Callable[[Any], Any]) -> Iterator[Record]:
    for record in records:
        yield record._replace(value=change(record.value)) if record.issue is None else record


def _conversation(value: Any) -> Any:
    return {"conversations": value} if isinstance(value, list) else value


def _viewed(value: Any) -> Any:
    return value.get("row", value) if isinstance(value, dict) else value


def _transcribed(value: Any) -> Any:
    turns = transcript(value.get("text")) if isinstance(value, dict) else None
    if turns is None:
        return value
    return {key: kept for key, kept in value.items() if key != "text"} | {"conversations": turns}


def _exported(value: Any) -> Any:
    """The visible path of a ChatGPT conversation, from its last message up to the root."""
    nodes = value.get("mapping") if isinstance(value, dict) else None
    if not isinstance(nodes, dict):
        return value
    turns: list[Row] = []
    seen: set[str] = set()
    name = value.get("current_node")
    while isinstance(name, str) and name not in seen and len(turns) < _MAX_PATH:
        seen.add(name)
        node = nodes.get(name)
        if not isinstance(node, dict):
            break
        message = node.get("message")
        if isinstance(message, dict) and (turn := _exported_turn(message)) is not None:
            turns.append(turn)
        name = node.get("parent")
    return {"conversations": turns[::-1]}


def _exported_turn(message: Row) -> Row | None:
    author, content = message.get("author"), message.get("content")
    role = author.get("role") if isinstance(author, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    if role not in ("user", "assistant") or not isinstance(parts, list):
        return None
    text = "".join(part for part in parts if isinstance(part, str))
    return {"role": role, "content": text} if text.strip() else None


def _below_names(records: Iterator[Record]) -> Iterator[Record]:
    """Rows as lists, below a list of the columns' names."""
    names: list[str] = next(records).value
    for record in records:
        value = record.value
        if isinstance(value, list) and len(value) != len(names):
            found, expected = len(value), len(names)
            issue = make_issue("ragged_row", record.line, found=found, expected=expected)
            yield Record(record.line, None, issue)
        elif isinstance(value, list):
            yield record._replace(value=dict(zip(names, value, strict=True)))
        else:
            yield record


def _rows_of_document(value: Row, options: FormatOptions) -> list[Any]:
    """The rows of a file that is one object, or none if the object is a row itself."""
    columns = list(value.values())
    if columns and all(isinstance(r, dict) and forms_shape(list(r), options) for r in columns):
        return columns
    if len(columns) > 1 and all(_is_column(column) for column in columns):
        keys = [list(c) if isinstance(c, dict) else list(range(len(c))) for c in columns]
        if all(key == keys[0] for key in keys):
            return [{name: column[at] for name, column in value.items()} for at in keys[0]]
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list):
        lists = [row for row in data if isinstance(row, list) and len(row) == len(names)]
        if len(lists) == len(data) and all(isinstance(name, str) for name in names):
            return [dict(zip(names, row, strict=True)) for row in lists]
    if forms_shape(list(value), options):
        return []
    arrays = [c for c in columns if isinstance(c, list) and c and isinstance(c[0], dict)]
    return arrays[0] if len(arrays) == 1 and not are_turns(arrays[0]) else []


def _is_column(value: Any) -> bool:
    """Whether a value is a column: a list of scalars, or an object of them by row."""
    if not isinstance(value, dict | list) or not value:
        return False
    cells = value.values() if isinstance(value, dict) else value
    return all(not isinstance(cell, dict | list) for cell in cells)
