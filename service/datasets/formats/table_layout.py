"""Finds the row that names the columns of a table, and joins rows that are messages.

Titles, dates, and a row that groups columns can precede the names. Names can be missing: pandas
leaves its index column unnamed, and some programs end each row with a comma. If each row is a
message, consecutive rows with the same ID become a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from service.datasets.checks.issues import IssueLog, make_issue, pointer_to, refuse
from service.datasets.formats.chat_apps import app_table, seconds, text_of
from service.datasets.formats.message_search import TEXTS, THREADS, TIMES, field_name, without_notes
from service.datasets.formats.options import FormatOptions, Record
from service.datasets.formats.shapes import find_shape, is_known
from service.datasets.formats.turn_forms import role_named

_ROLES = (
    *("role", "sender_type", "author_type", "author_role", "sender_role", "user_type"),
    *("participant_type", "participant_role", "participantrole", "speaker", "sender", "from"),
    *("author", "direction", "message_direction", "sendername", "sender_name", "author_name"),
    *("角色", "役割", "역할"),
)
_ORDERS = (
    *("turn", "turn_id", "turn_index", "turn_number", "message_index", "message_number"),
    *("order", "position", "seq", "sequence", "step"),
)
# IDs to remember, to detect a conversation that continues later in the file.
_MAX_REMEMBERED_IDS = 1_000_000


class MessageColumns(NamedTuple):
    """The columns of a message: conversation ID, role, text, and position in the conversation.

    `group` is empty if the file is one conversation.
    """

    group: str
    role: str
    text: str
    order: str | None

    def by_field(self) -> dict[str, str]:
        """Return the column of each field."""
        named = {"group_by": self.group, "role": self.role, "content": self.text}
        if not self.group:
            named.pop("group_by")
        return named if self.order is None else {**named, "order": self.order}


def find_message_columns(
    columns: Iterable[str], options: FormatOptions, *, is_one: bool = False
) -> MessageColumns | None:
    """Return the columns of messages, or None if the rows are not messages.

    With `is_one`, they need no ID of their conversation.
    """
    present = list(columns)
    by_name = {field_name(column): column for column in reversed(present)}

    def column(field: str, names: tuple[str, ...]) -> str | None:
        mapped = options.columns.get(field)
        if mapped is not None:
            return mapped if mapped in present else None
        return next((by_name[name] for name in names if name in by_name), None)

    group = options.group_by if options.group_by in present else column("conversations", THREADS)
    if options.group_by is not None and options.group_by not in present:
        return None
    role, text = column("role", _ROLES), column("content", TEXTS)
    group = "" if is_one else group
    if group is None or role is None or text is None or len({group, role, text}) < 3:
        return None
    return MessageColumns(group, role, text, column("order", (*_ORDERS, *TIMES)))


def group_messages(records: Iterable[Record], spread: MessageColumns) -> Iterator[Record]:
    """Yield a ShareGPT record for each conversation, at the line of its first message.

    The messages of a conversation must be consecutive. A message without an ID belongs to the
    conversation above it, as in merged cells. One unreadable row makes its whole conversation an
    issue.
    """
    seen: set[int] = set()
    held: list[Record] = []
    current: Any = None
    for record in records:
        group = record.value.get(spread.group) if isinstance(record.value, dict) else None
        same = record.issue is not None or group in (None, "") or group == current
        if held and not same:
            yield _make_conversation(held, current, seen, spread)
            held = []
        if not same:
            current = group
        held.append(record)
    if held:
        yield _make_conversation(held, current, seen, spread)


def gather_messages(records: Iterable[Record], group: str) -> Iterator[Record]:
    """Yield the records of each conversation together, in the order of the first ones."""
    held: dict[str, list[Record]] = {}
    current = ""
    for record in records:
        named = record.value.get(group) if isinstance(record.value, dict) else None
        current = current if named in (None, "") else str(named)
        held.setdefault(current, []).append(record)
    yield from chain.from_iterable(held.values())


def _make_conversation(
    rows: list[Record], group: Any, seen: set[int], spread: MessageColumns
) -> Record:
    first = rows[0].line
    warnings = tuple(warning for row in rows for warning in row.warnings)
    key = hash(str(group))
    again = key in seen
    if len(seen) < _MAX_REMEMBERED_IDS:
        seen.add(key)
    issue = next((row.issue for row in rows if row.issue is not None), None)
    if issue is None and again:
        issue = make_issue("split_conversation", first, pointer_to("", spread.group))
    if issue is not None:
        return Record(issue.line or first, None, issue)
    values = [row.value for row in rows if isinstance(row.value, dict)]
    said = [value for value in values if spread.group or value.get(spread.role) is not None]
    turns = [
        {"from": value.get(spread.role, ""), "value": _plain(value.get(spread.text, ""))}
        for value in _sort_messages(without_notes(said), spread.order)
    ]
    return Record(first, {"conversations": _merged(turns)}, None, warnings)


def _merged(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join texts that a user or an assistant wrote one after another."""
    made: list[dict[str, Any]] = []
    for turn in turns:
        last = made[-1] if made else {"from": None, "value": None}
        are_texts = isinstance(last["value"], str) and isinstance(turn["value"], str)
        is_same = last["from"] == turn["from"] and are_texts and turn["value"].strip()
        if is_same and role_named(str(turn["from"])) in ("user", "assistant"):
            made[-1] = {**last, "value": f"{last['value']}\n{turn['value']}"}
        else:
            made.append(turn)
    return made


def _plain(content: Any) -> Any:
    return text_of(content) or content if isinstance(content, list) else content


