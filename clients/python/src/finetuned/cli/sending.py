"""Uploads with a progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

import finetuned
from finetuned._flows.uploads import OnProgress
from finetuned.cli.output import Out
from finetuned.types import FileObject


@contextlib.contextmanager
def shown(name: str, out: Out) -> Iterator[OnProgress]:
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
    purpose: str = "fine-tune",
    format: dict[str, Any] | None = None,
    resume: bool = True,
) -> FileObject:
    """Upload a local file, with a progress bar on a terminal."""
    with shown(path.name, out) as show:
        file = server.files.upload(
            path, purpose=purpose, format=format, on_progress=show, resume=resume
        )
    out.say(f"uploaded {file.filename} as {file.id}")
    return file
