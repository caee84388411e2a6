"""The definition of an issue code."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Check(NamedTuple):
    """An issue code's severity, message, and suggested fix.

    The message is a format string. Its placeholders take field names, limits, and counts,
    never text from the data set.
    """

    severity: Literal["error", "warning", "info"]
    message: str
    fix: str
