"""Reads lines in batches, skipping lines over the limit, and parses JSON within limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import msgspec

from service.datasets.checks.issues import Issue, make_issue
from service.datasets.limits import BATCH_BYTES, MAX_CONTAINERS, MAX_LINE_BYTES, MAX_NESTING

UTF8_BOM = b"\xef\xbb\xbf"


class ByteStream(Protocol):
    """A source of bytes: a file, a part of one, or a decompressor."""

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes. Returns empty bytes at the end."""


class Batch(NamedTuple):
    """Complete lines, without their newlines.

    `data` is the block of the file that contains the lines, except possibly the beginning of
    the first one. It may end with part of the next line. One search of `data` can rule out
    that any of the lines contains some bytes.
    """

    first_line: int
    data: bytes
    lines: list[bytes]

    @property
    def last_line(self) -> int:
        """Number of the last line in the batch."""
        return self.first_line + len(self.lines) - 1


class LongLine(NamedTuple):
    """A line over the limit, which was skipped. `line` is its number, from 1."""

    line: int

    @property
    def last_line(self) -> int:
        """Number of the line."""
        return self.line


class FileSlice:
    """A stream of the bytes from `start` to `end` of a file."""

    def __init__(self, path: Path, start: int = 0, end: int | None = None) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = (path.stat().st_size if end is None else end) - start

    def read(self, size: int, /) -> bytes:
        """Read at most `size` bytes. Returns empty bytes at the end of the slice."""
        block = self._file.read(min(size, self._left))
        self._left -= len(block)
        return block

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def content_start(path: Path) -> int:
    """Return the offset of a file's text, after the UTF-8 byte order mark if it has one."""
    with path.open("rb") as file:
        return len(UTF8_BOM) if file.read(len(UTF8_BOM)) == UTF8_BOM else 0


def read_batches(
    stream: ByteStream,
    *,
    first_line: int = 1,
    max_line_bytes: int = MAX_LINE_BYTES,
    batch_bytes: int = BATCH_BYTES,
) -> Iterator[Batch | LongLine]:
    """Yield every line of `stream` in order. Memory holds at most one line and one batch.

    `batch_bytes` must not exceed `max_line_bytes`.
    """
    number = first_line
    parts: list[bytes] = []  # parts of the incomplete line
    held = 0
    while block := stream.read(batch_bytes):
        if held > max_line_bytes:
            parts, held = [], 0
            yield LongLine(number)
            number += 1
            block = _after_line(stream, block, batch_bytes)
        lines = block.split(b"\n")
        rest = lines.pop()
        if not lines:
            parts.append(rest)
            held += len(rest)
            continue
        if parts:
            lines[0] = b"".join((*parts, lines[0]))
        if len(lines[0]) > max_line_bytes:
            yield LongLine(number)
            number += 1
            del lines[0]
        if lines:
            yield Batch(number, block, lines)
            number += len(lines)
        parts, held = ([rest], len(rest)) if rest else ([], 0)
    if held > max_line_bytes:
        yield LongLine(number)
    elif parts:
        last = b"".join(parts)
        if last:
            yield Batch(number, last, [last])


def read_lines(
    path: Path,
    *,
    start: int | None = None,
    first_line: int = 1,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number and the bytes of each line of a file, or None for a line over the limit.

    `start` is the offset of the first line, by default that after the byte order mark.
    """
    with FileSlice(path, content_start(path) if start is None else start) as stream:
        for batch in read_batches(stream, first_line=first_line, max_line_bytes=max_line_bytes):
            if isinstance(batch, LongLine):
                yield batch.line, None
            else:
                yield from enumerate(batch.lines, batch.first_line)


def _after_line(stream: ByteStream, block: bytes, batch_bytes: int) -> bytes:
    """Skip the rest of the line that continues in `block`, and return the bytes after it."""
    while block:
        end = block.find(b"\n")
        if end >= 0:
            return block[end + 1 :]
        block = stream.read(batch_bytes)
    return b""


def canonical_rows(path: Path) -> Iterator[bytes]:
    """Yield the rows of a canonical file, without their newlines.

    Escapes can make a canonical line longer than its source, but never four times as long.
    """
    with FileSlice(path) as stream:
        for batch in read_batches(stream, max_line_bytes=4 * MAX_LINE_BYTES):
            if not isinstance(batch, LongLine):
                yield from filter(None, batch.lines)


def line_ranges(path: Path, *, start: int, range_bytes: int) -> Iterator[tuple[int, int]]:
    """Split a file from `start` into byte ranges that begin and end at line boundaries."""
    size = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        while start < size:
            end = min(start + range_bytes, size)
            file.seek(end - 1)
            while end < size:
                block = file.read(BATCH_BYTES)
                at = block.find(b"\n")
                if at >= 0:
                    end = file.tell() - len(block) + at + 1
                    break
                end = file.tell()
            yield start, end
            start = end


_decode = msgspec.json.Decoder().decode
# An unclosed string extends to the end of the line: backtracking to the next quote would be
# quadratic.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}


def kind_of(value: object) -> str:
    """Return the JSON name of a value's type."""
    return _KINDS.get(type(value), "number")


def exceeded_limit(line: bytes) -> Issue | None:
    """Return an issue if a line is nested too deeply or has too many containers, or None.

    Only brackets outside strings count. Invalid JSON is left to the parser.
    """
    if line.count(b"{") + line.count(b"[") <= MAX_NESTING:
        return None
    depth = deepest = containers = 0
    for token in _TOKENS.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            depth += 1
            containers += 1
            deepest = max(deepest, depth)
        elif first in b"]}":
            depth -= 1
    if deepest > MAX_NESTING:
        return make_issue("nesting_too_deep", limit=MAX_NESTING)
    if containers > MAX_CONTAINERS:
        return make_issue("too_many_values", limit=MAX_CONTAINERS)
    return None


def parse(line: bytes) -> tuple[Any, Issue | None]:
    """Parse a line and return (value, None), or (None, issue) if it is invalid."""
    if issue := exceeded_limit(line):
        return None, issue
    try:
        return _decode(line), None
    except UnicodeDecodeError:
        return None, _utf8_issue(line)
    except RecursionError:
        return None, make_issue("nesting_too_deep", limit=MAX_NESTING)
    except msgspec.DecodeError as error:
        return None, _json_issue(line, str(error))


def _utf8_issue(line: bytes) -> Issue:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return make_issue("invalid_utf8", at=error.start + 1)
    return make_issue("invalid_json", reason="a string is not Unicode")


def _json_issue(line: bytes, reason: str) -> Issue:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return make_issue("invalid_utf8", at=error.start + 1)
    if "surrogate" in reason or _LONE_SURROGATE.search(line):
        return make_issue("lone_surrogate")
    found = _AT_BYTE.search(reason)
    at = int(found.group(1)) if found else len(line)
    if "truncated" in reason or at >= len(line):
        reason = "it ends before the object does"
    elif "trailing" in reason:
        reason = f"something follows the object, at byte {at + 1}"
    elif line[at] < 0x20:
        reason = f"an unescaped control character at byte {at + 1}"
    elif "out of range" in reason:
        reason = "a number is too large"
    else:
        reason = f"an unexpected character at byte {at + 1}"
    return make_issue("invalid_json", reason=reason)
