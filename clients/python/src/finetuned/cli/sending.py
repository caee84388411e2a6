"""Uploads with a progress bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

import finetuned
from finetuned.cli.output import Out
from finetuned.types import FileObject


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
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    hidden = out.json or not out.errors.is_terminal
    with Progress(
        *columns, TransferSpeedColumn(), console=out.errors, transient=True, disable=hidden
    ) as bar:
        task = bar.add_task(f"uploading {path.name}", total=None)

        def show(at: finetuned.Progress) -> None:
            if at.resumed_bytes:
                bar.update(task, description=f"resuming {path.name}")
            bar.update(task, completed=at.sent_bytes, total=at.total_bytes)

        file = server.files.upload(
            path, purpose=purpose, format=format, on_progress=show, resume=resume
        )
    out.say(f"uploaded {file.filename} as {file.id}")
    return file
