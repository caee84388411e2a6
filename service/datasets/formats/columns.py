"""Interpretation of records: which columns form which shape, or a conversation spread over rows.

Rows inside other values (tables as JSON, exports, conversations as bare lists) are unfolded first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from service.datasets.checks.issues import DatasetError, IssueLog, make_issue, printable, refuse
from service.datasets.checks.negative_labels import are_labels
from service.datasets.formats.options import FormatOptions, Shape, row_format_of
from service.datasets.formats.records import Record
from service.datasets.formats.shapes import find_shape, has_prompt, is_known
from service.datasets.formats.table_layout import find_message_columns, forms_shape, group_messages
from service.datasets.formats.turn_forms import (
    are_turns,
    is_usual,
    role_in,
    standard_role,
    transcript,
)


def are_prompts(values: Iterable[Any], roles: Mapping[str, str]) -> bool:
    """Whether all conversations end before an answer, and one has no answer at all.

    Without the second condition, chats that a user ended would be read differently than before.
    """
    spoken = [found for value in values if (found := _roles(value, roles))]
    return (
        bool(spoken)
        and all(said[-1] != "assistant" for said in spoken)
        and any("assistant" not in said for said in spoken)
    )


def _roles(value: Any, roles: Mapping[str, str]) -> list[str | None] | None:
    if isinstance(value, str):  # in a table
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not are_turns(value):
        return None
    return [standard_role(str(role_in(turn)), roles) for turn in value]


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
            return Unfolded(_map_values(whole, _conversation), True)
    if not isinstance(value, dict):
        return Unfolded(whole, False)
    if len(first) == 1 and (rows := _rows_of_document(value, options)):
        line = first[0].line
        return Unfolded((Record(line, row) for row in rows), True)
    if value.keys() <= _VIEWER_FIELDS and isinstance(value.get("row"), dict):
        return Unfolded(_map_values(whole, _unwrap_viewer_row), True)
    if "current_node" in value and isinstance(value.get("mapping"), dict):
        return Unfolded(_map_values(whole, _chatgpt_path), True)
    if _holds_transcripts(value, options):
        return Unfolded(_map_values(whole, _parse_transcript), True)
    return Unfolded(whole, False)


def _holds_transcripts(value: dict[str, Any], options: FormatOptions) -> bool:
    """Whether a record's text is a conversation, and it is no row of another shape."""
    if options.shape == "text" or not transcript(value.get("text")):
        return False
    found = find_shape(value, options, lambda _: True)
    return (found is None or found[0] == "text") and find_message_columns(
        list(value), options
    ) is None


def _map_values(records: Iterator[Record], change: Callable[[Any], Any]) -> Iterator[Record]:
    for record in records:
        yield record._replace(value=change(record.value)) if record.issue is None else record


def _conversation(value: Any) -> Any:
    return {"conversations": value} if isinstance(value, list) else value


def _unwrap_viewer_row(value: Any) -> Any:
    return value.get("row", value) if isinstance(value, dict) else value


def _parse_transcript(value: Any) -> Any:
    turns = transcript(value.get("text")) if isinstance(value, dict) else None
    if turns is None:
        return value
    return {key: kept for key, kept in value.items() if key != "text"} | {"conversations": turns}


def _chatgpt_path(value: Any) -> Any:
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
        if isinstance(message, dict) and (turn := _chatgpt_turn(message)) is not None:
            turns.append(turn)
        name = node.get("parent")
    return {"conversations": turns[::-1]}


def _chatgpt_turn(message: Row) -> Row | None:
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


# Columns are collected from this many records, because the first ones may lack a field.
_LOOKED_AT = 200
_LOOKED_AT_CHARS = 16 * 1024**2  # the records are held in memory together
_SHOWN_COLUMNS = 20


class ColumnMeaning(NamedTuple):
    """The shape of the records, and the column of each of its fields.

    `columns` are those of the first records, or None if rows were gathered or keep all fields.
    `named` describes the columns of the file, which differ from `fields` if rows were gathered.
    `is_canonical` is whether the first records need no conversion.
    """

    shape: Shape
    fields: dict[str, str]
    named: dict[str, str]
    unused: list[str]
    records: Iterator[Record]
    is_canonical: bool
    columns: frozenset[str] | None


class RecordSample(NamedTuple):
    """The records of a file, of which the first ones were looked at.

    `records` are all of them, including the first ones. `unfolded` is whether they were inside
    other values, and `as_text` whether their container has no booleans.
    """

    first: list[Record]
    columns: list[str]
    records: Iterator[Record]
    unfolded: bool
    as_text: bool

    def values(self, column: str) -> list[Any]:
        """What the first records that are objects hold in a column, None where they lack it."""
        values = (record.value for record in self.first)
        return [value.get(column) for value in values if isinstance(value, dict)]


