"""The cleaning diff: one JSON line for each affected row, without its text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple


class DiffEntry(NamedTuple):
    """An action on a source row and its reason; the fields in `more` depend on the reason."""

    line: int
    action: Literal["dropped", "changed", "held_out"]
    reason: str
    more: dict[str, Any]


def diff_lines(entries: Iterable[DiffEntry]) -> bytes:
    """Serialize the entries as JSON Lines, sorted by source line."""
    ordered = sorted(entries, key=lambda entry: (entry.line, entry.action, entry.reason))
    return b"".join(
        json.dumps(
            {"line": entry.line, "action": entry.action, "reason": entry.reason, **entry.more}
        ).encode()
        + b"\n"
        for entry in ordered
    )
