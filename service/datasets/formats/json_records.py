"""Reads JSON Lines, and JSON documents that contain one array or several objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from service.datasets.checks.issues import IssueLog, make_issue, printable, refuse
from service.datasets.formats.chat_apps import CHAT, find_app
from service.datasets.formats.options import Record
from service.datasets.limits import BATCH_BYTES, MAX_LINE_BYTES
from service.datasets.rows.lines import FileSlice, content_start, parse, read_lines

# As in `rows.lines`, an unclosed string extends to the end of the available data.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<end>"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
# Names of the array of rows in a document that also has other fields.
_ROWS_KEY = re.compile(
    rb'"(?:data|rows|train|training|test|testing|valid|validation|val|dev|eval|evaluation|holdout|'
    rb'examples|records|samples|dataset|instances|entries|results|pairs|qa|faq|faqs|questions)"\s*:\Z',
    re.IGNORECASE,
)
_CHAT_KEY = re.compile(rb'"(?:messages|value)"\s*:\Z')
# Telegram's export of an account: its chats are in a list, and may be larger than a row.
_ACCOUNT = re.compile(rb'\s*\{\s*"about"\s*:\s*"')
_CHATS = re.compile(rb'"messages"\s*:\s*(?=\[\s*\{)')
_HEAD_BYTES = 256 * 1024
_decoder = json.JSONDecoder()
_MAX_KEY_BYTES = 256  # of a key with the spaces before its array
_MAX_LISTED_NAMES = 10  # in a message


def read_jsonl(path: Path) -> Iterator[Record]:
    """Yield the value of each nonblank line."""
    for number, line in read_lines(path):
        if line is None:
            yield Record(number, None, make_issue("line_too_long", number, limit=MAX_LINE_BYTES))
        elif line and not line.isspace() and not line.lstrip().startswith(b"//"):
            yield _record(number, line)


def read_json(path: Path, log: IssueLog) -> Iterator[Record]:
    """Yield the elements of a single array, or the objects of a document with several.

    Elements may span several lines. A record's line is the one on which its element begins.
    Raises DatasetError if a document has several arrays of rows, or if the brackets do not match,
    because the rows that follow cannot be separated.
    """
    start = content_start(path)
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(_HEAD_BYTES)
    rows_at = find_rows(head) or 0
    is_chat = rows_at > 0 and _CHATS.search(head[max(0, rows_at - _MAX_KEY_BYTES) :]) is not None
    if is_chat or _ACCOUNT.match(head):
        chats = [at for at in _chats_at(path, start) if _holds_messages(_bytes_at(path, at))]
        for number, at in enumerate(chats):
            line = 1 + _lines_before(path, at)
            for record in _cut(path, at, _Cutter(line, is_embedded=True)):
                yield record if is_chat else _in_chat(record, number)
        if chats:
            return
    if rows_at > 0 and _ROWS_KEY.search(head[:rows_at].rstrip()[-40:]):
        _check_arrays(path, start, log)
    cutter = _Cutter(1 + head.count(b"\n", 0, rows_at), is_embedded=rows_at > 0)
    yield from _cut(path, start + rows_at, cutter)


def _cut(path: Path, start: int, cutter: _Cutter) -> Iterator[Record]:
    with FileSlice(path, start) as stream:
        while not cutter.done and (block := stream.read(BATCH_BYTES)):
            yield from cutter.feed(block)
        if not cutter.done:
            yield from cutter.feed(b"", final=True)


def _chats_at(path: Path, start: int) -> Iterator[int]:
    """Yield the offsets of the arrays of messages. Quotes inside strings are escaped."""
    rest, at = b"", start
    with FileSlice(path, start) as stream:
        while block := stream.read(BATCH_BYTES):
            data = rest + block
            end = 0
            for match in _CHATS.finditer(data):
                yield at + match.end()
                end = match.end()
            kept = max(end, len(data) - _MAX_KEY_BYTES)
            at, rest = at + kept, data[kept:]


def _lines_before(path: Path, end: int) -> int:
    count, at = 0, 0
    with FileSlice(path, 0) as stream:
        while at < end and (block := stream.read(min(BATCH_BYTES, end - at))):
            count += block.count(b"\n")
            at += len(block)
    return count


def _bytes_at(path: Path, at: int) -> bytes:
    with FileSlice(path, at) as stream:
        return stream.read(_HEAD_BYTES).lstrip(b"[ \r\n\t")


def _in_chat(record: Record, number: int) -> Record:
    """Return a message of one of several chats with the number of its chat."""
    if not isinstance(record.value, dict):
        return record
    return record._replace(value={**record.value, CHAT: number})


def find_rows(head: bytes) -> int | None:
    """Return the offset of the array of rows in a document such as {"data": [{…}, …]}, or None.

    The document must be a single object: lines of JSON Lines may have such a field, too.
    """
    first, _, rest = head.partition(b"\n")
    if head.lstrip()[:1] != b"{" or (rest.strip() and parse(first)[1] is None):
        return None
    depth = 0
    for token in _TOKENS.finditer(head):
        kind = head[token.start()]
        if kind in b"[{":
            before, after = head[: token.start()].rstrip(), head[token.end() :].lstrip()[:1]
            if (
                depth == 1
                and kind in b"["
                and after == b"{"
                and (
                    _ROWS_KEY.search(before[-40:])
                    or (_CHAT_KEY.search(before[-40:]) and _holds_messages(head[token.end() :]))
                )
            ):
                return token.start()
            depth += 1
        elif kind in b"]}":
            depth -= 1
    return None


def _holds_messages(data: bytes) -> bool:
    """Return whether the first object is a message of a chat app, whose chats can be long."""
    try:
        first, _ = _decoder.raw_decode(data.decode("utf-8", "replace").lstrip())
    except (ValueError, RecursionError):
        return False
    return find_app(first) is not None


def _check_arrays(path: Path, start: int, log: IssueLog) -> None:
    """Log the arrays that are not read. Raises DatasetError if several look like rows."""
    names = list(_arrays_of_objects(path, start))
    tables = [name for name in names if _ROWS_KEY.search(name + b":")]
    others = [name for name in names if name not in tables]
    if len(tables) > 1:
        raise refuse("several_tables", names=_listed(tables))
    if others:
        log.add(make_issue("other_arrays", names=_listed(others)))


def _listed(names: list[bytes]) -> str:
    shown = [printable(name[1:-1].decode("utf-8", "replace")) for name in names]
    listed = ", ".join(shown[:_MAX_LISTED_NAMES])
    return listed if len(shown) <= _MAX_LISTED_NAMES else f"{listed} and others"


def _arrays_of_objects(path: Path, start: int) -> Iterator[bytes]:
    """Yield the quoted names of a document's top-level arrays that begin with an object."""
    depth, name, opened, rest = 0, b"", False, b""
    with FileSlice(path, start) as stream:
        while (block := stream.read(BATCH_BYTES)) and len(rest) <= MAX_LINE_BYTES:
            data, at = rest + block, 0
            for token in _TOKENS.finditer(data):
                kind = data[token.start()]
                if kind == 0x22:
                    if token.group("end") != b'"':
                        break  # the string continues in the next block
                    if depth == 1:
                        name = token.group()
                elif opened and kind == 0x7B:
                    yield name
                opened = kind == 0x5B and depth == 1
                depth += (kind in b"[{") - (kind in b"]}")
                at = token.end()
            rest = data[at:] if b'"' in data[at:] else b""


