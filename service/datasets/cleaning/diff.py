"""The diff of a cleaning: a JSON line for each row that was touched, and never its text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple


class DiffEntry(NamedTuple):
    """What was done to the row on a line of the source, and why; `more` by reason."""

    line: int
    action: Literal["dropped", "changed", "held_out"]
    reason: str
    more: dict[str, Any]


def diff_lines(entries: Iterable[DiffEntry]) -> bytes:
    """The entries as JSON lines, by the lines of the source."""
    ordered = sorted(entries, key=lambda entry: (entry.line, entry.action, entry.reason))
    return b"".join(
        json.dumps(
            {"line": entry.line, "action": entry.action, "reason": entry.reason, **entry.more}
        ).encode()
        + b"\n"
        for entry in ordered
    )
