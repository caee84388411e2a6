"""Redis records of searches for rows to erase.

    finetuned:{project}:erasure-searches:{id}   a search
    finetuned:{project}:erasure-match:{id}      what it looks for, until it has ended
    finetuned:erasure-searches-unfinished       "project/id" of those that have not ended
    finetuned:erasure-match-key                 the key of the digests of what was looked for

What a search looks for is personal data itself. So the record has only a keyed digest of it, which
shows that two searches looked for the same, and cannot be guessed without the key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec
from redis.asyncio.client import Pipeline

from service.core import ids, queue
from service.core.attempts import AttemptedRecord, died_while_it
from service.core.records import PREFIX, Collection, Stored
from service.core.redis import Client, reply, rewriting
from service.core.unfinished import count_unfinished, read_unfinished
from service.datasets.contract import RowMatch

FUNCTION: Final = "erase_rows"  # the task's name in the cpu queue
UNFINISHED: Final = f"{PREFIX}:erasure-searches-unfinished"
MATCH_KEY: Final = f"{PREFIX}:erasure-match-key"
MAX_UNFINISHED: Final = 4  # of a project
_MATCH_KEPT_S = 7 * 24 * 3600


class SearchStatus(StrEnum):
    """Status of a search."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class SearchFailure(Stored):
    """Reason why a search failed."""

    code: str
    message: str


class FoundFile(Stored):
    """A file with rows that match, and what was done about it."""

    file_id: str
    filename: str
    purpose: str
    rows: int | None = None  # None if the file has no rows, but contains the text
    matches: int | None = None
    lines: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    new_file: str | None = None
    is_erased: bool = False
    deleted_models: tuple[str, ...] = ()
    receipts: tuple[str, ...] = ()
    error: str | None = None


class FoundPlace(Stored):
    """An object with the text, outside of the rows of files."""

    object: str
    id: str  # empty if the name itself has the text
    is_in_records: bool
    is_in_storage: bool


class FoundChats(Stored):
    """Stored chats that match, and what was done about them."""

    matches: int
    ids: tuple[str, ...] = ()
    is_erased: bool = False
    error: str | None = None


class SearchRecord(AttemptedRecord):
    """A search for rows in all files and stored chats of a project."""

    key_id: str  # which asked for it
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
    error: SearchFailure | None = None
    finished_at: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether the search has a final status."""
        return self.status is not SearchStatus.IN_PROGRESS


class SearchSuperseded(Exception):
    """The search has ended, or another attempt runs it."""


Change = Callable[[SearchRecord], SearchRecord]


class Searches:
    """The searches of all projects."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.records = Collection(redis, "erasure-searches", SearchRecord)

    async def create(
        self, project_id: str, key_id: str, match: RowMatch, *, apply: bool, cascade: bool
    ) -> SearchRecord:
        """Store a new search and enqueue it."""
        record = SearchRecord(
            id=ids.new(ids.ERASURE_SEARCH),
            project_id=project_id,
            created_at=ids.now_s(),
            key_id=key_id,
            match_kind=match.kind,
            match_digest=await self._digest(project_id, match),
            apply=apply,
            cascade=cascade,
        )

        def also(pipe: Pipeline) -> None:
            pipe.sadd(UNFINISHED, _member(record))
            pipe.set(_match(record), msgspec.json.encode(match), ex=_MATCH_KEPT_S)

        await self.records.create(record, also=also)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def get(self, project_id: str, search_id: str) -> SearchRecord | None:
        """Return the project's search with this ID, or None."""
        if not ids.is_valid(search_id, ids.ERASURE_SEARCH):
            return None
        return await self.records.get(project_id, search_id)

    async def match(self, record: SearchRecord) -> RowMatch | None:
        """Return what an unfinished search looks for; None if that is too long ago."""
        stored = await reply(self.redis.get(_match(record)))
        return None if stored is None else msgspec.json.decode(stored, type=RowMatch)

    async def enqueue(self, record: SearchRecord) -> None:
        """Enqueue the attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.CPU, FUNCTION, record.project_id, record.id, record.attempt
        )

    async def change(
        self, record: SearchRecord, change: Change, also: Callable[[Pipeline], object] | None = None
    ) -> SearchRecord:
        """Change a search that this attempt still runs. Raises SearchSuperseded and Missing."""

        def together(pipe: Pipeline, after: SearchRecord) -> None:
            if after.is_final:
                pipe.srem(UNFINISHED, _member(after))
                pipe.delete(_match(after))
                rewriting.request(pipe)
            if also is not None:
                also(pipe)

        return await self.records.update(
            record.project_id, record.id, lambda now: change(_fenced(now, record)), also=together
        )

    async def end(self, record: SearchRecord, error: SearchFailure | None = None) -> SearchRecord:
        """Write the final status. Raises SearchSuperseded and Missing."""
        status = SearchStatus.COMPLETED if error is None else SearchStatus.FAILED
        update = {"status": status, "error": error, "finished_at": ids.now_s()}
        return await self.change(record, lambda now: now.model_copy(update=update))

    async def lose(self, record: SearchRecord, most_lost: int) -> None:
        """Enqueue the next attempt of a search whose worker died, or fail the search.

        Raises SearchSuperseded and Missing.
        """
        if record.is_hopeless(most_lost):
            message = died_while_it("searched the files")
            await self.end(record, SearchFailure(code="erasure_interrupted", message=message))
            return
        after = await self.change(
            record, lambda now: now.model_copy(update=now.next_attempt(is_lost=True))
        )
        await self.enqueue(after)

    async def waiting(self, project_id: str) -> int:
        """Return the number of the project's unfinished searches."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def unfinished(self) -> list[SearchRecord]:
        """Return all readable unfinished searches."""
        return await read_unfinished(
            self.redis, UNFINISHED, lambda _: self.records, lambda record: not record.is_final
        )

    async def _digest(self, project_id: str, match: RowMatch) -> str:
        await reply(self.redis.set(MATCH_KEY, secrets.token_bytes(32), nx=True))
        key = await reply(self.redis.get(MATCH_KEY))
        assert key is not None  # nothing removes it
        text = f"{project_id}\n{match.kind}\n{match.value}".encode()
        return hmac.new(key, text, hashlib.sha256).hexdigest()


def _fenced(current: SearchRecord, record: SearchRecord) -> SearchRecord:
    if current.is_final or not current.is_attempt_of(record):
        raise SearchSuperseded(record.id)
    return current


def _member(record: SearchRecord) -> str:
    return f"{record.project_id}/{record.id}"


def _match(record: SearchRecord) -> str:
    return f"{PREFIX}:{record.project_id}:erasure-match:{record.id}"
