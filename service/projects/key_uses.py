"""Records when keys were last used.

    finetuned:{project}:key-uses   sorted set of key IDs, scored by the time of the last use

A process notes uses in memory and writes the latest use of each key once a minute, outside of
requests. So a use may be missing for a minute, and is lost if the process is killed before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

from redis.asyncio.client import Pipeline

from service.core import clock, tasks
from service.core.records import PREFIX
from service.core.redis import REDIS_ERRORS, Client, batched, why

log = logging.getLogger(__name__)
_EVERY_S: Final = 60.0
_LAST_FLUSH_S: Final = 2.0
_AT_ONCE: Final = 500


class KeyUses:
    """Notes which keys are used, and reads when they last were."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._noted: dict[tuple[str, str], float] = {}

    def note(self, project_id: str, key_id: str) -> None:
        """Note that a key is being used. Called for each request."""
        self._noted[project_id, key_id] = clock.now()

    async def last(self, project_id: str, key_ids: Sequence[str]) -> list[int | None]:
        """Return when the keys were last used, in UTC seconds."""
        if not key_ids:
            return []
        scores = await self._redis.zmscore(_key(project_id), list(key_ids))
        return [None if score is None else int(score) for score in scores]

    async def flush(self) -> None:
        """Write the noted uses. They stay noted if that fails.

        Raises REDIS_ERRORS.
        """
        noted, self._noted = self._noted, {}
        try:
            for some in batched(list(noted.items()), _AT_ONCE):
                await self._write(some)
        except REDIS_ERRORS:
            self._noted = noted | self._noted
            raise

    async def _write(self, uses: Sequence[tuple[tuple[str, str], float]]) -> None:
        records = [f"{PREFIX}:{project_id}:keys:{key_id}" for (project_id, key_id), _ in uses]
        async with self._redis.pipeline(transaction=False) as pipe:
            for record in records:
                pipe.exists(record)
            exist = await pipe.execute()
            for ((project_id, key_id), at), is_there in zip(uses, exist, strict=True):
                if is_there:  # otherwise the key was revoked
                    pipe.zadd(_key(project_id), {key_id: int(at)}, gt=True)
            await pipe.execute()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write uses regularly while the context is open, and once more at its end."""
        task = asyncio.create_task(tasks.keep("key uses", self._run), name="key uses")
        try:
            yield
        finally:
            await tasks.end(task)
            with contextlib.suppress(*REDIS_ERRORS, TimeoutError):
                async with asyncio.timeout(_LAST_FLUSH_S):
                    await self.flush()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.flush()
            except REDIS_ERRORS as e:
                log.info("the last uses of keys wait for Redis: %s", why(e))


def forget(pipe: Pipeline, project_id: str, key_id: str) -> None:
    """Add to a transaction that a key was never used."""
    pipe.zrem(_key(project_id), key_id)


def _key(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:key-uses"