def _sort_messages(values: list[dict[str, Any]], order: str | None) -> list[dict[str, Any]]:
    """Sort the messages of a conversation if each has a number or a time in the column `order`."""
    places = [seconds(value.get(order or "")) for value in values]
    if None in places:
        return values
    pairs = sorted(zip(places, values, strict=True), key=lambda pair: pair[0] or 0)
    return [value for _, value in pairs]


_SAMPLE_ROWS = 25
SAMPLE_CHARS = 1024**2

Cells = Sequence[str]


class NumberedRow(NamedTuple):
    """The cells of a row that is not blank, and the number of its line or row, from 1."""

    number: int
    cells: Cells


class Layout(NamedTuple):
    """The column names, and the number of the row with them, or 0 if there is none."""

    names: list[str]
    header_row: int


class TableHead:
    """The first rows of a table and the row with the names, for a preview.

    A reader sets the fields before it yields the first record.
    """

    def __init__(self) -> None:
        self.sheet: str | None = None
        self.rows: Sequence[NumberedRow] = ()
        self.header_row: int | None = None

    def find_layout(self, rows: Sequence[NumberedRow], options: FormatOptions) -> Layout:
        """Find the names as the function `find_layout` does, and store where they are."""
        self.rows = rows
        layout = find_layout(rows, options)
        self.header_row = layout.header_row
        return layout


def find_layout(rows: Sequence[NumberedRow], options: FormatOptions) -> Layout:
    """Find the names of the columns in the first rows of a table, of which there is at least one.

    The names are in the row `header_row`, else in the first row that forms a shape, else in the
    first row as wide as most. Raises DatasetError if `header_row` is not among the rows, or if two
    columns share a name that is a field's or that the options use.
    """
    if options.header_row == 0:
        width = max(len(trim_cells(row.cells)) for row in rows)
        return Layout([_unnamed_column(place) for place in range(1, width + 1)], 0)
    header = _find_header(rows, options)
    return Layout(_make_unique(trim_cells(header.cells), header.number, options), header.number)


def sample_rows_limit(options: FormatOptions) -> int:
    """Return how many rows to search for the names of the columns."""
    return max(_SAMPLE_ROWS, options.header_row or 0)


def forms_shape(cells: Cells, options: FormatOptions) -> bool:
    """Return whether cells are the names of columns that form a shape, or of messages."""
    names = [cell for cell in trim_cells(cells) if cell]
    if app_table(names) or find_shape(names, options, lambda _: True) is not None:
        return True
    return find_message_columns(names, options) is not None


def trim_cells(cells: Cells) -> list[str]:
    """Return the cells without the blank ones at the end, and without spaces around them."""
    kept = [cell.strip() for cell in cells]
    while kept and not kept[-1]:
        kept.pop()
    return kept


# "Total" in the languages of the names of columns.
_TOTAL = re.compile(
    r"(?:grand |sub)?totals?:?|sum|count|gesamt|summe|somme|suma|totale|jumlah|итого|المجموع"
    r"|合計|合计|總計|总计|小計|합계|총계|รวม(?:ทั้งหมด)?|tổng(?: cộng)?|कुल",
    re.IGNORECASE,
)
_LONGEST_TOTAL = 20
_FIGURE = re.compile(r"[-+\d.,\s%]*")


def is_total(cells: Cells) -> bool:
    """Return whether a row only has the total of the rows above it."""
    first = (cells[0] if cells else "") or next(filter(None, cells), "")
    if len(first) > _LONGEST_TOTAL or _TOTAL.fullmatch(first.strip()) is None:
        return False
    others = [cell for cell in cells if cell.strip()][1:]
    return bool(others) and all(map(_FIGURE.fullmatch, others))


def log_titles(log: IssueLog, numbers: Sequence[int], layout: Layout) -> None:
    """Log how many of the rows with these numbers are above the names and were skipped."""
    above = sum(number < layout.header_row for number in numbers)
    if above:
        log.add(make_issue("rows_above_header", layout.header_row, count=above))


def _find_header(rows: Sequence[NumberedRow], options: FormatOptions) -> NumberedRow:
    if options.header_row is not None:
        for row in rows:
            if row.number == options.header_row:
                return row
        raise refuse("no_header_row", number=options.header_row)
    for place, row in enumerate(rows):
        if forms_shape(row.cells, options):
            return _below_groups(rows, place, options)
    widths = [_filled(row.cells) for row in rows]
    usual = max(set(widths), key=lambda width: (widths.count(width), width))
    return next(row for row, width in zip(rows, widths, strict=True) if width >= min(usual, 2))


def _below_groups(rows: Sequence[NumberedRow], place: int, options: FormatOptions) -> NumberedRow:
    """Return the row at `place`, or the next one if it names more columns, below group names.

    The next one can also repeat the names in another language.
    """
    row, following = rows[place], rows[place + 1 : place + 2]
    for other in following:
        is_wider = _filled(other.cells) > _filled(row.cells)
        cells = list(zip(trim_cells(row.cells), trim_cells(other.cells), strict=False))
        names = [below for above, below in cells if is_known(above)]
        is_again = len(names) > 1 and all(len(name) > 1 and is_known(name) for name in names)
        if (is_wider or is_again) and forms_shape(other.cells, options):
            return other
    return row


def _filled(cells: Cells) -> int:
    return sum(map(bool, trim_cells(cells)))


def _make_unique(names: list[str], number: int, options: FormatOptions) -> list[str]:
    """Name the unnamed columns, and add a number to names that occur again."""
    made: list[str] = []
    for place, name in enumerate(names, 1):
        if name in made:
            if is_known(name) or name in options.columns.values():
                raise refuse("duplicate_column", number, place=place)
            name = f"{name} ({place})"
        made.append(name or _unnamed_column(place))
    return made


def _unnamed_column(place: int) -> str:
    return f"column {place}"
