"""What the columns of a file mean: the shape that they form, or a conversation spread over rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

from service.datasets.checks.issues import IssueLog, make_issue, shown
from service.datasets.checks.labels import are_labels
from service.datasets.errors import DatasetError, refuse
from service.datasets.facts import row_format_of
from service.datasets.formats.options import FormatOptions, Shape
from service.datasets.formats.prompts import are_prompts
from service.datasets.formats.records import Record
from service.datasets.formats.shapes import find_shape, has_prompt, is_known
from service.datasets.formats.spread import find_spread, gather
from service.datasets.formats.turn_forms import is_usual
from service.datasets.formats.unfold import unfold

# Columns are collected from this many records, because the first ones may lack a field.
_LOOKED_AT = 200
_LOOKED_AT_CHARS = 16 * 1024**2  # the records are held in memory together
_SHOWN_COLUMNS = 20


class Meaning(NamedTuple):
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


class Looked(NamedTuple):
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


def look_at(records: Iterator[Record], container: str, options: FormatOptions) -> Looked:
    """Unfold the records if necessary, and look at the first ones."""
    unfolded = False
    if container in ("json", "jsonl", "parquet"):
        records, unfolded = unfold(records, options)
    first = _first(records)
    as_text = container in ("csv", "xlsx")
    return Looked(first, _columns(first), chain(first, records), unfolded, as_text)


def find_meaning(looked: Looked, options: FormatOptions, log: IssueLog) -> Meaning:
    """Find the shape of the records from the first ones. Raises DatasetError if there is none."""
    _check_mapping(looked.columns, options)
    whole, spoken = looked.records, False
    if (found := shape_of(looked, options)) is not None:
        shape, fields = found
        _log_guesses(fields, options, log)
        named = fields
        canonical = _is_canonical(shape, fields) and not looked.unfolded
        canonical = canonical and all(is_usual(record.value) for record in looked.first)
    elif spread := find_spread(looked.columns, options):
        shape, fields, named = "sharegpt", {"conversations": "conversations"}, spread.named()
        whole, canonical, spoken = gather(whole, spread), False, True
    else:
        raise _no_shape(looked.first, looked.columns)
    if "context" in fields:
        log.add(make_issue("joined_context", column=shown(fields["context"])))
    used = set(named.values())
    # The fields besides a prompt are for its grader.
    left = () if shape == "reinforcement" else looked.columns
    unused = [shown(column) for column in left if column not in used]
    columns = None if spoken or shape == "reinforcement" else frozenset(looked.columns)
    return Meaning(shape, fields, named, unused, whole, canonical, columns)


def shape_of(looked: Looked, options: FormatOptions) -> tuple[Shape, dict[str, str]] | None:
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


def holds_labels(looked: Looked, column: str) -> bool:
    """Whether the values of a column are judgments of answers."""
    return are_labels(looked.values(column), as_text=looked.as_text)


def holds_prompts(looked: Looked, column: str, options: FormatOptions) -> bool:
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
        prompt, completion = shown(fields["prompt"]), shown(fields["completion"])
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
            raise refuse("missing_column", field=shown(field))


def _no_shape(records: list[Record], columns: list[str]) -> Exception:
    if columns:
        names = ", ".join(shown(column) for column in columns[:_SHOWN_COLUMNS])
        return refuse("unknown_columns", columns=names)
    for record in records:
        if record.issue is not None:
            return DatasetError(record.issue)
    for record in records:
        if not isinstance(record.value, dict):
            return refuse("not_an_object", record.line, found="bare value")
    return refuse("unknown_columns", columns="none") if records else refuse("empty_file")
