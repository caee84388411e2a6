"""Files: uploads in parts, validation, and downloads."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finetuned import types
from finetuned._async.resources.files import AsyncFilesBase
from finetuned._async.transport import AsyncTransport
from finetuned._concurrency import async_call, async_together
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sources import Note, OnProgress, ProgressReport, Source
from finetuned.errors import BadRequest, FileRefused, NotFound, UnexpectedAnswer, UploadFailed

if TYPE_CHECKING:
    from finetuned import params
    from finetuned._async.resources.uploads import AsyncUploads

PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
_ENDS_SOON_S = 60
_SEARCHED = 1_000  # newest files among which `find` looks
Purpose = Literal["fine-tune", "evals", "batch", "user_data", "model-import"]
_Known = defaultdict[tuple[str, int], list[str]]


class AsyncFiles(AsyncFilesBase):
    """Files and their content."""

    async def create(
        self,
        file: str | os.PathLike[str] | bytes,
        *,
        purpose: Purpose = "fine-tune",
        filename: str | None = None,
        format: types.FileFormat | params.FileFormat | None = None,
        expires_after_s: int | None = None,
        on_progress: OnProgress | None = None,
        part_bytes: int | None = None,
        concurrency: int = 4,
        resume: bool = True,
    ) -> types.FileObject:
        """Upload a local file (a path), or bytes with a `filename`, and return the file object.

        Sends parts of `part_bytes`, `concurrency` of them in parallel. An interrupted upload of a
        path resumes if it is repeated, even by another process, within the hour that the server
        keeps its parts; `resume=False` starts over. The rows are validated afterwards: see `wait`.
        """
        # The uploads are a generated resource, which is imported when it is used.
        from finetuned._async.resources.uploads import AsyncUploads

        source = await async_call(Source.of, file, filename)
        size = part_bytes or max(PART_BYTES, -(-source.size // MAX_PARTS))
        wanted: dict[str, Any] = {
            "filename": source.name,
            "purpose": purpose,
            "bytes": source.size,
            "mime_type": mimetypes.guess_type(source.name)[0] or "application/octet-stream",
            "format": format,
        }
        if expires_after_s is not None:
            wanted["expires_after"] = {"anchor": "created_at", "seconds": expires_after_s}
        note = Note.of(self._transport.target.base_url, source, wanted, size)
        uploads = AsyncUploads(self._transport)
        upload = await _begun(uploads, note) if resume else None
        if upload is None:
            upload = await uploads.create(**wanted)
            await async_call(note.write, upload.id)
        if upload.file is None:
            upload = await _send_parts(
                uploads,
                upload,
                source,
                size,
                concurrency,
                ProgressReport(source.size, on_progress),
                note,
            )
        await async_call(note.delete)
        if upload.file is None:
            raise UploadFailed(f"The file of the upload {upload.id} has been deleted.")
        return upload.file

    async def find(
        self, file: str | os.PathLike[str] | bytes, *, purpose: Purpose = "fine-tune"
    ) -> types.FileObject | None:
        """Return an uploaded file with the bytes of a local file (a path), or None.

        Looks among the newest 1,000 files of the purpose. Files that cannot be used, that expire,
        or that were uploaded with format options are not returned.
        """
        source = await async_call(Source.of, file, "data")
        digest, left = "", _SEARCHED
        async for found in self.list(purpose=purpose, limit=100):
            if found.bytes == source.size and _is_as_if_just_uploaded(found):
                digest = digest or await async_call(source.sha256)
                if found.sha256 == digest:
                    return found
            left -= 1
            if not left:
                break
        return None

    async def wait(self, file_id: str, *, timeout_s: float | None = None) -> types.FileObject:
        """Wait until a file is validated. Raises FileRefused if it cannot be used for training."""
        deadline = Deadline(timeout_s, f"The check of {file_id}")
        file = await self._transport.wait(lambda: self.retrieve(file_id), deadline)
        if file.status == "error":
            raise FileRefused(
                f"{file.filename} cannot be used: {file.status_details or 'no reason given'}",
                code="invalid_training_file",
                next_step=f"Run `finetuned files report {file.id}` to see how to fix each error, "
                f"or `finetuned files preview {file.id}` to see how the file is read.",
            )
        return file

    async def download(self, file_id: str, to: str | os.PathLike[str]) -> Path:
        """Download the bytes to a local file, which is written atomically."""
        return await save(self._transport, Request("GET", at("files", file_id, "content")), to)


async def save(
    transport: AsyncTransport,
    request: Request,
    to: str | os.PathLike[str],
    sha256: str | None = None,
) -> Path:
    """Write a response's body to a local file, atomically. Raises UnexpectedAnswer.

    `sha256` is the expected digest of the body in hexadecimal digits.
    """
    target, digest = Path(to), hashlib.sha256()
    async with transport.stream(request) as chunks:
        handle, name = await async_call(tempfile.mkstemp, None, ".finetuned-", str(target.parent))
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in chunks:
                    digest.update(chunk)
                    await async_call(file.write, chunk)
            if sha256 is not None and digest.hexdigest() != sha256:
                raise UnexpectedAnswer(
                    "The downloaded bytes differ from those of the server.",
                    next_step="Download them again.",
                )
            Path(name).chmod(0o666 & ~_umask())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return target


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _is_as_if_just_uploaded(file: types.FileObject) -> bool:
    return file.status != "error" and file.expires_at is None and not file.format


async def _begun(uploads: AsyncUploads, note: Note) -> types.Upload | None:
    """Return the recorded upload if it can be resumed or is already complete."""
    upload_id = await async_call(note.read)
    if upload_id is None:
        return None
    try:
        begun = await uploads.retrieve(upload_id)
    except (NotFound, BadRequest):
        return None
    if begun.status == "completed" and begun.file is not None:
        return begun
    is_open = begun.status == "pending" and begun.expires_at > time.time() + _ENDS_SOON_S
    return begun if is_open else None


async def _send_parts(
    uploads: AsyncUploads,
    upload: types.Upload,
    source: Source,
    size: int,
    concurrency: int,
    progress: ProgressReport,
    note: Note,
) -> types.Upload:
    """Send the parts and complete the upload."""
    known: _Known = defaultdict(list)
    async for part in uploads.parts.list(upload.id):
        known[part.md5, part.bytes].append(part.id)
    whole = hashlib.md5(usedforsecurity=False)
    calls = _part_calls(uploads, upload.id, source.parts(size), known, whole, progress)
    try:
        part_ids = await async_together(calls, concurrency)
        if not await async_call(source.unchanged):
            raise UploadFailed(f"{source.name} changed during the upload.")
        return await uploads.complete(upload.id, part_ids=part_ids, md5=whole.hexdigest())
    except (BadRequest, UploadFailed):
        # The parts on the server are unusable, so the next attempt starts over.
        await async_call(note.delete)
        raise


def _part_calls(
    uploads: AsyncUploads,
    upload_id: str,
    chunks: Iterator[bytes],
    known: _Known,
    whole: Any,
    progress: ProgressReport,
) -> Iterator[Callable[[], Awaitable[str]]]:
    """Yield one call per part, in file order, which is also the order that `whole` needs."""

    async def send(chunk: bytes, arrived_id: str | None) -> str:
        part_id = arrived_id or (await uploads.parts.create(upload_id, chunk)).id
        progress.add(len(chunk), resumed=arrived_id is not None)
        return part_id

    for chunk in chunks:
        whole.update(chunk)
        arrived = known[hashlib.md5(chunk, usedforsecurity=False).hexdigest(), len(chunk)]
        yield partial(send, chunk, arrived.pop() if arrived else None)