def sample_records(
    records: Iterator[Record], container: str, options: FormatOptions
) -> RecordSample:
    """Unfold the records if necessary, and look at the first ones."""
    unfolded = False
    if container in ("json", "jsonl", "parquet"):
        records, unfolded = unfold(records, options)
    first = _first(records)
    as_text = container in ("csv", "xlsx")
    return RecordSample(first, _columns(first), chain(first, records), unfolded, as_text)


def interpret_columns(looked: RecordSample, options: FormatOptions, log: IssueLog) -> ColumnMeaning:
    """Find the shape of the records from the first ones. Raises DatasetError if there is none."""
    _check_mapping(looked.columns, options)
    whole, spoken = looked.records, False
    if (found := shape_of(looked, options)) is not None:
        shape, fields = found
        _log_guesses(fields, options, log)
        named = fields
        canonical = _is_canonical(shape, fields) and not looked.unfolded
        canonical = canonical and all(is_usual(record.value) for record in looked.first)
    elif spread := find_message_columns(looked.columns, options):
        shape, fields, named = "sharegpt", {"conversations": "conversations"}, spread.named()
        whole, canonical, spoken = group_messages(whole, spread), False, True
    else:
        raise _no_shape(looked.first, looked.columns)
    if "context" in fields:
        log.add(make_issue("joined_context", column=printable(fields["context"])))
    used = set(named.values())
    # The fields besides a prompt are for its grader.
    left = () if shape == "reinforcement" else looked.columns
    unused = [printable(column) for column in left if column not in used]
    columns = None if spoken or shape == "reinforcement" else frozenset(looked.columns)
    return ColumnMeaning(shape, fields, named, unused, whole, canonical, columns)


def shape_of(looked: RecordSample, options: FormatOptions) -> tuple[Shape, dict[str, str]] | None:
    """Return the shape that each record has by itself, and the column of each of its fields."""
    if options.group_by is not None:
        return None
    found = find_shape(
        looked.columns,
        options,
        lambda column: holds_labels(looked, column),
        lambda column: holds_prompts(looked, column, options),
    )
    return found if found is not None and _any_prompt(looked.first, found[1]) else None


def holds_labels(looked: RecordSample, column: str) -> bool:
    """Whether the values of a column are judgments of answers."""
    return are_labels(looked.values(column), as_text=looked.as_text)


def holds_prompts(looked: RecordSample, column: str, options: FormatOptions) -> bool:
    """Whether the values of a column are conversations that await an answer."""
    return are_prompts(looked.values(column), options.roles)


def _any_prompt(records: list[Record], fields: dict[str, str]) -> bool:
    """Whether a record has a prompt, or no record can be read. A column may hold it unknown."""
    values = [record.value for record in records if isinstance(record.value, dict)]
    return not values or any(has_prompt(fields, value) for value in values)


def _is_canonical(shape: Shape, fields: dict[str, str]) -> bool:
    """Whether the shape is a row format, and each of its fields has its own name."""
    converted = fields.keys() & {"chosen", "completion", "conversations", "prompt", "system"}
    own = all(field == column for field, column in fields.items())
    return row_format_of(shape) == shape and not converted and own


def _log_guesses(fields: dict[str, str], options: FormatOptions, log: IssueLog) -> None:
    if any(not is_known(fields[name]) for name in fields if name not in options.columns):
        prompt, completion = printable(fields["prompt"]), printable(fields["completion"])
        log.add(make_issue("guessed_columns", prompt=prompt, completion=completion))


def _first(records: Iterator[Record]) -> list[Record]:
    """Return the first records for inspection: many small ones or a few large ones."""
    first: list[Record] = []
    chars = 0
    for record in records:
        first.append(record)
        chars += _chars(record.value)
        if len(first) == _LOOKED_AT or chars > _LOOKED_AT_CHARS:
            break
    return first


def _chars(value: Any) -> int:
    """Return the approximate number of characters of text in a value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(_chars, value))
    return len(value) if isinstance(value, str | bytes) else 0


def _columns(records: list[Record]) -> list[str]:
    found: dict[str, None] = {}
    for record in records:
        if isinstance(record.value, dict):
            found.update(dict.fromkeys(record.value))
    return list(found)


def _check_mapping(columns: list[str], options: FormatOptions) -> None:
    for field, column in options.columns.items():
        if columns and column not in columns:
            raise refuse("missing_column", field=printable(field))


def _no_shape(records: list[Record], columns: list[str]) -> Exception:
    if columns:
        names = ", ".join(printable(column) for column in columns[:_SHOWN_COLUMNS])
        return refuse("unknown_columns", columns=names)
    for record in records:
        if record.issue is not None:
            return DatasetError(record.issue)
    for record in records:
        if not isinstance(record.value, dict):
            return refuse("not_an_object", record.line, found="bare value")
    return refuse("unknown_columns", columns="none") if records else refuse("empty_file")
