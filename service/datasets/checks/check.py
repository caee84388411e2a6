"""One kind of finding."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Check(NamedTuple):
    """Its severity, its message and how to mend it.

    The message is a format string; its braces take field names, limits and counts, never
    text of the data set.
    """

    severity: Literal["error", "warning", "info"]
    message: str
    fix: str
