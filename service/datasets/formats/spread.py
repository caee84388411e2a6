"""Conversations spread over rows: each row is a message, with the id of its conversation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from service.datasets.checks.fields import pointer_to
from service.datasets.checks.issues import make_issue
from service.datasets.formats.options import FormatOptions
from service.datasets.formats.records import Record

_IDS = (
    *("conversation_id", "conversationid", "conv_id", "conversation", "chat_id", "chatid"),
    *("session_id", "sessionid", "session", "dialog_id", "dialogue_id", "thread_id", "ticket_id"),
    *("case_id", "group_id", "dialog", "dialogue", "thread", "会話id", "对话id", "대화id"),
)
_ROLES = ("role", "speaker", "sender", "from", "author", "角色", "役割", "역할")
_TEXTS = ("content", "text", "message", "value", "utterance", "body", "内容", "内容文", "내용")
_ORDERS = (
    *("turn", "turn_id", "turn_index", "turn_number", "message_index", "message_number"),
    *("order", "position", "seq", "sequence", "step"),
)
# Conversations whose ids are remembered, to notice one that continues later.
_REMEMBERED = 1_000_000


class Spread(NamedTuple):
    """The columns of the conversation's id, the role, the text, and the order of the messages."""

    group: str
    role: str
    text: str
    order: str | None

    def named(self) -> dict[str, str]:
        """What the columns mean, for the facts of a file."""
        named = {"group_by": self.group, "role": self.role, "content": self.text}
        return named if self.order is None else {**named, "order": self.order}


def find_spread(columns: Iterable[str], options: FormatOptions) -> Spread | None:
    """Return the columns of messages, or None if the rows are not messages."""
    present = list(columns)
    by_name = {column.strip().casefold().replace(" ", "_"): column for column in reversed(present)}

    def column(field: str, names: tuple[str, ...]) -> str | None:
        mapped = options.columns.get(field)
        if mapped is not None:
            return mapped if mapped in present else None
        return next((by_name[name] for name in names if name in by_name), None)

    group = options.group_by if options.group_by in present else column("conversations", _IDS)
    if options.group_by is not None and options.group_by not in present:
        return None
    role, text = column("role", _ROLES), column("content", _TEXTS)
    if group is None or role is None or text is None or len({group, role, text}) < 3:
        return None
    return Spread(group, role, text, column("order", _ORDERS))


def gather(records: Iterable[Record], spread: Spread) -> Iterator[Record]:
    """Yield a ShareGPT record of each conversation, at the line of its first message.

    The messages of a conversation must be next to each other. A blank id belongs to the
    conversation above, as in merged cells. A conversation with a row that cannot be read is
    an issue as a whole.
    """
    seen: set[int] = set()
    held: list[Record] = []
    current: Any = None
    for record in records:
        group = record.value.get(spread.group) if isinstance(record.value, dict) else None
        same = record.issue is not None or group in (None, "") or group == current
        if held and not same:
            yield _talk(held, current, seen, spread)
            held = []
        if not same:
            current = group
        held.append(record)
    if held:
        yield _talk(held, current, seen, spread)


def _talk(rows: list[Record], group: Any, seen: set[int], spread: Spread) -> Record:
    first = rows[0].line
    warnings = tuple(warning for row in rows for warning in row.warnings)
    key = hash(str(group))
    again = key in seen
    if len(seen) < _REMEMBERED:
        seen.add(key)
    issue = next((row.issue for row in rows if row.issue is not None), None)
    if issue is None and again:
        issue = make_issue("split_conversation", first, pointer_to("", spread.group))
    if issue is not None:
        return Record(issue.line or first, None, issue)
    values = [row.value for row in rows if isinstance(row.value, dict)]
    turns = [
        {"from": value.get(spread.role, ""), "value": value.get(spread.text, "")}
        for value in _in_order(values, spread.order)
    ]
    return Record(first, {"conversations": turns}, None, warnings)


def _in_order(values: list[dict[str, Any]], order: str | None) -> list[dict[str, Any]]:
    """Sort the messages of a conversation if the order of each is a number."""
    if order is None:
        return values
    try:
        return sorted(values, key=lambda value: float(value[order]))
    except (KeyError, TypeError, ValueError):
        return values
