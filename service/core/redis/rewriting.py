"""Rewrites the append-only file of Redis after deletions, because it has the deleted data.

Redis appends each command to its append-only file, so deleted data stays there until the file is
rewritten. The journal in storage has it too, until its next epoch. A transaction that erases
something requests a rewrite. One worker makes a rewrite for all requests so far, and the journal
begins a new epoch. After a long rewrite, the next one waits ten times as long.

    finetuned:rewrites-requested    number of requests
    finetuned:rewritten             the last rewrite, as JSON
    finetuned:journal-rewritten     number of requests when the journal's epoch began
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from redis.asyncio.client import Pipeline
from redis.exceptions import NoPermissionError, ResponseError

from service.core import clock
from service.core.records import PREFIX, Stored
from service.core.redis.client import Client, reply

log = logging.getLogger(__name__)
JOURNAL: Final = "journal"
"""The folder of the journal in storage."""
JOURNALED: Final = f"{PREFIX}:journal-rewritten"
_REQUESTED: Final = f"{PREFIX}:rewrites-requested"
_REWRITTEN: Final = f"{PREFIX}:rewritten"
_WAIT_S, _POLL_S = 2.0, 0.02
_REST: Final = 10
_AFTER_FAILURE_S: Final = 60.0
_LATE_S: Final = 120
"""How long after the time in its record a deletion may be stored, because of retries."""


class AppendOnlyFile(StrEnum):
    """Outcome of a rewrite for the append-only file of Redis."""

    REWRITTEN = "rewritten"
    OFF = "off"
    NOT_PERMITTED = "not_permitted"


class JournalFiles(StrEnum):
    """Outcome of a rewrite for the journal in storage."""

    REWRITTEN = "rewritten"
    NONE = "none"
    KEPT = "kept"  # it is switched off, but has objects


class Rewrite(Stored):
    """A completed rewrite. It covers all deletions before it began."""

    began_at: int
    append_only_file: AppendOnlyFile
    journal: JournalFiles
    replicas: int
    """Number of replicas of Redis, which rewrite their own files later."""


class _Last(Stored):
    requests: int
    rewrite: Rewrite


class _Running(NamedTuple):
    requests: int
    began_at: int
    server: str
    file: AppendOnlyFile


def request(pipe: Pipeline) -> None:
    """Request a rewrite in the transaction that deletes something."""
    pipe.incr(_REQUESTED)


async def requests(redis: Client) -> int:
    """Return the number of requests so far."""
    return int(await reply(redis.get(_REQUESTED)) or 0)


def rest_s(took_s: float) -> float:
    """Return how long to rest after a rewrite; 0 if it took less than two seconds.

    Redis counts in whole seconds: one of 10 ms takes a second if a second ends in between.
    """
    return _REST * took_s if took_s >= 2 else 0.0


class Rewriter:
    """Rewrites the append-only file, and knows which deletions a rewrite covers.

    `journal_objects` returns the keys of the journal's objects in storage. `has_journal`: whether
    this installation writes a journal now.
    """

    def __init__(
        self,
        redis: Client,
        journal_objects: Callable[[], Awaitable[Sequence[str]]],
        *,
        has_journal: bool,
    ) -> None:
        self._redis = redis
        self._journal_objects = journal_objects
        self._has_journal = has_journal
        self._running: _Running | None = None
        self._rests_until = 0.0

    async def covering(self, deleted_at: int) -> Rewrite | None:
        """Return the rewrite that covers an applied deletion, or None."""
        requested = await requests(self._redis)
        last = await self._last()
        if last is None:
            return None
        is_later = last.rewrite.began_at > deleted_at + _LATE_S
        return last.rewrite if is_later or last.requests >= requested else None

    async def advance(self, requested: int) -> None:
        """Begin a rewrite unless these requests are covered, and wait up to 2 s for its end.

        Raises REDIS_ERRORS and StorageError.
        """
        last = await self._last()
        if requested <= (0 if last is None else last.requests):
            return
        if self._running is None and time.monotonic() >= self._rests_until:
            self._running = await self._begin(requested)
        if self._running is not None:
            await self._end(self._running)

    async def _begin(self, requested: int) -> _Running | None:
        began_at, info = clock.now_s(), await self._info()
        file = AppendOnlyFile.REWRITTEN
        if not info.get("aof_enabled"):
            file = AppendOnlyFile.OFF
        elif _is_rewriting(info):
            return None  # it may have begun before the deletion
        else:
            try:
                await reply(self._redis.bgrewriteaof())  # type: ignore[no-untyped-call]
            except ResponseError as e:
                if not (isinstance(e, NoPermissionError) or "unknown command" in str(e)):
                    log.warning("Redis cannot rewrite its append-only file now: %s", e)
                    return None
                log.warning("Redis does not permit BGREWRITEAOF: deleted records stay in its file")
                file = AppendOnlyFile.NOT_PERMITTED
        return _Running(requested, began_at, str(info.get("run_id")), file)

    async def _end(self, running: _Running) -> None:
        """Store the rewrite if it ends within 2 s. Forget it if it failed."""
        until = time.monotonic() + _WAIT_S
        info = await self._info()
        if running.file is AppendOnlyFile.REWRITTEN:
            while _is_rewriting(info) and time.monotonic() < until:
                await asyncio.sleep(_POLL_S)
                info = await self._info()
            if _is_rewriting(info):
                return
            if str(info.get("run_id")) != running.server:  # a rewrite does not outlive its server
                self._running = None
                return
            if info.get("aof_last_bgrewrite_status") != "ok":
                log.warning("Redis could not rewrite its append-only file: its log has the reason")
                self._running, self._rests_until = None, time.monotonic() + _AFTER_FAILURE_S
                return
        journal = await self._journal(running.requests)
        if journal is None:
            return
        rewrite = Rewrite(
            began_at=running.began_at,
            append_only_file=running.file,
            journal=journal,
            replicas=int(info.get("connected_slaves", 0)),
        )
        last = _Last(requests=running.requests, rewrite=rewrite)
        await reply(self._redis.set(_REWRITTEN, last.model_dump_json()))
        took_s = max(0, int(info.get("aof_last_rewrite_time_sec", 0)))
        self._running, self._rests_until = None, time.monotonic() + rest_s(took_s)

    async def _journal(self, requested: int) -> JournalFiles | None:
        """Return the outcome for the journal; None while it has not begun a new epoch."""
        journaled = await reply(self._redis.get(JOURNALED))
        if journaled is not None and int(journaled) >= requested:
            return JournalFiles.REWRITTEN
        if journaled is None and not await self._journal_objects():
            return JournalFiles.NONE
        return None if self._has_journal else JournalFiles.KEPT

    async def _last(self) -> _Last | None:
        stored = await reply(self._redis.get(_REWRITTEN))
        return None if stored is None else _Last.model_validate_json(stored)

    async def _info(self) -> Mapping[str, Any]:
        return dict(await self._redis.info())


def _is_rewriting(info: Mapping[str, Any]) -> bool:
    return bool(info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled"))
