"""Multipart uploads: parallel, verified by MD5, and resumable, even by another process."""

from __future__ import annotations

import hashlib
import mimetypes
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any, cast

from finetuned._flows.common import Page, at
from finetuned._flows.source import Note, Source
from finetuned._http import Request, body_of
from finetuned._steps import Flow, Together, Where, fetch, run
from finetuned.errors import BadRequest, NotFound, UploadFailed
from finetuned.types import FileObject, FormatFields, UploadObject, UploadPartObject

PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
_ENDS_SOON_S = 60
_Known = defaultdict[tuple[str, int], list[str]]


@dataclass(frozen=True)
class Progress:
    """Upload progress. `sent_bytes` includes `resumed_bytes` from an earlier attempt."""

    sent_bytes: int
    total_bytes: int
    resumed_bytes: int = 0


OnProgress = Callable[[Progress], None]


def upload(
    source: str | PathLike[str] | bytes,
    *,
    purpose: str = "fine-tune",
    filename: str | None = None,
    format: FormatFields | dict[str, Any] | None = None,
    expires_after_s: int | None = None,
    on_progress: OnProgress | None = None,
    part_bytes: int | None = None,
    at_once: int = 4,
    resume: bool = True,
) -> Flow[FileObject]:
    """Upload a local file (a path), or bytes with a `filename`, and return the file object.

    Sends parts of `part_bytes`, `at_once` of them in parallel. An interrupted upload of a path
    resumes if it is repeated, even by another process, within the hour that the server keeps its
    parts; `resume=False` starts over. The rows are validated afterwards: see `wait`.
    """
    sent = yield from run(lambda: Source.of(source, filename))
    size = part_bytes or max(PART_BYTES, -(-sent.size // MAX_PARTS))
    base_url = cast("str", (yield Where()))
    body = body_of(
        filename=sent.name,
        purpose=purpose,
        bytes=sent.size,
        mime_type=mimetypes.guess_type(sent.name)[0] or "application/octet-stream",
        format=format,
        expires_after=expires_after_s and {"anchor": "created_at", "seconds": expires_after_s},
    )
    note = Note.of(base_url, sent, body, size)
    begun = (yield from _begun(note)) if resume else None
    if begun is None:
        begun = yield from create(body)
        upload_id = begun.id
        yield from run(lambda: note.write(upload_id))
    if begun.file is None:
        begun = yield from _sent(begun, sent, size, at_once, on_progress, note)
    yield from run(note.delete)
    if begun.file is None:
        raise UploadFailed(f"The file of the upload {begun.id} has been deleted.")
    return begun.file


def _sent(
    begun: UploadObject,
    source: Source,
    size: int,
    at_once: int,
    on_progress: OnProgress | None,
    note: Note,
) -> Flow[UploadObject]:
    """Send the parts and complete the upload."""
    known: _Known = defaultdict(list)
    for part in (yield from parts(begun.id)):
        known[part.md5, part.bytes].append(part.id)
    whole = hashlib.md5(usedforsecurity=False)
    progress = _ProgressReport(source.size, on_progress)
    flows = _part_flows(begun.id, source.parts(size), known, whole, progress)
    try:
        part_ids = cast("list[str]", (yield Together(flows, at_once)))
        if not (yield from run(source.unchanged)):
            raise UploadFailed(f"{source.name} changed during the upload.")
        return (yield from complete(begun.id, part_ids, md5=whole.hexdigest()))
    except (BadRequest, UploadFailed):
        # The parts on the server are unusable, so the next attempt starts over.
        yield from run(note.delete)
        raise


class _ProgressReport:
    """Sums the bytes that have arrived and reports progress."""

    def __init__(self, total_bytes: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total_bytes, on_progress
        self._sent = self._resumed = 0

    def add(self, count: int, *, resumed: bool) -> None:
        self._sent += count
        self._resumed += count if resumed else 0
        if self._on_progress is not None:
            self._on_progress(Progress(self._sent, self._total, self._resumed))


def _part_flows(
    upload_id: str, chunks: Iterator[bytes], known: _Known, whole: Any, progress: _ProgressReport
) -> Iterator[Flow[str]]:
    """Yield one flow per part, in file order, which is also the order that `whole` needs."""
    for chunk in chunks:
        whole.update(chunk)
        digest = hashlib.md5(chunk, usedforsecurity=False).hexdigest()
        arrived = known[digest, len(chunk)]
        yield _one_part(upload_id, chunk, arrived.pop() if arrived else None, progress)


def _one_part(
    upload_id: str, chunk: bytes, arrived_id: str | None, progress: _ProgressReport
) -> Flow[str]:
    part_id = arrived_id
    if part_id is None:
        part = yield from add_part(upload_id, chunk)
        part_id = part.id
    progress.add(len(chunk), resumed=arrived_id is not None)
    return part_id


def _begun(note: Note) -> Flow[UploadObject | None]:
    """Return the recorded upload if it can be resumed or is already complete."""
    upload_id = yield from run(note.read)
    if upload_id is None:
        return None
    try:
        begun = yield from retrieve(upload_id)
    except (NotFound, BadRequest):
        return None
    if begun.status == "completed" and begun.file is not None:
        return begun
    is_open = begun.status == "pending" and begun.expires_at > time.time() + _ENDS_SOON_S
    return begun if is_open else None


def create(body: dict[str, Any]) -> Flow[UploadObject]:
    """Create an upload; the body is an `UploadCreate`."""
    # A duplicate is harmless: its record expires within the hour.
    return fetch(UploadObject, Request("POST", "uploads", json=body, repeatable=True))


def retrieve(upload_id: str) -> Flow[UploadObject]:
    """Retrieve an upload and, once it is complete, its file."""
    return fetch(UploadObject, Request("GET", at("uploads", upload_id)))


def parts(upload_id: str) -> Flow[list[UploadPartObject]]:
    """List the parts that have arrived, oldest first."""
    page = yield from fetch(
        Page[UploadPartObject], Request("GET", at("uploads", upload_id, "parts"))
    )
    return page.data


def add_part(upload_id: str, data: bytes) -> Flow[UploadPartObject]:
    """Upload one part, in any order. Sending a part twice is safe."""
    request = Request(
        "POST",
        at("uploads", upload_id, "parts"),
        content=data,
        headers={"content-type": "application/octet-stream"},
        repeatable=True,
    )
    return fetch(UploadPartObject, request)


def complete(upload_id: str, part_ids: list[str], *, md5: str | None = None) -> Flow[UploadObject]:
    """Create a file from the parts, in this order. Repeating the call returns the same file."""
    request = Request(
        "POST",
        at("uploads", upload_id, "complete"),
        json=body_of(part_ids=part_ids, md5=md5),
        repeatable=True,
    )
    return fetch(UploadObject, request)


def cancel(upload_id: str) -> Flow[UploadObject]:
    """Cancel an upload and delete its parts. Safe to repeat."""
    return fetch(UploadObject, Request("POST", at("uploads", upload_id, "cancel"), repeatable=True))
