"""Checks lines of bytes: first with the typed decoder, then, if needed, with detailed checks."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from service.datasets.checks.findings import Findings
from service.datasets.checks.issues import IssueLog, make_issue
from service.datasets.checks.order import check_order
from service.datasets.checks.rows import ROW_CHECKS
from service.datasets.facts import RowFormat
from service.datasets.limits import MAX_LINE_BYTES
from service.datasets.rows.lines import Batch, LongLine
from service.datasets.rows.raw_json import parse
from service.datasets.rows.shape import (
    AssistantMessage,
    ChatRow,
    LabeledRow,
    PreferenceRow,
    TextRow,
)

# Escapes that must occur in a batch before any of its lines can contain an escaped control
# character. Searching the batch is cheap compared to inspecting each string, and searching
# for a single byte is almost free.
_ESCAPES = (b"\\u00", b"\\b", b"\\f")
_TURN_MARKERS = (b"Human:", b"Assistant:", b"USER:", b"ASSISTANT:", b"Instruction:", b"Response:")
UNPLAIN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MARK = re.compile(
    rb"<(?:\||/?s>|<SYS|</SYS|(?:start|end)_of_turn>|[be]os>|\xef\xbd\x9c)|\[/?INST\]"
    rb"|(?<!\\)(?:\\\\)*+\\(?:[bf]|u00[0-7])"
    rb'|(?:"|\\n)[ \\t]*(?:### )?(?:Human|Assistant|Instruction|Response):'
    rb"|(?<![A-Z0-9_])(?:USER|ASSISTANT):"
)
_chat = msgspec.json.Decoder(ChatRow).decode
_preference = msgspec.json.Decoder(PreferenceRow).decode
_labeled = msgspec.json.Decoder(LabeledRow).decode
_text = msgspec.json.Decoder(TextRow).decode


class _Verdicts(dict[tuple[type, ...], bool]):
    """Whether messages of these types, in this order, form a regular conversation.

    Few role orders occur in practice, so checking the order becomes a lookup. The cache is
    bounded because a file can consist of orders that never repeat.
    """

    _MAX, _MAX_TURNS = 4_096, 64

    def __missing__(self, types: tuple[type, ...]) -> bool:
        roles = [_role(kind) for kind in types]
        orderly = AssistantMessage in types and not check_order(roles)
        if len(self) < self._MAX and len(types) <= self._MAX_TURNS:
            self[types] = orderly
        return orderly


_VERDICTS = _Verdicts()


class LineChecker:
    """Checks lines of one format, and records the counts and issues."""

    def __init__(self, row_format: RowFormat, issues: IssueLog) -> None:
        self.issues = issues
        self.rows = 0
        self.valid_rows = 0
        self._odd = _ODD[row_format]
        self._explain = ROW_CHECKS[row_format]

    def check(self, batch: Batch | LongLine) -> None:
        """Check each line of the batch."""
        if isinstance(batch, LongLine):
            self.rows += 1
            self.issues.add(make_issue("line_too_long", batch.line, limit=MAX_LINE_BYTES))
            return
        odd = self._odd(batch.lines)
        if _may_be_marked(batch.data) or _may_be_marked(batch.lines[0]):
            marked = (place for place, line in enumerate(batch.lines) if _MARK.search(line))
            odd = sorted({*odd, *marked})
        plain = len(batch.lines) - len(odd)
        self.rows += plain
        self.valid_rows += plain
        for place in odd:
            self._check_slowly(batch.first_line + place, batch.lines[place])

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
        or any(marker in data for marker in _TURN_MARKERS)
        or (b"\\" in data and any(escape in data for escape in _ESCAPES))
    )


def _odd_chats(lines: list[bytes]) -> list[int]:
    """Return the indexes of the lines that `decode_plain_chat` would not accept as plain.

    All rows go through this loop, which runs half a million times for 300 MB. Calling
    another Python function in it would cost about one fifteenth of the time.
    """
    return _odd_talks(lines, _chat)


def _odd_talks(lines: list[bytes], decode: Callable[[bytes], ChatRow | LabeledRow]) -> list[int]:
    odd: list[int] = []
    verdicts = _VERDICTS
    for place, line in enumerate(lines):
        try:
            messages = decode(line).messages
        except UNPLAIN:
            odd.append(place)
            continue
        if verdicts[tuple(map(type, messages))]:
            for message in messages:
                if message.content.isspace():
                    odd.append(place)
                    break
        else:
            odd.append(place)
    return odd


def decode_plain_chat(line: bytes) -> ChatRow | None:
    """Return the typed row of a line whose structure passes every check.

    Returns None if the line needs the detailed checks. Raises what the decoder raises. This
    function does not look for special tokens or control characters in the text.
    """
    row = _chat(line)
    if not _VERDICTS[tuple(map(type, row.messages))]:
        return None
    for message in row.messages:
        if message.content.isspace():
            return None
    return row


def _odd_preferences(lines: list[bytes]) -> list[int]:
    odd: list[int] = []
    for place, line in enumerate(lines):
        try:
            is_plain = _is_plain_preference(line)
        except UNPLAIN:
            is_plain = False
        if not is_plain:
            odd.append(place)
    return odd


def _is_plain_preference(line: bytes) -> bool:
    row = _preference(line)
    given, better, worse = row.input.messages, row.preferred_output, row.non_preferred_output
    if not better or not worse or better == worse or not given:
        return False
    roles = [_role(type(message)) for message in given]
    if roles[-1] == "assistant" or check_order(roles, ends_with_assistant=False):
        return False
    return not any(m.content.isspace() for part in (given, better, worse) for m in part)


def _odd_labeled(lines: list[bytes]) -> list[int]:
    return _odd_talks(lines, _labeled)


def _odd_texts(lines: list[bytes]) -> list[int]:
    odd: list[int] = []
    for place, line in enumerate(lines):
        try:
            is_plain = bool(_text(line).text.strip())
        except UNPLAIN:
            is_plain = False
        if not is_plain:
            odd.append(place)
    return odd


def _all(lines: list[bytes]) -> list[int]:
    """Return all lines: a row may have any fields, so it has no type."""
    return list(range(len(lines)))


_ODD: dict[RowFormat, Callable[[list[bytes]], list[int]]] = {
    "chat": _odd_chats,
    "preference": _odd_preferences,
    "labeled": _odd_labeled,
    "text": _odd_texts,
    "reinforcement": _all,
}


def _role(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined]
