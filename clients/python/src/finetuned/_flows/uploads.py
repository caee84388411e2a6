"""Uploads in parts: parallel, checked by md5, resumed after a cut, also by a new process."""

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
MOST_PARTS = 10_000
_ENDS_SOON_S = 60
_Known = defaultdict[tuple[str, int], list[str]]


@dataclass(frozen=True)
class Progress:
    """How far an upload is. `resumed_bytes` of `sent_bytes` were there before."""

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
    """Send a local file (a path), or bytes with a `filename`, and answer the file it became.

    Parts of `part_bytes` go out `at_once` at a time. A path whose upload was cut off goes on
    where it was when it is sent again within the hour that the server keeps it, also from
    another process; `resume=False` begins anew. The check of the rows runs afterwards: `wait`.
    """
    sent = yield from run(lambda: Source.of(source, filename))
    size = part_bytes or max(PART_BYTES, -(-sent.size // MOST_PARTS))
    where = cast("str", (yield Where()))
    asked = body_of(
        filename=sent.name,
        purpose=purpose,
        bytes=sent.size,
        mime_type=mimetypes.guess_type(sent.name)[0] or "application/octet-stream",
        format=format,
        expires_after=expires_after_s and {"anchor": "created_at", "seconds": expires_after_s},
    )
    note = Note.of(where, sent, asked, size)
    begun = (yield from _begun(note)) if resume else None
    if begun is None:
        begun = yield from create(asked)
        upload_id = begun.id
        yield from run(lambda: note.write(upload_id))
    if begun.file is None:
        begun = yield from _sent(begun, sent, size, at_once, on_progress, note)
    yield from run(note.delete)
    if begun.file is None:
        raise UploadFailed(f"The file of the upload {begun.id} was deleted meanwhile.")
    return begun.file


def _sent(
    begun: UploadObject,
    source: Source,
    size: int,
    at_once: int,
    on_progress: OnProgress | None,
    note: Note,
) -> Flow[UploadObject]:
    """The upload, completed."""
    known: _Known = defaultdict(list)
    for part in (yield from parts(begun.id)):
        known[part.md5, part.bytes].append(part.id)
    whole = hashlib.md5(usedforsecurity=False)
    told = _Told(source.size, on_progress)
    flows = _part_flows(begun.id, source.parts(size), known, whole, told)
    try:
        part_ids = cast("list[str]", (yield Together(flows, at_once)))
        if not (yield from run(source.unchanged)):
            raise UploadFailed(f"{source.name} changed while it was sent.")
        return (yield from complete(begun.id, part_ids, md5=whole.hexdigest()))
    except (BadRequest, UploadFailed):
        # What the server has is of no use: the next try begins anew.
        yield from run(note.delete)
        raise


class _Told:
    """Adds up what has arrived, and tells it."""

    def __init__(self, total_bytes: int, on_progress: OnProgress | None) -> None:
        self._total, self._tell = total_bytes, on_progress
        self._sent = self._resumed = 0

    def add(self, count: int, *, resumed: bool) -> None:
        self._sent += count
        self._resumed += count if resumed else 0
        if self._tell is not None:
            self._tell(Progress(self._sent, self._total, self._resumed))


def _part_flows(
    upload_id: str, chunks: Iterator[bytes], known: _Known, whole: Any, told: _Told
) -> Iterator[Flow[str]]:
    """A flow a part, in the file's order, which is also the order that `whole` needs."""
    for chunk in chunks:
        whole.update(chunk)
        digest = hashlib.md5(chunk, usedforsecurity=False).hexdigest()
        there = known[digest, len(chunk)]
        yield _one_part(upload_id, chunk, there.pop() if there else None, told)


def _one_part(upload_id: str, chunk: bytes, there: str | None, told: _Told) -> Flow[str]:
    part_id = there
    if part_id is None:
        part = yield from add_part(upload_id, chunk)
        part_id = part.id
    told.add(len(chunk), resumed=there is not None)
    return part_id


def _begun(note: Note) -> Flow[UploadObject | None]:
    """The upload that a note tells of, where it can still go on or has come to its end."""
    upload_id = yield from run(note.read)
    if upload_id is None:
        return None
    try:
        begun = yield from retrieve(upload_id)
    except (NotFound, BadRequest):
        return None
    if begun.status == "completed" and begun.file is not None:
        return begun
    lives = begun.status == "pending" and begun.expires_at > time.time() + _ENDS_SOON_S
    return begun if lives else None


def create(body: dict[str, Any]) -> Flow[UploadObject]:
    """Begin an upload; the body is an `UploadCreate`."""
    # One that is begun twice is a record that ends within the hour.
    return fetch(UploadObject, Request("POST", "uploads", json=body, repeatable=True))


def retrieve(upload_id: str) -> Flow[UploadObject]:
    """The state of an upload, and the file that it became."""
    return fetch(UploadObject, Request("GET", at("uploads", upload_id)))


def parts(upload_id: str) -> Flow[list[UploadPartObject]]:
    """The parts that have arrived, oldest first."""
    page = yield from fetch(
        Page[UploadPartObject], Request("GET", at("uploads", upload_id, "parts"))
    )
    return page.data


def add_part(upload_id: str, data: bytes) -> Flow[UploadPartObject]:
    """Send one part; parts may come in any order. One that is sent twice does no harm."""
    request = Request(
        "POST",
        at("uploads", upload_id, "parts"),
        content=data,
        headers={"content-type": "application/octet-stream"},
        repeatable=True,
    )
    return fetch(UploadPartObject, request)


def complete(upload_id: str, part_ids: list[str], *, md5: str | None = None) -> Flow[UploadObject]:
    """Make a file of the parts in this order; the same parts again answer the same file."""
    request = Request(
        "POST",
        at("uploads", upload_id, "complete"),
        json=body_of(part_ids=part_ids, md5=md5),
        repeatable=True,
    )
    return fetch(UploadObject, request)


def cancel(upload_id: str) -> Flow[UploadObject]:
    """End an upload and delete its parts; again does no harm."""
    return fetch(UploadObject, Request("POST", at("uploads", upload_id, "cancel"), repeatable=True))
