"""Terminal view of the rows of a data set: score, findings, and what was said last."""

from __future__ import annotations

from collections.abc import Sequence

from finetuned.types import MarkedRow

from finetuned_cli.output import Out
from finetuned_cli.tables import Column


def show(rows: Sequence[MarkedRow], out: Out, *, wide: bool) -> None:
    """Print a table of rows. JSON has their whole content."""
    if out.json:
        out.value(rows)
        return
    out.table(
        [
            "line",
            Column("score", 1),
            Column("language", 4),
            Column("findings", 2, cut="end"),
            Column("text", 3, cut="end"),
        ],
        [
            (
                row.line,
                "" if row.score is None else f"{row.score:.1f}",
                row.language,
                ", ".join(dict.fromkeys(finding.code for finding in row.findings)),
                _last_text(row),
            )
            for row in rows
        ],
        empty="no such rows",
        wide=wide,
    )


def _last_text(row: MarkedRow) -> str:
    """Return the text of the last message of a row, on one line: the (preferred) answer."""
    content = row.row or {}
    messages = content.get("preferred_output") or content.get("messages") or [{}]
    return " ".join(str(messages[-1].get("content") or "").split())
