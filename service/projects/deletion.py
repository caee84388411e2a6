"""Deletes projects with all their objects, in rounds of the reconciler.

    finetuned:projects-deleting   hash from a project to the number of its objects left

Each round removes what it finds of the project in Redis and storage, and may end at any point. The
last round finds nothing, long enough after the deletion began that no process still works for the
project: its keys are refused, and storage accepts no more writes. Only its usage and its entries in
the audit log remain, until they expire.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from redis.asyncio.client import Pipeline

from service.core import clock, invalidation, queue
from service.core.records import PREFIX, Missing, Unreadable
from service.core.redis import Client, batched, reply, rewriting, text
from service.core.redis.transactions import Write, commit
from service.core.storage import Storage
from service.projects.records import DELETING, INSTALLATION, NAMES, NAMES_GONE, Project, Projects

log = logging.getLogger(__name__)

_AT_ONCE: Final = 500
_ROUND_S: Final = 10.0  # a round with many objects leaves the rest to the next one
# Keys without data of the project, and those that outlive it: usage and the audit log.
_OTHERS: Final = (f"{PREFIX}:proj_", f"{PREFIX}:written:", f"{PREFIX}:usage:", f"{PREFIX}:audit")


class ProjectDeletions:
    """Deletes projects.

    `quiet_s` is how long after a deletion began something may still work for the project.
    """

    def __init__(self, projects: Projects, storage: Storage, *, quiet_s: float) -> None:
        self._projects = projects
        self._redis: Client = projects.redis
        self._storage = storage
        self._quiet_s = quiet_s

    async def all(self) -> list[str]:
        """Return the IDs of the projects that are being deleted."""
        return [text(member) for member in await reply(self._redis.hkeys(DELETING))]

    async def sweep(self) -> None:
        """Run a round of each deletion."""
        for project_id in await self.all():
            project = await self._projects.get(project_id)
            if project is None:
                await reply(self._redis.hdel(DELETING, project_id))
            else:
                await self._run_round(project)

    async def _run_round(self, project: Project) -> None:
        await self._revoke_keys(project.id)
        removed = await self._forget_tasks(project.id)
        removed += await self._forget_records(project.id)
        removed += await self._forget_members(project.id)
        found, left = await self._delete_objects(project.id)
        if removed or found or clock.now() < (project.deleting_since or 0) + self._quiet_s:
            await reply(self._redis.hset(DELETING, project.id, str(left)))
            return
        await self._storage.delete_prefix(project.id)  # including staged files of killed processes
        await self._forget_records(project.id)
        await self._storage.erase_key(project.id)  # for versions that a bucket keeps
        await self._finish(project)
        log.info("%s is deleted", project.id)

    async def _revoke_keys(self, project_id: str) -> None:
        for key_id in await self._projects.keys.ids(project_id):
            with contextlib.suppress(Missing, Unreadable):
                await self._projects.revoke_key(project_id, key_id)
            await self._redis.unlink(f"{PREFIX}:limits:{key_id}")

    async def _forget_tasks(self, project_id: str) -> int:
        """Remove the project's tasks from the queues. Workers drop those that they have taken."""
        removed = 0
        for lane in queue.QUEUES.values():
            for entry in await reply(self._redis.zrange(lane, 0, -1)):
                arguments = await queue.arguments(self._redis, text(entry))
                if arguments and arguments[0] == project_id:
                    await queue.forget(self._redis, lane, *queue.parse_task_id(text(entry)))
                    removed += 1
        return removed

    async def _forget_records(self, project_id: str) -> int:
        """Remove all keys of the project except its usage."""
        own, usage = f"{PREFIX}:{project_id}:", f"{PREFIX}:{project_id}:usage:"
        keys = [text(key) async for key in self._redis.scan_iter(f"{own}*", count=_AT_ONCE)]
        mine = [key for key in keys if not key.startswith(usage)]
        await self._redis.unlink(f"{PREFIX}:limits:{project_id}")
        for some in batched(mine, _AT_ONCE):
            await self._redis.unlink(*some)
        return len(mine)

    async def _forget_members(self, project_id: str) -> int:
        """Remove the project's members of the sets, sorted sets and hashes of all projects."""
        removed = 0
        for kind, scan, remove in (
            ("SET", self._redis.sscan_iter, self._redis.srem),
            ("ZSET", self._redis.zscan_iter, self._redis.zrem),
            ("HASH", self._redis.hscan_iter, self._redis.hdel),
        ):
            async for key in self._shared(kind):
                members = [m async for m in scan(key, count=_AT_ONCE)]
                mine: list[Any] = [n for n in map(partial(_owned_member, project_id), members) if n]
                for some in batched(mine, _AT_ONCE):
                    await reply(remove(key, *some))
                removed += len(mine)
        return removed

    async def _shared(self, kind: str) -> AsyncIterator[str]:
        scan = self._redis.scan_iter(f"{PREFIX}:*", count=_AT_ONCE, _type=kind)
        async for key in scan:
            name = text(key)
            if not name.startswith(_OTHERS) and name not in (DELETING, NAMES):
                yield name

    async def _delete_objects(self, project_id: str) -> tuple[int, int]:
        """Delete objects within the time of a round. Returns the numbers found and left."""
        until = time.monotonic() + _ROUND_S
        found = await self._storage.objects(f"{project_id}/")
        deleted = 0
        for stored in found:
            if time.monotonic() >= until:
                break
            await self._storage.delete(stored.key)
            deleted += 1
        return len(found), len(found) - deleted

    async def _finish(self, project: Project) -> None:
        async def decide(_: Pipeline) -> tuple[None, Write]:
            return None, write

        def write(pipe: Pipeline) -> None:
            pipe.hdel(NAMES, project.name)
            pipe.sadd(NAMES_GONE, project.name)
            self._projects.projects.remove(pipe, INSTALLATION, project.id)
            pipe.hdel(DELETING, project.id)
            rewriting.request(pipe)
            kind = invalidation.InvalidationKind.PROJECT
            invalidation.publish(pipe, kind, project.id, project.id)

        await commit(self._redis, [NAMES], decide)


def _owned_member(project_id: str, member: Any) -> bytes | None:
    """Return the name of a member of a set or hash if its name or value belongs to the project."""
    name, value = member if isinstance(member, tuple) else (member, b"")
    owner = project_id.encode()
    is_own = name == owner or name.startswith((owner + b"/", owner + b" ")) or value == owner
    return bytes(name) if is_own else None
