"""Work that keeps its results in parts until the end makes files of them, such as batches.

    finetuned:{project}:{parts name}:{id}   hash: part → numbers of the items whose results it has
    finetuned:{collection}-leftover         "project/id" of ended work whose parts must be removed

The parts are objects in storage. A part is recorded in the transaction that changes the counters of
its record, fenced by the attempt. The next attempt reads which items are done. One transaction at
the end writes the final status, registers the files and forgets the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids
from service.core.leases import Leases
from service.core.records import PREFIX
from service.core.redis import Client, Purpose, reply, text, writing_for
from service.core.storage import Storage
from service.core.storage.leftovers import Leftovers
from service.work.records import ResumedRecord
from service.work.store import WorkStore

_numbers: Final = msgspec.json.Decoder(list[int])


class PartedRecord(ResumedRecord):
    """A record of work with parts."""

    parts_name: ClassVar[str]

    trace: dict[str, str] | None = None

    @property
    def folder(self) -> str:
        """The storage folder of the parts."""
        return f"{self.project_id}/{self.work.collection}/{self.id}"

    @property
    def parts_key(self) -> str:
        """The Redis key of the parts."""
        return f"{PREFIX}:{self.project_id}:{self.parts_name}:{self.id}"

    def reads(self, file_id: str) -> bool:
        """Return whether the work reads this file."""
        raise NotImplementedError


class PartWriter:
    """Stores the parts of one attempt, under names that no other attempt uses."""

    def __init__(self, storage: Storage, record: PartedRecord) -> None:
        self._storage = storage
        self._folder = record.folder
        self._prefix = f"{record.attempt_name}-{ids.random_part(8)}"
        self._written = 0

    async def write(self, lines: Iterable[bytes], suffix: str) -> str:
        """Store lines as the next part, and return its name."""
        self._written += 1
        name = f"{self._prefix}-{self._written:06d}.{suffix}"
        data = b"".join(line + b"\n" for line in lines)
        await self._storage.put_bytes(f"{self._folder}/{name}", data)
        return name


R = TypeVar("R", bound=PartedRecord)


class PartedStore(WorkStore[R]):
    """The work of one kind with parts, of all projects."""

    def __init__(self, redis: Client) -> None:
        super().__init__(redis)
        self._leftovers = Leftovers(redis, self.kind.collection)

    async def add_parts(
        self, own: R, change: Callable[[R], R], parts: Mapping[str, Sequence[int]]
    ) -> R:
        """Record parts that are in storage, together with the change of the counters.

        Raises as `change_own`, and QuotaExceeded.
        """
        rows: dict[Any, Any] = {name: msgspec.json.encode(ns) for name, ns in parts.items()}
        with writing_for(Purpose.EXTEND):
            return await self.change_own(
                own, change, lambda pipe, after: pipe.hset(after.parts_key, mapping=rows)
            )

    async def parts(self, record: R) -> dict[str, list[int]]:
        """Return the numbers of the items that are done, by part."""
        found = await reply(self.redis.hgetall(record.parts_key))
        return {text(name): _numbers.decode(numbers) for name, numbers in sorted(found.items())}

    async def needing(self, project_id: str, file_id: str) -> list[str]:
        """Return the IDs of the project's unfinished work that reads a file."""
        members = await reply(self.redis.smembers(self.kind.unfinished_key))
        pairs = [text(member).split("/", 1) for member in sorted(members)]
        found = await self.records.get_many(project_id, [i for p, i in pairs if p == project_id])
        return [one.id for one in found if one.reads(file_id) and not one.is_final]

    async def note_leftover_parts(self, record: R) -> None:
        """Note that a stopped attempt may have left parts, if the work has ended."""
        current = await self.records.get(record.project_id, record.id)
        if current is None or current.is_final:
            await self._leftovers.noted(record.member, clock.now_s())

    async def leftovers(self, now_s: int) -> list[str]:
        """Return the members of ended work whose parts may remain."""
        return await self._leftovers.due(now_s)

    async def clean_up(self, member: str, storage: Storage, leases: Leases) -> None:
        """Delete the parts of ended work, unless a worker may still write some."""
        project_id, work_id = member.split("/", 1)
        record = await self.records.get(project_id, work_id)
        if record is not None and not record.is_final:
            await self._leftovers.removed(member)
        elif not await leases.is_held(work_id):
            await storage.delete_prefix(f"{project_id}/{self.kind.collection}/{work_id}")
            await self._leftovers.removed(member)

    def _on_ended(self, pipe: Pipeline, record: R) -> None:
        super()._on_ended(pipe, record)
        pipe.delete(record.parts_key)
        self._leftovers.note(pipe, record.member, clock.now_s())
