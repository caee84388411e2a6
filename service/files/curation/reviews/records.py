"""Stores reviews of rows. The ID of a review is the line of its row.

    finetuned:{project}:files:{file}:reviews:{line}     a review: its label, reviewer, and time
    finetuned:{project}:files:{file}:reviews            lines of all reviews, scored by line
    finetuned:{project}:files:{file}:reviews-{label}    lines of the reviews with a label

Rows and notes are text of the project, so they are in storage, encrypted like the file:
`{project}/files/{file}/reviews/{line}-{random}.json`. They are deleted with the file.

If two people review a row, the last one wins. Each write has an object of its own, so a review
never has the text of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.records import PREFIX, Collection, Missing, Page, Record, parse
from service.core.redis import Client, batched
from service.core.redis.transactions import Write, commit
from service.core.storage import Storage, StorageError, StorageMissing
from service.files.curation.records import Task
from service.files.records import REVIEW_LABELS, FileRecord, ReviewLabel, reviews_of

log = logging.getLogger(__name__)
MAX_REVIEWS: Final = 100_000
"""Largest number of reviews of a file."""
_CONCURRENCY: Final = 16
_ACTIONS: Final = {
    ReviewLabel.APPROVED: "keep",
    ReviewLabel.REJECTED: "drop",
    ReviewLabel.EDITED: "edit",
}


class ReviewText(msgspec.Struct, frozen=True, omit_defaults=True):
    """The text of a review in storage."""

    row: dict[str, Any] | None = None
    note: str | None = None

    def __bool__(self) -> bool:
        return self.row is not None or self.note is not None


class ReviewRecord(Record):
    """A review of the row at the line that is its ID."""

    label: ReviewLabel
    reviewer: str
    reviewed_at: int
    text: str | None = None
    """Storage key of the row and the note; None without any."""


class TooManyReviews(Exception):
    """The file already has the largest number of reviews."""


_Reviewed = tuple[ReviewRecord, ReviewText]


class Reviews:
    """The reviews of all files."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self.redis = redis
        self._storage = storage

    def of(self, file_id: str) -> Collection[ReviewRecord]:
        """Return the reviews of a file."""
        return Collection(self.redis, reviews_of(file_id), ReviewRecord)

    async def set(
        self, file: FileRecord, line: int, label: ReviewLabel, text: ReviewText, reviewer: str
    ) -> ReviewRecord:
        """Create or replace the review of a row.

        Raises TooManyReviews, and Missing if the file was deleted.
        """
        records, project_id, line_id = self.of(file.id), file.project_id, str(line)
        key, index = records.key(project_id, line_id), records.index(project_id)
        name = f"{file.folder}/reviews/{line}-{ids.random_part()}.json" if text else None
        file_key = f"{PREFIX}:{project_id}:files:{file.id}"

        async def decide(pipe: Pipeline) -> tuple[tuple[ReviewRecord, str | None], Write]:
            if not await pipe.exists(file_key):
                raise Missing(file.id)
            raw = await pipe.get(key)
            if raw is None and await pipe.zcard(index) >= MAX_REVIEWS:
                raise TooManyReviews
            before = None if raw is None else parse(ReviewRecord, raw, line_id)
            now_s = clock.now_s()
            record = ReviewRecord(
                id=line_id,
                project_id=project_id,
                created_at=now_s if before is None else before.created_at,
                label=label,
                reviewer=reviewer,
                reviewed_at=now_s,
                text=name,
            )

            def write(pipe: Pipeline) -> None:
                records.write(pipe, record)
                pipe.zadd(index, {line_id: line})
                for other in REVIEW_LABELS:
                    pipe.zrem(_labeled(index, other), line_id)
                pipe.zadd(_labeled(index, label), {line_id: line})

            return (record, None if before is None else before.text), write

        if name is not None:
            await self._storage.put_bytes(name, msgspec.json.encode(text))
        try:
            record, replaced = await commit(self.redis, [key, index, file_key], decide)
        except (Missing, TooManyReviews):
            await self._forget(name)
            raise
        await self._forget(replaced)
        return record

    async def get(self, file: FileRecord, line: int) -> ReviewRecord | None:
        """Return the review of a row, or None."""
        return await self.of(file.id).get(file.project_id, str(line))

    async def page(
        self, file: FileRecord, label: ReviewLabel | None, *, after: str | None, limit: int
    ) -> Page[ReviewRecord]:
        """Return a page of a file's reviews in the order of lines. Raises Missing."""
        records = self.of(file.id)
        index = records.index(file.project_id)
        return await records.page(
            file.project_id,
            after=after,
            limit=limit,
            oldest_first=True,
            index=index if label is None else _labeled(index, label),
        )

    async def counts(self, file: FileRecord) -> dict[ReviewLabel, int]:
        """Return the number of a file's reviews by label."""
        index = self.of(file.id).index(file.project_id)
        async with self.redis.pipeline(transaction=True) as pipe:
            for label in ReviewLabel:
                pipe.zcard(_labeled(index, label))
            return dict(zip(ReviewLabel, await pipe.execute(), strict=True))

    async def read(self, records: Sequence[ReviewRecord]) -> list[_Reviewed]:
        """Return reviews with their texts. Raises StorageError."""
        found: list[_Reviewed] = []
        for some in batched(records, _CONCURRENCY):
            texts = await asyncio.gather(*map(self._read, some))
            found += zip(some, texts, strict=True)
        return found

    async def delete(self, file: FileRecord, record: ReviewRecord) -> bool:
        """Delete a review. Returns False if another request did. Raises StorageError."""
        if record.text is not None:
            await self._storage.delete(record.text)
        records = self.of(file.id)
        index = records.index(file.project_id)

        def also(pipe: Pipeline) -> None:
            for label in REVIEW_LABELS:
                pipe.zrem(_labeled(index, label), record.id)

        return await records.delete(file.project_id, record.id, also=also)

    async def write_decisions(self, file: FileRecord, cleaning: Task) -> None:
        """Store the decisions that follow from a file's reviews, for a cleaning of it.

        They are JSON Lines, as in a file of decisions. Raises StorageError.
        """
        reviews = (await self.page(file, None, after=None, limit=MAX_REVIEWS)).items
        decided = [one for one in reviews if one.label in _ACTIONS]
        # Together, the edited rows may be larger than the memory of this process.
        async with await self._storage.writer(decisions_key(cleaning)) as out:
            for some in batched(decided, _CONCURRENCY):
                texts = await asyncio.gather(*map(self._edited_row, some))
                lines = map(_decision, some, texts)
                await out.write(b"".join(lines))

    async def _edited_row(self, record: ReviewRecord) -> dict[str, Any] | None:
        if record.label is not ReviewLabel.EDITED:
            return None  # its text is only a note
        return (await self._read(record)).row

    async def _read(self, record: ReviewRecord) -> ReviewText:
        if record.text is None:
            return ReviewText()
        try:
            data = await self._storage.get_bytes(record.text)
        except StorageMissing:  # replaced or deleted in between
            return ReviewText()
        return msgspec.json.decode(data, type=ReviewText)

    async def _forget(self, name: str | None) -> None:
        """Remove a text that no review refers to. If that fails, it is removed with the file."""
        if name is not None:
            with contextlib.suppress(StorageError):
                await self._storage.delete(name)


def decisions_key(cleaning: Task) -> str:
    """Return the storage key of the decisions that follow from reviews, for a cleaning."""
    return f"{cleaning.folder}/decisions.jsonl"


def _decision(record: ReviewRecord, row: dict[str, Any] | None) -> bytes:
    """Return the line of a decision; none for an edit whose text is being deleted."""
    if record.label is ReviewLabel.EDITED and row is None:
        return b""
    edited = {} if row is None else {"row": row}
    decision = {"line": int(record.id), "action": _ACTIONS[record.label], **edited}
    return msgspec.json.encode(decision) + b"\n"


def _labeled(index: str, label: str) -> str:
    return f"{index}-{label}"
