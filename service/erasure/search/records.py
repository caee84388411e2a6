"""Redis records of searches for rows to erase.

    finetuned:{project}:erasure-searches:{id}   a search
    finetuned:{project}:erasure-match:{id}      the text or digest it looks for, until it ends
    finetuned:erasure-searches-unfinished       "project/id" of those that have not ended
    finetuned:erasure-match-key                 the key of the keyed digests in records

The text of a search is personal data. So the record has only a keyed digest of it, which shows
that two searches looked for the same text, and cannot be guessed without the key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from enum import StrEnum
from typing import Final, Self

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids, queue
from service.core.claims import Claim
from service.core.records import PREFIX, Stored
from service.core.redis import reply, rewriting
from service.datasets.contract.tasks import RowMatch
from service.work.records import Kind, OperationRecord, RestartedRecord, WorkError
from service.work.store import WorkStore

MATCH_KEY: Final = f"{PREFIX}:erasure-match-key"
MAX_UNFINISHED: Final = 4  # of a project
_MATCH_EXPIRES_S = 7 * 24 * 3600


class SearchStatus(StrEnum):
    """Status of a search."""

    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FoundFile(Stored):
    """A file that matches, and the result of its erasure."""

    file_id: str
    filename: str
    purpose: str
    rows: int | None = None  # None for files without rows that contain the text
    matches: int | None = None
    lines: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    new_file: str | None = None
    is_erased: bool = False
    deleted_models: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    error: str | None = None


class FoundPlace(Stored):
    """An object that contains the text outside of rows."""

    object: str
    id: str  # empty if the ID itself contains the text
    is_in_records: bool
    is_in_storage: bool


class FoundChats(Stored):
    """Stored chats that match, and the result of their erasure."""

    matches: int
    ids: tuple[str, ...] = ()
    is_erased: bool = False
    error: str | None = None


class SearchRecord(OperationRecord, RestartedRecord):
    """A search for rows in all files and stored chats of a project."""

    work = Kind(
        noun="search",
        collection="erasure-searches",
        function="erase_rows",
        lane=queue.CPU,
        id_prefix=ids.ERASURE,
        doing="searched the files",
        interrupted="erasure_interrupted",
        event="organization.erasure",
    )
    final = frozenset({SearchStatus.COMPLETED, SearchStatus.FAILED, SearchStatus.CANCELLED})
    failed = SearchStatus.FAILED
    cancelled = SearchStatus.CANCELLED

    key_id: str  # of the API key that asked for it
    match_kind: str
    match_digest: str
    apply: bool
    cascade: bool
    status: SearchStatus = SearchStatus.IN_PROGRESS
    files_done: int = 0
    files_total: int = 0
    unreadable_files: tuple[str, ...] = ()
    found: tuple[FoundFile, ...] = ()
    places: tuple[FoundPlace, ...] = ()
    chats: FoundChats | None = None  # None until they are searched
    error: WorkError | None = None
    finished_at: int | None = None

    def cancel(self, now_s: int) -> Self:
        """Cancel the search. If it has begun, its worker ends it between two files, so that the
        record names all files that were erased. Raises WorkEnded.
        """
        # A worker of 0.2 notes the number of files, and not when it began.
        has_begun = self.started_at is not None or self.files_total > 0
        if self.is_final or not has_begun:
            return super().cancel(now_s)
        return self.model_copy(update={"status": SearchStatus.CANCELLING})


class Searches(WorkStore[SearchRecord]):
    """The searches of all projects."""

    record = SearchRecord

    async def get(self, project_id: str, record_id: str) -> SearchRecord | None:
        """Return the project's search with this ID, or None."""
        if ids.is_valid(record_id, ids.OLD_ERASURE):
            return await self.records.get(project_id, record_id)
        return await super().get(project_id, record_id)

    async def begin(
        self,
        project_id: str,
        key_id: str,
        match: RowMatch,
        *,
        apply: bool,
        cascade: bool,
        metadata: dict[str, str] | None = None,
        claim: Claim[SearchRecord] | None = None,
    ) -> SearchRecord:
        """Store a new search and enqueue it. Raises ClaimLost."""
        record = SearchRecord(
            id=ids.new(ids.ERASURE),
            project_id=project_id,
            created_at=clock.now_s(),
            key_id=key_id,
            match_kind=match.kind,
            match_digest=await self.digest(project_id, match),
            apply=apply,
            cascade=cascade,
            metadata=metadata,
        )
        encoded = msgspec.json.encode(match)
        return await self.create(
            record,
            claim,
            also=lambda pipe: pipe.set(_match_key(record), encoded, ex=_MATCH_EXPIRES_S),
        )

    async def match(self, record: SearchRecord) -> RowMatch | None:
        """Return what an unfinished search looks for, or None if that has expired."""
        stored = await reply(self.redis.get(_match_key(record)))
        return None if stored is None else msgspec.json.decode(stored, type=RowMatch)

    async def digest(self, project_id: str, match: RowMatch) -> str:
        """Return a keyed digest of what a search looks for."""
        await reply(self.redis.set(MATCH_KEY, secrets.token_bytes(32), nx=True))
        key = await reply(self.redis.get(MATCH_KEY))
        assert key is not None  # it is never removed
        text = f"{project_id}\n{match.kind}\n{match.value}".encode()
        return hmac.new(key, text, hashlib.sha256).hexdigest()

    def _on_ended(self, pipe: Pipeline, record: SearchRecord) -> None:
        super()._on_ended(pipe, record)
        pipe.delete(_match_key(record))
        rewriting.request(pipe)


def _match_key(record: SearchRecord) -> str:
    return f"{PREFIX}:{record.project_id}:erasure-match:{record.id}"