# Trailing commas and comments, as people write them by hand. Strings are matched to stay as is.
_LOOSE = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|,(?=\s*[}\]])|//[^\n]*')


def _record(line: int, data: bytes) -> Record:
    value, issue = parse(data)
    if issue is not None and (b"//" in data or b"," in data):
        tidy = _LOOSE.sub(lambda found: found[0] if found[0][:1] == b'"' else b"", data)
        tidy = tidy.rstrip().removesuffix(b",")
        if tidy != data:
            value, again = parse(tidy)
            issue = issue if again is not None else None
    if issue is not None:
        issue = msgspec.structs.replace(issue, line=line)
    return Record(line, value, issue)


class _Cutter:
    """Splits a document at its brackets. Holds at most one element and one block."""

    def __init__(self, line: int = 1, *, is_embedded: bool = False) -> None:
        self.done = False  # whether an embedded array has ended
        self._is_embedded = is_embedded
        self._base = -1  # depth of the elements: 1 inside an array, otherwise 0
        self._depth = 0
        self._data = b""
        self._at = 0  # end of the data searched so far
        self._begin = 0  # start of the current element, or of the gap between two
        self._line = line  # line number at offset `_counted`
        self._counted = 0

    def feed(self, block: bytes, *, final: bool = False) -> Iterator[Record]:
        """Yield the records that end in the next block of the document."""
        self._data += block
        if self._base < 0 and self._data.strip():
            self._base = 1 if self._data.lstrip()[:1] == b"[" else 0
        for token in _TOKENS.finditer(self._data, self._at):
            first = self._data[token.start()]
            if first == 0x22:
                if token.group("end") != b'"' and not final:
                    break  # the string continues in the next block
            elif first in b"[{":
                yield from self._open(token.start())
            else:
                yield from self._close(token.start(), token.end())
            self._at = token.end()
            if self.done:
                return
        else:
            if self._depth <= self._base or final:
                self._at = len(self._data)
        self._drop_consumed()
        if final:
            yield from self._gap(len(self._data))
            if self._depth != 0:
                raise refuse("unmatched_brackets", self._line_at(len(self._data)))

    def _open(self, start: int) -> Iterator[Record]:
        if self._depth == self._base:
            yield from self._gap(start)
            self._begin = start
        elif self._depth < self._base:
            self._begin = start + 1  # the array's own bracket
        self._depth += 1

    def _close(self, start: int, end: int) -> Iterator[Record]:
        self._depth -= 1
        if self._depth < 0:
            raise refuse("unmatched_brackets", self._line_at(start))
        if self._depth == self._base:
            yield _record(self._line_at(self._begin), self._data[self._begin : end])
            self._begin = end
        elif self._depth < self._base:
            yield from self._gap(start)
            self._begin = end
            self.done = self._is_embedded

    def _gap(self, end: int) -> Iterator[Record]:
        """Yield an issue if anything but a comma separates two elements."""
        if self._data[self._begin : end].strip(b", \t\r\n"):
            line = self._line_at(self._begin)
            yield Record(line, None, make_issue("not_an_object", line, found="bare value"))

    def _line_at(self, at: int) -> int:
        self._line += self._data.count(b"\n", self._counted, at)
        self._counted = at
        return self._line

    def _drop_consumed(self) -> None:
        """Drop the data before the current element."""
        done = self._begin
        self._line_at(done)
        self._data = self._data[done:]
        self._at -= done
        self._counted = self._begin = 0
        if len(self._data) > MAX_LINE_BYTES + BATCH_BYTES:
            raise refuse("element_too_long", self._line, limit=MAX_LINE_BYTES)
