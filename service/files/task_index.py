"""The index of a project's tasks on files, such as reports, by which they are found without a file.

    finetuned:{project}:file-tasks            hash: ID of a task → ID of its file
    finetuned:{project}:file-tasks:{kind}     sorted set of the tasks of a kind, by creation time
    finetuned:{project}:file-tasks-indexed    set for a day after missing tasks were added

Version 0.2 did not have it, so a list first adds the tasks that are missing. A member of a sorted
set may have no record, if its file was deleted at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.records import PREFIX
from service.core.redis import Client, batched, reply, text

LISTED: Final = frozenset(
    {ids.REPORT, ids.PREVIEW, ids.CLEANING, ids.DIFF, ids.MERGE, ids.MODEL_IMPORT}
)
"""The prefixes of the IDs of tasks that are listed. The others are parts of other work."""
_COMPLETE_S: Final = 24 * 3600  # an older version may add tasks until an upgrade is complete
_FILES_AT_ONCE: Final = 500


def tasks_of(file_id: str) -> str:
    """Return the collection of a file's tasks, such as reports. They are deleted with the file."""
    return f"files:{file_id}:tasks"


class TaskIndex:
    """The index of all projects."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    def add(self, pipe: Pipeline, project_id: str, file_id: str, task_id: str) -> None:
        """Add a task in the transaction that creates it."""
        if (kind := _kind(task_id)) in LISTED:
            pipe.hset(_files_key(project_id), task_id, file_id)
            member = self.member(file_id, task_id)
            pipe.zadd(self.key(project_id, kind), {member: clock.now()}, nx=True)

    def remove(
        self, pipe: Pipeline, project_id: str, file_id: str, task_ids: Iterable[str]
    ) -> None:
        """Remove tasks on a file in the transaction that deletes them or the file."""
        for task_id in task_ids:
            if (kind := _kind(task_id)) in LISTED:
                pipe.hdel(_files_key(project_id), task_id)
                pipe.zrem(self.key(project_id, kind), self.member(file_id, task_id))

    async def file_of(self, project_id: str, task_id: str) -> str | None:
        """Return the ID of the file that a task works on, or None if the task is unknown."""
        key = _files_key(project_id)
        found = await reply(self._redis.hget(key, task_id))
        if found is None and await self.add_missing(project_id):
            found = await reply(self._redis.hget(key, task_id))
        return None if found is None else text(found)

    def key(self, project_id: str, kind: str) -> str:
        """Return the Redis key of the tasks whose IDs have the prefix `kind`."""
        return f"{_files_key(project_id)}:{kind.rstrip('-')}"

    def member(self, file_id: str, task_id: str) -> str:
        """Return the member of a task: the part of its record's key after `files:`."""
        return f"{file_id}:tasks:{task_id}"

    async def add_missing(self, project_id: str) -> bool:
        """Add the tasks that an older version created. Returns False if that was done today."""
        mark = f"{_files_key(project_id)}-indexed"
        if await self._redis.exists(mark):
            return False
        files = await self._redis.zrange(f"{PREFIX}:{project_id}:files", 0, -1)
        for some in batched([text(file_id) for file_id in files], _FILES_AT_ONCE):
            async with self._redis.pipeline(transaction=False) as pipe:
                for file_id in some:
                    pipe.zrange(
                        f"{PREFIX}:{project_id}:{tasks_of(file_id)}", 0, -1, withscores=True
                    )
                found = await pipe.execute()
            for file_id, tasks in zip(some, found, strict=True):
                await self._add(project_id, file_id, {text(one): score for one, score in tasks})
        await self._redis.set(mark, 1, ex=_COMPLETE_S)
        return True

    async def _add(self, project_id: str, file_id: str, scores: dict[str, float]) -> None:
        """Add tasks on a file. In version 0.2, files with the same bytes had tasks with equal IDs,
        of which the first one is added.
        """
        scores = {one: score for one, score in scores.items() if _kind(one) in LISTED}
        if not scores:
            return
        key = _files_key(project_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            for task_id in scores:
                pipe.hsetnx(key, task_id, file_id)
            pipe.hmget(key, list(scores))
            *_, files = await pipe.execute()
        async with self._redis.pipeline(transaction=True) as pipe:
            for (task_id, score), own in zip(scores.items(), files, strict=True):
                if text(own) == file_id:
                    member = self.member(file_id, task_id)
                    pipe.zadd(self.key(project_id, _kind(task_id)), {member: score}, nx=True)
            await pipe.execute()


def _files_key(project_id: str) -> str:
    return f"{PREFIX}:{project_id}:file-tasks"


def _kind(task_id: str) -> str:
    return task_id.partition("-")[0] + "-"
