"""Stores the labels of an evaluation's rows.

    finetuned:{project}:job-evaluations:{job}:labels   hash: a label by its ID, as JSON

A reviewer has one label per row and pair of columns. Notes are text of the project, so they are in
storage, next to the report. Labels are deleted with the evaluation or its model.

A label is kept if the evaluation runs again, and counts as long as the answers stay the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.records import Missing, Stored, parse, parse_known
from service.core.redis import Client, batched, reply, text
from service.core.redis.transactions import Write, commit, touch
from service.core.storage import Storage, StorageError, StorageMissing
from service.jobs.evaluation.records import Evaluations, JobEvaluation, labels_key
from service.verdict.comparison import Comparison, Row

MAX_LABELS: Final = 5_000
"""Largest number of labels of an evaluation."""
TIE: Final = "tie"
_CONCURRENCY: Final = 16


class LabelRecord(Stored):
    """A label of the row at this line. `compared` are the columns in the order shown.

    `winner` is one of them, or "tie". `answers` is a digest of what was compared.
    """

    row: int
    compared: tuple[str, str]
    winner: str
    reviewer: str
    answers: str
    created_at: int
    labeled_at: int
    took_ms: int | None = None
    note: str | None = None
    """Storage key of the note; None without one."""

    @property
    def id(self) -> str:
        """ID of the label. It is the same for each label of its reviewer, row and pair."""
        reviewer = hashlib.sha256(self.reviewer.encode()).hexdigest()[:12]
        return ":".join((*self.subject, reviewer))

    @property
    def subject(self) -> tuple[str, str, str]:
        """The row and the columns that are compared, in any order: what reviewers agree about."""
        first, second = sorted(self.compared)
        return str(self.row), first, second


class TooManyLabels(Exception):
    """The evaluation already has the largest number of labels."""


class Labels:
    """The labels of all evaluations."""

    def __init__(self, redis: Client, storage: Storage) -> None:
        self._redis = redis
        self._storage = storage
        self._evaluations = Evaluations(redis).records

    async def set(
        self, evaluation: JobEvaluation, label: LabelRecord, note: str | None
    ) -> LabelRecord:
        """Create or replace a label. Raises TooManyLabels, Missing and StorageError."""
        key = labels_key(evaluation.project_id, evaluation.id)
        evaluation_key = self._evaluations.key(evaluation.project_id, evaluation.id)
        note_key = None if note is None else _note_key(evaluation)

        async def decide(pipe: Pipeline) -> tuple[tuple[LabelRecord, str | None], Write]:
            if not await pipe.exists(evaluation_key):
                raise Missing(evaluation.id)
            raw = await reply(pipe.hget(key, label.id))
            if raw is None and await reply(pipe.hlen(key)) >= MAX_LABELS:
                raise TooManyLabels
            before = None if raw is None else parse(LabelRecord, raw, label.id)
            now_s = clock.now_s()
            created_at = now_s if before is None else before.created_at
            record = label.model_copy(
                update={"created_at": created_at, "labeled_at": now_s, "note": note_key}
            )

            def write(pipe: Pipeline) -> None:
                touch(evaluation.id)
                pipe.hset(key, record.id, record.model_dump_json())

            return (record, None if before is None else before.note), write

        if note is not None and note_key is not None:
            await self._storage.put_bytes(note_key, msgspec.json.encode(note))
        try:
            record, replaced = await commit(self._redis, [key, evaluation_key], decide)
        except (Missing, TooManyLabels):
            await self._forget([note_key])
            raise
        await self._forget([replaced])
        return record

    async def all(self, evaluation: JobEvaluation) -> list[LabelRecord]:
        """Return the labels of an evaluation in the order of rows."""
        key = labels_key(evaluation.project_id, evaluation.id)
        found: dict[bytes, bytes] = await reply(self._redis.hgetall(key))
        labels = parse_known(LabelRecord, [(text(name), raw) for name, raw in found.items()])
        return sorted(labels, key=lambda label: (label.row, label.id))

    async def delete(self, evaluation: JobEvaluation, label_ids: list[str]) -> bool:
        """Delete labels with their notes. Returns False if there was none."""
        key = labels_key(evaluation.project_id, evaluation.id)

        async def decide(pipe: Pipeline) -> tuple[list[LabelRecord], Write | None]:
            found = zip(label_ids, await reply(pipe.hmget(key, label_ids)), strict=True)
            labels = parse_known(LabelRecord, found)
            return labels, write if labels else None

        def write(pipe: Pipeline) -> None:
            touch(evaluation.id)
            pipe.hdel(key, *label_ids)

        deleted = await commit(self._redis, [key], decide)
        await self._forget(label.note for label in deleted)
        return bool(deleted)

    async def notes(self, labels: Iterable[LabelRecord]) -> dict[str, str]:
        """Return the notes of labels by ID. Raises StorageError."""
        noted = [(label.id, label.note) for label in labels if label.note is not None]
        found: dict[str, str] = {}
        for some in batched(noted, _CONCURRENCY):
            texts = await asyncio.gather(*(self._read(key) for _, key in some))
            found |= {name: t for (name, _), t in zip(some, texts, strict=True) if t is not None}
        return found

    async def _read(self, key: str) -> str | None:
        try:
            return msgspec.json.decode(await self._storage.get_bytes(key), type=str)
        except StorageMissing:  # replaced or deleted in between
            return None

    async def _forget(self, keys: Iterable[str | None]) -> None:
        """Remove notes that no label refers to. If that fails, they are removed with the model."""
        for key in keys:
            if key is not None:
                with contextlib.suppress(StorageError):
                    await self._storage.delete(key)


def current_labels(
    labels: Iterable[LabelRecord], comparison: Comparison
) -> list[tuple[LabelRecord, Row]]:
    """Return the labels of answers that the comparison still has, with their rows."""
    rows = {row.line: row for row in comparison.rows}
    return [
        (label, row)
        for label in labels
        if (row := rows.get(label.row)) and answers_digest(row, label.compared) == label.answers
    ]


def answers_digest(row: Row, columns: Sequence[str]) -> str | None:
    """Return a digest of a row's prompt and of its answers in two columns, in any order.

    None if a column has no answer.
    """
    answers = [row.answers.get(column) for column in sorted(columns)]
    given = [one.full_text for one in answers if one is not None and one.error is None]
    if len(given) < len(answers):
        return None
    return digest_of([row.prompt, *given])


def digest_of(value: object) -> str:
    """Return a short digest of a JSON value."""
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:32]


def _note_key(evaluation: JobEvaluation) -> str:
    return evaluation.key(f"labels/{ids.random_part()}.json")
