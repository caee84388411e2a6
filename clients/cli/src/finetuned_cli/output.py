"""Command output: tables on a terminal, tab-separated lines in a pipe, JSON on request."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from finetuned_cli.tables import Column, lay_out, lines, wrapped

# Control characters in a file name or a model's answer must not reach the terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, including errors.")]
Wide = Annotated[
    bool, typer.Option("--wide", help="Show all columns in full, on more lines if necessary.")
]

JsonFilter = Callable[[Any], Iterator[str]]
_json_filter: ContextVar[JsonFilter | None] = ContextVar("json_filter", default=None)


def filter_json(lines_of: JsonFilter | None) -> None:
    """Print these lines instead of the JSON that they are made of. None turns this off."""
    _json_filter.set(lines_of)


def printable(text: object) -> str:
    """Replace control characters, except for line feeds and tabs."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(text))


class Out:
    """Output of a command. Results go to stdout, everything else to stderr."""

    def __init__(self, as_json: bool = False) -> None:
        self._filter = _json_filter.get()
        self.json = as_json or self._filter is not None
        self.console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self._below: list[str] = []

    @property
    def live(self) -> bool:
        """Whether stdout is an interactive terminal."""
        return self.console.is_terminal and not self.json

    def say(self, text: str, style: str | None = None) -> None:
        """Print a status message to stderr."""
        if not self.json:
            self._to_stderr(printable(text), style or "")

    def say_below(self, text: str) -> None:
        """Print a status message to stderr after the next table."""
        self._below.append(text)

    def line(self, text: object, *, hanging: int = 0, style: str = "") -> None:
        """Print a line of the result. If it is broken, `hanging` indents what follows."""
        for line in self._wrapped(printable(text), hanging=hanging):
            self.console.print(Text(line, style=style), soft_wrap=True)

    def _wrapped(self, text: str, *, indent: int = 0, hanging: int = 0) -> list[str]:
        """Return text in lines that fit the terminal; in a pipe, return it as it is."""
        if not self.console.is_terminal:
            return [text]
        return wrapped(text, self.console.width - indent, hanging)

    def raw(self, text: str) -> None:
        """Print text of the result unchanged, without a line feed."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def error_line(self, text: str) -> None:
        """Print a line to stderr."""
        self._to_stderr(text)

    def problem(self, text: str) -> None:
        """Print a highlighted line to stderr."""
        self._to_stderr(text, "bold red")

    def _to_stderr(self, text: str, style: str = "") -> None:
        broken = wrapped(text, self.errors.width) if self.errors.is_terminal else [text]
        for line in broken:
            self.errors.print(Text(line, style=style))

    def value(self, value: Any) -> None:
        """Print a JSON result."""
        if self._filter is None:
            self.raw(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")
        else:
            self._filtered(self._filter, value)

    def json_line(self, value: Any) -> None:
        """Print one of several JSON results on a single line."""
        if self._filter is None:
            self.raw(json.dumps(plain(value), ensure_ascii=False) + "\n")
        else:
            self._filtered(self._filter, value)

    def _filtered(self, lines_of: JsonFilter, value: Any) -> None:
        for line in lines_of(plain(value)):
            self.raw(f"{line}\n")

    def table(
        self,
        columns: Sequence[str | Column],
        rows: Iterable[Sequence[object]],
        *,
        empty: str = "nothing here yet",
        wide: bool | None = None,
    ) -> None:
        """Print a table; in a pipe, print tab-separated lines of all columns without a header.

        Empty columns are left out, and those that do not fit: the last ones first unless they have
        ranks. None for `wide` means that the command has no such option.
        """
        self._table(columns, rows, empty, wide)
        while self._below:
            self.say(self._below.pop(0), "dim")

    def _table(
        self,
        columns: Sequence[str | Column],
        rows: Iterable[Sequence[object]],
        empty: str,
        wide: bool | None,
    ) -> None:
        shown = [[_cell(cell) for cell in row] for row in rows]
        if not self.console.is_terminal:
            for row in shown:
                self.raw("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
                self.raw("\n")
            return
        if not shown:
            self.say(empty)
            return
        named = [Column(c, rank) if isinstance(c, str) else c for rank, c in enumerate(columns)]
        used = [n for n, _ in enumerate(named) if wide or n == 0 or any(row[n] for row in shown)]
        named = [named[n] for n in used]
        shown = [[row[n] for n in used] for row in shown]
        layout = lay_out(named, shown, None if wide else self.console.width)
        for line in lines(named, shown, layout, self.console.width):
            self.console.print(line, soft_wrap=True)
        if layout.hidden:
            how = "" if wide is None else "; --wide shows all"
            self.say(f"not shown for lack of width: {', '.join(layout.hidden)}{how}", "dim")

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Print one object, one field per line, without empty fields."""
        kept = [(name, _cell(value)) for name, value in pairs if value not in (None, "", [], {})]
        width = max((len(name) for name, _ in kept), default=0)
        for name, value in kept:
            for line in self._wrapped(value, indent=width + 2):
                text = Text(f"{name:<{width}}  ", style="dim")
                self.console.print(text.append(line, style="not dim"), soft_wrap=True)
                name = ""


def plain(value: Any) -> Any:
    """Convert models to plain values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value


def when(seconds: int | None) -> str:
    """Format a server timestamp in local time."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M")


def size(count: int) -> str:
    """Format a byte count."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def span(seconds: float) -> str:
    """Format a duration."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return printable(value)
