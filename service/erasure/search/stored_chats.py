"""Search of the stored chats of a project, and their deletion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from service.core.redis import batched
from service.datasets.contract import RowMatch, SearchSpec
from service.erasure.search.texts import Texts
from service.files.curation.child_runner import Desk
from service.files.curation.scratch import scratch_folder
from service.files.stored_chats.records import CaptureRecord, Captures

_AT_ONCE = 64


class StoredChats:
    """Finds stored chats as rows of files are found, and in their metadata."""

    def __init__(self, captures: Captures, desk: Desk, scratch: Path) -> None:
        self._captures = captures
        self._desk = desk
        self._scratch = scratch

    async def find(self, project_id: str, search_id: str, match: RowMatch) -> list[CaptureRecord]:
        """Return the chats that match. Raises DeskFailed and StorageError."""
        records = await self._captures.every(project_id)
        if not records:
            return []
        async with scratch_folder(self._scratch / f"{search_id}-chats") as folder:
            written = await self._write(records, folder / "content")
            spec = SearchSpec(
                path=folder / "content",
                result=folder / "found.json",
                match=match,
                format=self._desk.format_of(None),
            )
            lines = set((await self._desk.run(spec)).lines) if written else set()
        said = {record.id for line, record in enumerate(written, 1) if line in lines}
        texts = Texts(match)
        return [r for r in records if r.id in said or _is_described(r, texts)]

    async def _write(self, records: Sequence[CaptureRecord], path: Path) -> list[CaptureRecord]:
        """Write the rows of chats to a file, and return those that are in it."""
        written = []
        with path.open("wb") as sink:
            for some in batched(records, _AT_ONCE):
                for record, chat in await self._captures.read_all(some):
                    sink.write(msgspec.json.encode(chat.row) + b"\n")
                    written.append(record)
        return written

    async def delete(self, project_id: str, chat_ids: Sequence[str]) -> None:
        """Delete chats. Those that are gone are skipped."""
        records = await self._captures.records.get_many(project_id, chat_ids)
        await self._captures.delete(records)


def _is_described(record: CaptureRecord, texts: Texts) -> bool:
    """Whether the metadata of a chat has a text."""
    return texts.are_in(msgspec.json.encode(record.metadata))
