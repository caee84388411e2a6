"""Lines of bytes to verdicts: the typed decoder first, the explaining checks where needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from service.datasets.checks.findings import Findings
from service.datasets.checks.order import check_order
from service.datasets.checks.rows import RowFormat, check_chat_row, check_preference_row
from service.datasets.issues import IssueLog, make_issue
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.lines import Batch, LongLine
from service.datasets.rawjson import parse
from service.datasets.rows import AssistantMessage, ChatRow, PreferenceRow

# Escapes that a batch must hold before any of its lines can hold a mark in one. Searching
# a batch is cheap beside looking into each string; a search for one byte is next to free.
_ESCAPES = (b"\\u00", b"\\b", b"\\f")
UNPLAIN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MARK = re.compile(
    rb"<(?:\||/?s>|<SYS|</SYS|(?:start|end)_of_turn>|[be]os>|\xef\xbd\x9c)|\[/?INST\]"
    rb"|(?<!\\)(?:\\\\)*+\\(?:[bf]|u00[0-7])"
)
_chat = msgspec.json.Decoder(ChatRow).decode
_preference = msgspec.json.Decoder(PreferenceRow).decode

# Verdicts by the types of a row's messages: few orders of roles occur, so the check of the
# order is a look-up. Bounded, since a file can be made of orders that never repeat.
_ORDERLY: dict[tuple[type, ...], bool] = {}
_ORDERLY_MAX, _ORDERLY_TURNS = 4_096, 64


class LineChecker:
    """Checks lines of one format; keeps the counts and the issues."""

    def __init__(self, row_format: RowFormat, issues: IssueLog) -> None:
        self.issues = issues
        self.rows = 0
        self.valid_rows = 0
        self._plain: Callable[[bytes], object] = (
            decode_plain_chat if row_format == "chat" else decode_plain_preference
        )
        self._explain: Callable[[Findings, Any], None] = (
            check_chat_row if row_format == "chat" else check_preference_row
        )

    def check(self, batch: Batch | LongLine) -> None:
        """Checks each line of the batch."""
        if isinstance(batch, LongLine):
            self.rows += 1
            self.issues.add(make_issue("line_too_long", batch.line, limit=MAX_LINE_BYTES))
            return
        marked = _may_be_marked(batch.data) or _may_be_marked(batch.lines[0])
        plain, valid = self._plain, 0
        for offset, line in enumerate(batch.lines):
            try:
                if plain(line) and not (marked and _MARK.search(line)):
                    valid += 1
                    continue
            except UNPLAIN:
                pass
            self._check_slowly(batch.first_line + offset, line)
        self.rows += valid
        self.valid_rows += valid

    def _check_slowly(self, number: int, line: bytes) -> None:
        if not line or line.isspace():
            self.issues.add(make_issue("blank_line", number))
            return
        self.rows += 1
        found = Findings(number)
        row, issue = parse(line)
        if issue is not None:
            self.issues.add(msgspec.structs.replace(issue, line=number))
            return
        self._explain(found, row)
        self.issues.extend(found.issues)
        self.valid_rows += not found.has_errors


def _may_be_marked(data: bytes) -> bool:
    return (
        b"<" in data
        or b"INST]" in data
        or (b"\\" in data and any(escape in data for escape in _ESCAPES))
    )


def decode_plain_chat(line: bytes) -> ChatRow | None:
    """The typed row of a line that no check of its shape has anything to say about.

    None: look closer. Raises what the decoder raises. Marks inside the text are not looked
    for here.
    """
    row = _chat(line)
    messages = row.messages
    orderly = _ORDERLY.get(tuple(map(type, messages)))
    if orderly is None:
        orderly = _judge_order(tuple(map(type, messages)))
    if not orderly:
        return None
    for message in messages:
        if message.content.isspace():
            return None
    return row


def _judge_order(types: tuple[type, ...]) -> bool:
    roles = [_role(kind) for kind in types]
    orderly = AssistantMessage in types and not check_order(roles)
    if len(_ORDERLY) < _ORDERLY_MAX and len(types) <= _ORDERLY_TURNS:
        _ORDERLY[types] = orderly
    return orderly


def decode_plain_preference(line: bytes) -> PreferenceRow | None:
    """The same for a preference row."""
    row = _preference(line)
    given, better, worse = (
        row.input.messages,
        row.preferred_output,
        row.non_preferred_output,
    )
    if not better or not worse or better == worse or not given:
        return None
    roles = [_role(type(message)) for message in given]
    if roles[-1] == "assistant" or check_order(roles, ends_with_assistant=False):
        return None
    if any(m.content.isspace() for part in (given, better, worse) for m in part):
        return None
    return row


def _role(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]
