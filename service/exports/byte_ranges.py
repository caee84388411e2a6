"""Ranges of bytes in requests (RFC 9110): one range, or all bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range is outside the content."""


class ByteRange(NamedTuple):
    """The bytes from `start` up to, but not including, `end`."""

    start: int
    end: int


def requested(header: str | None, size: int) -> ByteRange | None:
    """Return the range that a `Range` header asks for; None for all bytes.

    A header with several ranges or another unit is ignored, as the standard allows. Raises
    Unsatisfiable.
    """
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:  # the last bytes
        wanted = ByteRange(max(size - int(found["last"]), 0), size)
    else:
        last = min(int(found["last"]), size - 1) if found["last"] else size - 1
        if found["last"] and int(found["last"]) < int(found["first"]):
            return None  # malformed
        wanted = ByteRange(int(found["first"]), last + 1)
    if wanted.start >= wanted.end:
        raise Unsatisfiable
    return wanted
