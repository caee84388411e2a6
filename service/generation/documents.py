"""Checks the documents of a new generation, and cuts them into passages for its worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.core import clock
from service.core.errors import BadRequest
from service.core.storage import Storage
from service.datasets.contract.tasks import PassagesSpec
from service.datasets.formats.documents import binary_kind
from service.datasets.passages import ACCEPTED, HEAD_BYTES, Document, Passage
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, fetch
from service.files.lookup import named_file
from service.files.records import FileRecord, Files, Purpose
from service.generation.records import GenerationFault, GenerationRecord

MAX_DOCUMENTS: Final = 100
MAX_BYTES: Final = 20 * 1024 * 1024  # of all documents together
_PARAM: Final = "document_ids"
_FAULTS: Final = {
    "binary": f"is not text. Convert it first: {ACCEPTED} are accepted.",
    "damaged": "is damaged or needs a password. Save it again, or save its text as .txt or .md.",
    "scanned": "has only pictures of pages. Run text recognition (OCR) on it first.",
    "encoding": "has no encoding that fits all of it. Convert it to UTF-8, or upload it with "
    "`format[encoding]`.",
}


class GenerationFailed(Exception):
    """The generation cannot continue. The rows so far are kept."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.fault = GenerationFault(code=code, message=message, param=_PARAM)


async def check_documents(files: Files, project_id: str, documents: Sequence[str]) -> None:
    """Check that the files exist and may be documents. Raises NotFound and BadRequest."""
    found = [
        await named_file(files, project_id, file_id, _PARAM, Purpose.USER_DATA)
        for file_id in documents
    ]
    total = sum(file.bytes for file in found)
    if total > MAX_BYTES:
        raise BadRequest(
            f"The documents have {total} bytes together, and at most {MAX_BYTES} are allowed. "
            "Use fewer documents at a time.",
            param=_PARAM,
            code="input_too_large",
        )
    for file in found:
        head = await _head(files.storage, file)
        kind = binary_kind(head)
        if kind is not None and not head.startswith((b"%PDF", b"PK\x03\x04")):
            raise BadRequest(
                f"The document {file.id} ('{file.filename}') is {kind}. Convert it first: "
                f"{ACCEPTED} are accepted.",
                param=_PARAM,
                code="unsupported_document",
            )


async def _head(storage: Storage, file: FileRecord) -> bytes:
    chunks = [chunk async for chunk in await storage.stream(file.content_key, 0, HEAD_BYTES)]
    return b"".join(chunks)


async def read_passages(
    files: Files, record: GenerationRecord, dataset_process: DatasetProcess, folder: Path
) -> list[Passage]:
    """Download and cut the documents. Raises GenerationFailed."""
    found: list[FileRecord] = []
    content = folder / "documents"
    await asyncio.to_thread(content.mkdir, exist_ok=True)
    for file_id in record.documents:
        file = await files.get(record.project_id, file_id, clock.now_s())
        if file is None:
            message = f"The document {file_id} was deleted, or it expired."
            raise GenerationFailed("file_not_found", message, _PARAM)
        found.append(file)
    try:
        for file in found:
            await fetch(files.storage, file, content / file.id)
        cut = await dataset_process.run(
            PassagesSpec(
                path=content,
                result=folder / "passages.json",
                documents=tuple(
                    Document(file.id, (file.format or {}).get("encoding")) for file in found
                ),
            )
        )
    except DatasetTaskFailed as e:
        raise GenerationFailed(e.code, e.message, _PARAM) from e
    for number, fault in sorted(cut.faults.items()):
        if fault != "empty":
            file = found[number]
            message = f"The document {file.id} ('{file.filename}') {_FAULTS[fault]}"
            raise GenerationFailed("unsupported_document", message, _PARAM)
    if not cut.passages:
        message = "The documents have no text to ask about."
        raise GenerationFailed("empty_documents", message, _PARAM)
    return cut.passages
