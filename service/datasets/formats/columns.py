"""Decides what records mean: which shape their columns form, or that each row is one message.

Rows inside other values (tables as JSON, exports, conversations as plain lists) are unfolded first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, groupby
from typing import Any, NamedTuple

from service.datasets.checks.issues import DatasetError, IssueLog, make_issue, printable, refuse
from service.datasets.checks.negative_labels import are_labels
from service.datasets.formats.annotations import is_tree_message, join_trees
from service.datasets.formats.chat_apps import (
    app_table,
    assistants,
    find_app,
    read_messages,
)
from service.datasets.formats.feedback import feedback_rows, find_feedback
from service.datasets.formats.message_search import chats_inside, field_name, join_messages
from service.datasets.formats.options import WORKBOOKS, FormatOptions, Record, Shape, row_format_of
from service.datasets.formats.shapes import find_shape, has_prompt, is_known
from service.datasets.formats.table_layout import (
    MessageColumns,
    find_message_columns,
    forms_shape,
    gather_messages,
    group_messages,
)
from service.datasets.formats.tool_exports import Export, find_export, other_kind
from service.datasets.formats.turn_forms import (
    are_plain,
    are_turns,
    has_openai_messages,
    is_question,
    parse_json_text,
    parse_roles,
    parse_transcript,
    role_of,
    standard_role,
)
from service.datasets.passages import html_text


def are_prompts(values: Iterable[Any], roles: Mapping[str, str]) -> bool:
    """Return whether all conversations await an answer, and at least one contains none.

    Without the second condition, chats in which users had the last word would count as prompts.
    """
    conversations = [found for value in values if (found := _roles(value, roles))]
    return (
        bool(conversations)
        and all(turns[-1] != "assistant" for turns in conversations)
        and any("assistant" not in turns for turns in conversations)
    )


def _roles(value: Any, roles: Mapping[str, str]) -> list[str | None] | None:
    value = parse_json_text(value)
    if not are_turns(value):
        return None
    return [standard_role(str(role_of(turn)), roles) for turn in value]


Row = dict[str, Any]

_VIEWER_FIELDS = {"row_idx", "row", "truncated_cells"}


class Unfolded(NamedTuple):
    """Records, and whether they were inside other values of the file."""

    records: Iterator[Record]
    changed: bool


def unfold(records: Iterator[Record], options: FormatOptions) -> Unfolded:
    """Return the rows inside the records of a JSON file, or the records if these are rows."""
    first = _first(records)
    whole: Iterator[Record] = chain(first, records)
    value = first[0].value if first else None
    if isinstance(value, list):
        if all(isinstance(name, str) for name in value) and forms_shape(value, options):
            return Unfolded(_rows_below_names(whole), True)
        if are_turns(value):
            return Unfolded(_map_values(whole, _wrap_conversation), True)
    if not isinstance(value, dict):
        return Unfolded(whole, False)
    # The first value can be one without anything special to the tool.
    if (export := next(filter(None, (find_export(one.value) for one in first)), None)) is not None:
        return Unfolded(_exported_rows(whole, export), True)
    if (chats := _chats(first, whole, options)) is not None:
        return Unfolded(chats, True)
    if other_kind(value) is not None:
        return Unfolded(whole, False)
    if len(first) == 1 and (rows := _rows_of_document(value, options)):
        return unfold((Record(first[0].line, row) for row in rows), options)._replace(changed=True)
    found = _inner_rows(first, whole, options)
    return Unfolded(whole if found is None else found, found is not None)


def _inner_rows(
    first: list[Record], records: Iterator[Record], options: FormatOptions
) -> Iterator[Record] | None:
    """Return the rows inside objects, or None if the objects are the rows."""
    value = first[0].value
    if value.keys() <= _VIEWER_FIELDS and isinstance(value.get("row"), dict):
        return _map_values(records, _unwrap_viewer_row)
    if _holds_transcripts(value, options):
        return _map_values(records, _convert_transcript)
    if forms_shape(list(value), options) and _is_row(value, options):
        return None
    lifted = _lifted(value)
    if lifted is not value and forms_shape(list(lifted), options) and _is_row(lifted, options):
        return _map_values(records, _lifted)
    inside = [row for one in first for row in _rows_inside(one.value, options)]
    return _all_rows_inside(records, options) if len(inside) > 1 else None


def _holds_transcripts(value: dict[str, Any], options: FormatOptions) -> bool:
    """Return whether a record is a text with a conversation, and not a row of another shape."""
    if options.shape == "text" or _transcript_of(value) is None:
        return False
    found = find_shape(value, options, lambda _: True)
    return (found is None or found[0] in ("text", "sharegpt")) and find_message_columns(
        list(value), options
    ) is None


def _map_values(records: Iterator[Record], change: Callable[[Any], Any]) -> Iterator[Record]:
    for record in records:
        yield record._replace(value=change(record.value)) if record.issue is None else record


def _unfold_json_column(records: Iterator[Record], options: FormatOptions) -> Unfolded:
    """Return the rows in a column of a table with JSON objects, if there is such a column."""
    first = _first(records)
    whole = chain(first, records)
    cells = first[0].value if first and isinstance(first[0].value, dict) else {}
    if find_app(cells) is not None and app_table(cells):
        return Unfolded(read_messages(whole, options.roles), True)
    if (export := find_export(cells)) is not None:
        return Unfolded(_exported_rows(whole, export), True)
    if _holds_transcripts(cells, options):
        return Unfolded(_map_values(whole, _convert_transcript), True)
    values, named = [one.value for one in first], assistants(options.roles)
    if (
        forms_shape(list(cells), options)
        and _is_row(cells, options)
        and _has_answers(values, options)
    ):
        return Unfolded(whole, False)
    if (chats := join_messages(values, whole, named)) is not None:
        return Unfolded(chats, True)
    for column, cell in cells.items():
        row = parse_json_text(cell)
        if isinstance(row, dict) and (forms_shape(list(row), options) or find_export(row)):
            return unfold(_map_values(whole, partial(_parse_cell, column)), options)
    found = None
    if cells and not forms_shape(list(cells), options):
        found = _inner_rows(first, whole, options)
    return Unfolded(whole if found is None else found, found is not None)


def _parse_cell(column: str, value: Any) -> Any:
    row = parse_json_text(value.get(column)) if isinstance(value, dict) else None
    return row if isinstance(row, dict) else value


def _exported_rows(records: Iterator[Record], export: Export) -> Iterator[Record]:
    for record in records:
        rows = export(record.value) if isinstance(record.value, dict) else None
        yield from [record] if rows is None else _records_of(rows, record)


def _records_of(rows: Iterable[Row], record: Record) -> Iterator[Record]:
    """Yield the rows in a record, or an issue if it has none."""
    found = [record._replace(value=row) for row in rows]
    yield from found or [Record(record.line, None, make_issue("no_answer", record.line))]


def _chats(
    first: list[Record], records: Iterator[Record], options: FormatOptions
) -> Iterator[Record] | None:
    """Return the conversations in the messages of an app, or in documents with them, or None."""
    values = [one.value for one in first if isinstance(one.value, dict)]
    if any(find_app(value) for value in values):
        return read_messages(records, options.roles)
    if is_tree_message(first[0].value):
        return join_trees(records)
    # A row is no export of an unknown tool.
    is_known = _is_row(values[0], options) and _has_answers(values, options)
    if any(chats_inside(value, options.roles, is_known=is_known) for value in values):
        return _chats_inside(records, options, is_known=is_known)
    return None if is_known else join_messages(values, records, assistants(options.roles))


def _is_row(value: Row, options: FormatOptions) -> bool:
    """Return whether a record is a row that needs no search: its messages have usual fields."""
    found = find_shape(value, options, lambda _: True)
    if found is None:
        return options.shape is not None or find_message_columns(value, options) is not None
    columns = [found[1][name] for name in ("messages", "conversations") if name in found[1]]
    return all(are_plain(parse_json_text(value[one])) for one in columns)


def _has_answers(values: list[Any], options: FormatOptions) -> bool:
    """Return whether records are no messages, or an assistant wrote some of them."""
    rows = [one for one in values if isinstance(one, dict)]
    found = find_message_columns(rows[0], options) if rows else None
    if found is None or find_shape(rows[0], options, lambda _: True) is not None:
        return True
    return any(
        standard_role(str(row.get(found.role)), options.roles) == "assistant" for row in rows
    )


def _chats_inside(
    records: Iterator[Record], options: FormatOptions, *, is_known: bool
) -> Iterator[Record]:
    for record in records:
        if record.issue is not None:
            yield record
        else:
            rows = chats_inside(record.value, options.roles, is_known=is_known)
            yield from _records_of(rows, record)


def _wrap_conversation(value: Any) -> Any:
    return {"conversations": value} if isinstance(value, list) else value


def _lifted(value: Any) -> Any:
    """Return a record with the fields of its objects, such as `inputs` and `outputs`."""
    parts = (
        [one for one in value.values() if isinstance(one, dict)] if isinstance(value, dict) else []
    )
    return {key: one for part in parts for key, one in part.items()} or value


def _unwrap_viewer_row(value: Any) -> Any:
    return value.get("row", value) if isinstance(value, dict) else value


_TRANSCRIPTS = frozenset(("text", "chat", "transcript", "conversation", "dialogue", "chat_log"))


def _transcript_of(value: Any) -> tuple[str, list[Row]] | None:
    """Return the column with the text of a conversation, and its turns, or None."""
    for column in value if isinstance(value, dict) else ():
        if field_name(column) not in _TRANSCRIPTS:
            continue
        turns = parse_transcript(value[column]) or parse_roles(value[column])
        if turns is not None:
            return column, turns
    return None


def _convert_transcript(value: Any) -> Any:
    found = _transcript_of(value)
    if found is None:
        return value
    column, turns = found
    return {key: kept for key, kept in value.items() if key != column} | {"conversations": turns}


def _rows_below_names(records: Iterator[Record]) -> Iterator[Record]:
    """Convert rows that are lists, after a first list with the names of the columns."""
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
    """Return the rows in a file that is one object, or [] if the object itself is a row."""
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
    arrays = {
        name: c for name, c in value.items() if isinstance(c, list) and c and isinstance(c[0], dict)
    }
    rows = next(iter(arrays.values()), [])
    return rows if len(arrays) == 1 and not are_turns(rows) else []


_MAX_DEPTH = 6
_TITLES, _BODIES = ("title", "name"), ("body", "content", "text", "description")  # of articles


def _first_text(value: Row, names: Iterable[str]) -> str:
    named = {name.casefold(): one for name, one in value.items() if isinstance(one, str)}
    return next((named[name] for name in names if named.get(name)), "")


def _all_rows_inside(records: Iterable[Record], options: FormatOptions) -> Iterator[Record]:
    for record in records:
        if record.issue is not None:
            yield record
        else:
            yield from _records_of(_rows_inside(record.value, options), record)


def _says_something(value: Any) -> bool:
    return isinstance(value, str) or any(map(_says_something, _parts_of(value)))


def _parts_of(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _rows_inside(value: Any, options: FormatOptions, depth: int = _MAX_DEPTH) -> list[Row]:
    """Return the rows anywhere in a value: objects that form a shape, and questions as keys."""
    if isinstance(value, dict):
        if (export := find_export(value)) is not None:
            return list(export(value) or ())
        found = find_shape(value, options, lambda _: True)
        is_row = found is not None and _is_row(value, options)
        if found is not None and is_row and found[0] not in ("text", "reinforcement"):
            return [value] if all(map(_says_something, map(value.get, found[1].values()))) else []
        talks = value.get("conversations", value.get("dialogues"))
        if isinstance(talks, list) and all(
            isinstance(one, list) and are_plain(one) for one in talks
        ):
            return [{"conversations": one} for one in talks]
        texts = [one for one in value.values() if isinstance(one, str)]
        title, body = (_first_text(value, names) for names in (_TITLES, _BODIES))
        if body and is_question(title):
            return [{"prompt": title, "completion": html_text(body)}]
        are_asked = len(texts) == len(value) > 1 and all(map(is_question, value))
        if are_asked and not all(map(is_question, texts)):  # as in a translation
            return [{"prompt": asked, "completion": text} for asked, text in value.items()]
    return [
        row for one in _parts_of(value) if depth for row in _rows_inside(one, options, depth - 1)
    ]


def _is_column(value: Any) -> bool:
    """Return whether a value is a column: a list of scalars, or an object of scalars by row."""
    if not isinstance(value, dict | list) or not value:
        return False
    cells = value.values() if isinstance(value, dict) else value
    return all(not isinstance(cell, dict | list) for cell in cells)


# Columns are collected from many records, because the first ones may lack a field. The sampled
# records are in memory together.
_NUMBER = re.compile(r"[-+\d.,]+")
_SAMPLE_RECORDS = 200
_SAMPLE_CHARS = 16 * 1024**2
_SHOWN_COLUMNS = 20


class ColumnMeaning(NamedTuple):
    """The shape of the records, and the column of each of its fields.

    `columns` are those of the sampled records, or None if messages were grouped or rows keep all
    fields. `named` describes the columns of the file, which differ from `fields` if messages were
    grouped. `is_canonical` is whether the sampled records need no conversion.
    """

    shape: Shape
    fields: dict[str, str]
    named: dict[str, str]
    unused: list[str]
    records: Iterator[Record]
    is_canonical: bool
    columns: frozenset[str] | None


class RecordSample(NamedTuple):
    """The records of a file, and a sample of the first ones.

    `records` yields all records, including the sampled ones. `unfolded` is whether they were inside
    other values, `as_text` whether the container stores booleans as text, `are_rated` whether
    they were made of rated answers, and `is_document` whether the file is one JSON value.
    """

    first: list[Record]
    columns: list[str]
    records: Iterator[Record]
    unfolded: bool
    as_text: bool
    are_rated: bool
    is_document: bool

    def values(self, column: str) -> list[Any]:
        """Return the values of a column in the sampled objects, or None where it is missing."""
        values = (record.value for record in self.first)
        return [value.get(column) for value in values if isinstance(value, dict)]


def sample_records(
    records: Iterator[Record], container: str, options: FormatOptions
) -> RecordSample:
    """Unfold the records if necessary, and sample the first ones."""
    unfolded = False
    first = _first(records)
    records = chain(first, records)
    if (read := find_feedback((record.value for record in first), options)) is not None:
        records, unfolded = feedback_rows(records, read, options), True
    elif container in ("json", "jsonl", "parquet"):
        records, unfolded = unfold(records, options)
    else:
        records, unfolded = _unfold_json_column(records, options)
    first = _first(records)
    is_rated = read is not None
    return RecordSample(
        first,
        _columns(first),
        chain(first, records),
        unfolded,
        as_text=container in ("csv", *WORKBOOKS) and not is_rated,
        are_rated=is_rated,
        is_document=container == "json" or (container == "jsonl" and unfolded),
    )


def interpret_columns(sample: RecordSample, options: FormatOptions, log: IssueLog) -> ColumnMeaning:
    """Find the shape of the sampled records. Raises DatasetError if there is none."""
    _check_mapping(sample.columns, options)
    records, grouped = sample.records, False
    if (found := find_record_shape(sample, options)) is not None:
        shape, fields = found
        _log_guesses(fields, options, log)
        named = fields
        canonical = _is_canonical(shape, fields) and not sample.unfolded
        canonical = canonical and all(has_openai_messages(record.value) for record in sample.first)
        if (thread := _thread_of_pairs(sample, fields)) is not None:
            turns = _turns_of_pairs(records, fields, thread)
            records = group_messages(turns, MessageColumns(thread, "role", "content", None))
            shape, fields, grouped = "sharegpt", {"conversations": "conversations"}, True
            named = {**named, "group_by": thread}
    elif columns := _message_columns(sample, options):
        shape, fields, named = "sharegpt", {"conversations": "conversations"}, columns.by_field()
        ids = [key for key, _ in groupby(map(str, filter(None, sample.values(columns.group))))]
        if len(set(ids)) < len(ids):  # a log of several conversations at a time
            records = gather_messages(records, columns.group)
        records, canonical, grouped = group_messages(records, columns), False, True
    else:
        raise _no_shape(sample.first, sample.columns)
    if sample.are_rated:
        log.add(make_issue("rated_answers", shape=shape))
    if "context" in fields:
        log.add(make_issue("joined_context", column=printable(fields["context"])))
    used = set(named.values())
    if shape == "reinforcement":  # the grader uses the other fields
        return ColumnMeaning(shape, fields, named, [], records, canonical, None)
    unused = [printable(column) for column in sample.columns if column not in used]
    known = None if grouped else frozenset(sample.columns)
    return ColumnMeaning(shape, fields, named, unused, records, canonical, known)


_PAIR_THREADS = frozenset(("conversation_id", "session_id", "chat_id", "thread_id", "dialog_id"))


def _thread_of_pairs(sample: RecordSample, fields: Mapping[str, str]) -> str | None:
    """Return the column with the ID of the conversation if questions with answers follow others.

    A log can have the rows of several conversations by turns, which then stay apart.
    """
    if fields.keys() != {"prompt", "completion"}:
        return None
    for column in sample.columns:
        ids = [key for key, _ in groupby(sample.values(column))]
        if field_name(column) in _PAIR_THREADS and None not in ids:
            return column if len(set(map(str, ids))) == len(ids) < len(sample.first) else None
    return None


def _turns_of_pairs(
    records: Iterable[Record], fields: Mapping[str, str], thread: str
) -> Iterator[Record]:
    for record in records:
        if record.issue is not None or not isinstance(record.value, dict):
            yield record
            continue
        for role, field in (("user", "prompt"), ("assistant", "completion")):
            turn = {"role": role, "content": record.value.get(fields[field])}
            yield record._replace(value={thread: record.value.get(thread), **turn})


def _message_columns(sample: RecordSample, options: FormatOptions) -> MessageColumns | None:
    """Return the columns of messages, which need no ID if a document is one conversation."""
    found = find_message_columns(sample.columns, options)
    if found is None and sample.is_document:
        found = find_message_columns(sample.columns, options, is_one=True)
        speakers = {str(one) for one in sample.values(found.role) if one} if found else set()
        roles = {standard_role(one, options.roles) for one in speakers}
        if None in roles or not {"user", "assistant"} <= roles:
            return None
    return found


def find_record_shape(
    sample: RecordSample, options: FormatOptions
) -> tuple[Shape, dict[str, str]] | None:
    """Return the shape of single records, and the column of each of its fields."""
    if options.group_by is not None:
        return None
    found = find_shape(
        sample.columns,
        options,
        lambda column: holds_labels(sample, column),
        lambda column: holds_prompts(sample, column, options),
        lambda column: holds_classes(sample, column),
    )
    return found if found is not None and _any_prompt(sample.first, found[1]) else None


def holds_labels(sample: RecordSample, column: str) -> bool:
    """Return whether the values of a column are judgments of answers."""
    return are_labels(sample.values(column), as_text=sample.as_text)


def holds_classes(sample: RecordSample, column: str) -> bool:
    """Return whether the values of a column are names of classes: texts that are no numbers."""
    values = [value for value in sample.values(column) if value is not None]
    texts = [value.strip() for value in values if isinstance(value, str)]
    are_names = all(text and not _NUMBER.fullmatch(text) for text in texts)
    return len(texts) == len(values) > 0 and are_names and not are_labels(texts, as_text=True)


def holds_prompts(sample: RecordSample, column: str, options: FormatOptions) -> bool:
    """Return whether the values of a column are conversations that await an answer."""
    return are_prompts(sample.values(column), options.roles)


def _any_prompt(records: list[Record], fields: dict[str, str]) -> bool:
    """Return whether any readable record has a prompt. Without readable records, return True."""
    values = [record.value for record in records if isinstance(record.value, dict)]
    return not values or any(has_prompt(fields, value) for value in values)


def _is_canonical(shape: Shape, fields: dict[str, str]) -> bool:
    """Return whether the shape is a row format and its columns have the names of its fields."""
    converted = fields.keys() & {"chosen", "completion", "conversations", "prompt", "system"}
    own = all(field == column for field, column in fields.items())
    return row_format_of(shape) == shape and not converted and own


def _log_guesses(fields: dict[str, str], options: FormatOptions, log: IssueLog) -> None:
    if any(not is_known(fields[name]) for name in fields if name not in options.columns):
        prompt, completion = printable(fields["prompt"]), printable(fields["completion"])
        log.add(make_issue("guessed_columns", prompt=prompt, completion=completion))


def _first(records: Iterator[Record]) -> list[Record]:
    """Return the first records: many small ones or a few large ones."""
    first: list[Record] = []
    chars = 0
    for record in records:
        first.append(record)
        chars += _chars(record.value)
        if len(first) == _SAMPLE_RECORDS or chars > _SAMPLE_CHARS:
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
    records = [one for one in records if one.issue is None or one.issue.code != "no_answer"]
    if kind := next(filter(None, (other_kind(record.value) for record in records)), None):
        return refuse("document", kind=kind)
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
