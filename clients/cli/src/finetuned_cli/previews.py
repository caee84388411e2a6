"""Terminal view of a preview: the rows as a table, and how else the file could be read."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from finetuned.types import DatasetPreviewContent, PreviewRow, ReportIssue

from finetuned_cli.output import Out, plain
from finetuned_cli.tables import Column

_MAX_COLUMNS = 8
_MAX_CHARS = 60


def show(preview: DatasetPreviewContent, out: Out) -> None:
    """Print the rows to stdout, and everything else to stderr."""
    if out.json:
        out.value(preview)
        return
    if preview.found is not None:
        found = plain(preview.found).items()
        said = [f"{name} {_short(value)}" for name, value in found if value not in (None, [], {})]
        out.say("read as: " + ", ".join(said))
    if preview.error is not None:
        out.say(_finding(preview.error), style="bold red")
    for issue in preview.findings:
        out.say(_finding(issue))
    columns = list(islice(_columns(preview.rows), _MAX_COLUMNS))
    out.table(
        ["line", *(Column(name, 2, cut="end") for name in columns), Column("becomes", 1)],
        [
            (str(row.line), *(_short((row.record or {}).get(name)) for name in columns), _made(row))
            for row in preview.rows
        ],
        empty="no row can be read",
    )
    for row in preview.rows:
        for issue in row.findings:
            out.say(_finding(issue))
    for line in _alternatives(preview):
        out.say(line)


def _columns(rows: list[PreviewRow]) -> Iterator[str]:
    yield from dict.fromkeys(name for row in rows for name in row.record or {})


def _made(row: PreviewRow) -> str:
    """The roles of the messages that a row becomes."""
    if row.row is None:
        return "-"
    given = row.row.get("input", row.row)
    messages = given.get("messages") if isinstance(given, dict) else None
    roles = [message["role"] for message in messages or () if isinstance(message, dict)]
    return " ".join([*roles, *(["preferred", "rejected"] if "input" in row.row else [])])


def _finding(issue: ReportIssue) -> str:
    place = f"line {issue.line} {issue.pointer}".rstrip() if issue.line else "file"
    return f"{place}: {issue.severity} {issue.code}: {issue.message} {issue.fix}"


def _alternatives(preview: DatasetPreviewContent) -> Iterator[str]:
    """The alternatives as options for the next command, each with what it is chosen by."""
    for option, choices in plain(preview.alternatives).items():
        for choice in choices or ():
            others = [_short(value) for name, value in choice.items() if name != option]
            yield "  ".join([_as_option(option, choice[option]), *others]).rstrip()


def _as_option(option: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_as_option(f"{option}.{key}", inner) for key, inner in value.items())
    return "--format " + shlex.quote(f"{option}={value}".replace("\t", "\\t"))


def _short(value: Any) -> str:
    """One short line of a value."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {inner}" for key, inner in value.items())
    elif isinstance(value, list):
        value = " | ".join(map(str, value))
    text = " ".join(str("" if value is None else value).split())
    return text if len(text) <= _MAX_CHARS else text[: _MAX_CHARS - 1] + "…"
