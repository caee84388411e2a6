"""Uploads with a progress bar, and what is looked at before them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import finetuned
from finetuned.errors import BadRequest, NotFound
from finetuned.types import FileObject
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from finetuned_cli.output import Out

_LINES = (".jsonl", ".ndjson")
_TABLES = (".csv", ".tsv")


@contextlib.contextmanager
def shown(name: str, out: Out) -> Iterator[Callable[[finetuned.Progress], None]]:
    """Show a progress bar on a terminal, and yield the function that moves it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    hidden = out.json or not out.errors.is_terminal
    with Progress(
        *columns, TransferSpeedColumn(), console=out.errors, transient=True, disable=hidden
    ) as bar:
        task = bar.add_task(f"uploading {name}", total=None)

        def show(at: finetuned.Progress) -> None:
            if at.resumed_bytes:
                bar.update(task, description=f"resuming {name}")
            bar.update(task, completed=at.sent_bytes, total=at.total_bytes)

        yield show


def send(
    server: finetuned.Client,
    path: Path,
    out: Out,
    *,
    purpose: Any = "fine-tune",
    format: Any = None,
    resume: bool = True,
) -> FileObject:
    """Upload a local file, with a progress bar on a terminal."""
    with shown(path.name, out) as show:
        file = server.files.create(
            path, purpose=purpose, format=format, on_progress=show, resume=resume
        )
    out.say(f"uploaded {file.filename} as {file.id}")
    return file


def send_once(server: finetuned.Client, path: Path, out: Out) -> FileObject:
    """Upload a data file, unless the server has the same bytes already."""
    known = server.files.find(path)
    if known is None:
        return send(server, path, out)
    out.say(f"{path.name} is already uploaded as {known.id}")
    return known


def min_training_rows(server: finetuned.Client) -> int:
    """Return how many rows a training file needs; 0 if the server is older and does not say."""
    try:
        return server.whoami.retrieve().min_training_rows
    except NotFound:
        return 0


def require_rows(name: str, rows: int | None, needed: int) -> None:
    """Raise BadRequest if a training file has too few rows. None means unknown."""
    if rows is not None and rows < needed:
        raise BadRequest(
            f"{name} has {rows} row(s), but a training file needs at least {needed}.",
            code="invalid_n_examples",
            param="training_file",
            next_step="Add rows to the file.",
        )


def most_rows(path: Path, enough: int) -> int | None:
    """Return the highest number of rows that a file may have, counted up to `enough`.

    None if that can be said only by the server, which knows all formats.
    """
    if path.suffix.lower() in _TABLES:
        return sum(1 for _ in _lines(path, enough))
    if path.suffix.lower() not in _LINES:
        return None
    lines = list(_lines(path, enough))
    # A single line may hold all rows, and lines that are not objects may be parts of one.
    return len(lines) if len(lines) != 1 and all(map(_is_object, lines)) else None


def _lines(path: Path, enough: int) -> Iterator[bytes]:
    """Yield the first lines that are not blank."""
    with path.open("rb") as file:
        parts = (part for line in file for part in line.splitlines())
        yield from islice((part for part in parts if part.strip(b" \t\0")), enough)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
