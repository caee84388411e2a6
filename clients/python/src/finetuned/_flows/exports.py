"""Exports of trained models for other software."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from finetuned._flows.common import Deadline, at, listed, wait_until
from finetuned._flows.downloads import save
from finetuned._flows.files import once
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Items, fetch
from finetuned.types import ExportDeleted, ExportObject

OnChange: TypeAlias = Callable[[ExportObject], object]
_EXPORTS = "exports"
_UNFINISHED = ("queued", "in_progress")


def create(
    *,
    model: str,
    format: str,
    quantization: str | None = None,
    idempotency_key: str | None = None,
) -> Flow[ExportObject]:
    """Export a trained model. `wait` then waits until the export has ended."""
    body = body_of(model=model, format=format, quantization=quantization)
    headers = once(idempotency_key)
    return fetch(ExportObject, Request("POST", _EXPORTS, json=body, headers=headers))


def list_exports(
    *, model: str | None = None, limit: int | None = None, after: str | None = None
) -> Items[ExportObject]:
    """List the project's exports, newest first."""
    return listed(ExportObject, _EXPORTS, limit=limit, after=after, params={"model": model})


def retrieve(export_id: str) -> Flow[ExportObject]:
    """Retrieve an export: its status, progress and proof."""
    return fetch(ExportObject, Request("GET", at(_EXPORTS, export_id)))


def wait(
    export_id: str, *, on_change: OnChange | None = None, timeout_s: float | None = None
) -> Flow[ExportObject]:
    """Wait until an export has ended. Check `status` on the result.

    `on_change` is called with the export when its step changes.
    """
    return wait_until(
        lambda found: found.status not in _UNFINISHED,
        lambda: retrieve(export_id),
        Deadline(timeout_s, f"The export {export_id}"),
        pause_s=lambda _: 1.0,
        on_change=on_change,
        watched=lambda found: (found.status, found.progress and found.progress.step),
    )


def download(export_id: str, to: str | os.PathLike[str]) -> Flow[Path]:
    """Download an export as a tar archive to a local file, and check its digest."""
    found = yield from retrieve(export_id)
    request = Request("GET", at(_EXPORTS, export_id, "content"))
    return (yield from save(request, to, found.sha256))


def cancel(export_id: str) -> Flow[ExportObject]:
    """Cancel an export. Raises Conflict if it has ended."""
    return fetch(ExportObject, Request("POST", at(_EXPORTS, export_id, "cancel")))


def delete(export_id: str) -> Flow[ExportDeleted]:
    """Delete an export with its archive."""
    return fetch(ExportDeleted, Request("DELETE", at(_EXPORTS, export_id)))
