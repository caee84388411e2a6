"""Work that asks engines and keeps what it has in parts, until its end makes files of them.

    finetuned:{project}:{name}:{id}         a record, with its counters
    finetuned:{project}:{parts name}:{id}   hash: part → numbers of what it has the results of
    finetuned:{name}-unfinished             "project/id" without a final status
    finetuned:{name}-leftover               "project/id" of ended ones whose parts remain

Parts are in storage. A part and the counters of its record are recorded in one transaction, which
is fenced by the record's attempt. The end, the files, and the removal of the parts are one
transaction, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec
from redis.asyncio.client import Pipeline

from service.core import ids, outbox, queue
from service.core.attempts import NumberedRecord
from service.core.claims import Claim
from service.core.leases import Leases
from service.core.outbox import Event
from service.core.records import PREFIX, Collection
from service.core.redis import Purpose, reply, text, writing_for
from service.core.storage.leftovers import Leftovers
from service.core.unfinished import count_unfinished, read_unfinished
from service.files.records import FileRecord, Files

_numbers: Final = msgspec.json.Decoder(list[int])


class PartedRecord(NumberedRecord):
    """Record of such work. Its class says how it is named and when it has ended."""

    name: ClassVar[str]
    """In the keys of records, and in storage."""
    parts_name: ClassVar[str]
    id_prefix: ClassVar[str]
    function: ClassVar[str]
    """Name of the task in the queue of batches."""
    event: ClassVar[str]
    """What the types of its events begin with."""
    final: ClassVar[frozenset[StrEnum]]

    status: Any
    trace: dict[str, str] | None = None

    @property
    def subject(self) -> str:
        """The work's name in the queue and in leases."""
        return self.id

    @property
    def is_final(self) -> bool:
        """Whether the work has a final status."""
        return self.status in self.final

    @property
    def member(self) -> str:
        """The work's name in the sets of all projects."""
        return f"{self.project_id}/{self.id}"

    @property
    def folder(self) -> str:
        """The storage folder of the parts."""
        return folder_of(self, self.project_id, self.id)

    @property
    def parts_key(self) -> str:
        """The Redis key of the parts."""
        return f"{PREFIX}:{self.project_id}:{self.parts_name}:{self.id}"

    def reads(self, file_id: str) -> bool:
        """Whether the work reads this file."""
        raise NotImplementedError


R = TypeVar("R", bound=PartedRecord)


def folder_of(kind: PartedRecord | type[PartedRecord], project_id: str, work_id: str) -> str:
    """Return the storage folder of the parts of a record, which may be gone."""
    return f"{project_id}/{kind.name}/{work_id}"


class PartedWork(Generic[R]):
    """The work of one kind, of all projects."""

    kind: type[R]

    def __init__(self, files: Files) -> None:
        self.redis = files.redis
        self.files = files
        self.records = Collection(files.redis, self.kind.name, self.kind)
        self._unfinished = f"{PREFIX}:{self.kind.name}-unfinished"
        self._leftovers = Leftovers(files.redis, self.kind.name)

    async def create(self, record: R, claim: Claim[R] | None = None) -> R:
        """Store a new record and enqueue its work. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            pipe.sadd(self._unfinished, record.member)
            claim.settle(pipe, record)

        await self.records.create(record, also=also, check=claim.check)
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def get(self, project_id: str, work_id: str) -> R | None:
        """Return the project's record with this ID, or None."""
        if not ids.is_valid(work_id, self.kind.id_prefix):
            return None
        return await self.records.get(project_id, work_id)

    async def enqueue(self, record: R) -> None:
        """Enqueue the attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.BATCHES, record.function, record.project_id, record.id, record.attempt
        )

    async def change(
        self,
        record: R,
        change: Callable[[R], R],
        also: Callable[[Pipeline], object] = lambda _: None,
    ) -> R:
        """Change a record atomically. Exceptions of `change` propagate. Raises Missing.

        Every change goes through this method. A change to a final status also writes the end to the
        outbox, and notes that the parts must be removed.
        """
        was_final = False

        def noting(current: R) -> R:
            nonlocal was_final
            was_final = current.is_final
            return change(current)

        def together(pipe: Pipeline, after: R) -> None:
            if after.is_final and not was_final:
                pipe.srem(self._unfinished, after.member)
                pipe.delete(after.parts_key)
                self._leftovers.note(pipe, after.member, ids.now_s())
                outbox.add(pipe, _end_of(after))
            also(pipe)

        return await self.records.update(record.project_id, record.id, noting, also=together)

    async def add_parts(
        self, record: R, change: Callable[[R], R], parts: Mapping[str, Sequence[int]]
    ) -> R:
        """Record parts in storage together with the change of the counters.

        Raises QuotaExceeded.
        """
        rows = {name: msgspec.json.encode(numbers) for name, numbers in parts.items()}
        with writing_for(Purpose.EXTEND):
            return await self.change(
                record, change, lambda pipe: pipe.hset(record.parts_key, mapping=rows)
            )

    async def finish(self, record: R, change: Callable[[R], R], outputs: Sequence[FileRecord]) -> R:
        """End the work together with the registration of its files, which are in storage."""

        def also(pipe: Pipeline) -> None:
            for output in outputs:
                self.files.write_new(pipe, output)

        return await self.change(record, change, also)

    async def parts(self, record: R) -> dict[str, list[int]]:
        """Return the numbers of what is done, by the part that has its results."""
        found = await reply(self.redis.hgetall(record.parts_key))
        return {text(name): _numbers.decode(numbers) for name, numbers in sorted(found.items())}

    async def count_unfinished(self, project_id: str) -> int:
        """Return the number of the project's records without a final status."""
        return await count_unfinished(self.redis, self._unfinished, project_id)

    async def unfinished(self) -> list[R]:
        """Return all readable records without a final status."""
        return await read_unfinished(
            self.redis, self._unfinished, lambda _: self.records, lambda record: not record.is_final
        )

    async def needing(self, project_id: str, file_id: str) -> list[str]:
        """Return the IDs of the project's unfinished work that reads a file."""
        members = [text(member) for member in await reply(self.redis.smembers(self._unfinished))]
        places = [member.split("/", 1) for member in sorted(members)]
        found = await self.records.get_many(project_id, [i for p, i in places if p == project_id])
        return [one.id for one in found if one.reads(file_id) and not one.is_final]

    async def parts_remain(self, record: R) -> None:
        """Note that a stopped attempt at ended work may have left parts."""
        current = await self.records.get(record.project_id, record.id)
        if current is None or current.is_final:
            await self._leftovers.noted(record.member, ids.now_s())

    async def sweep(self, leases: Leases, now_s: int) -> None:
        """Remove the parts of ended work that no worker may still write."""
        for member in await self._leftovers.due(now_s):
            project_id, work_id = member.split("/", 1)
            record = await self.records.get(project_id, work_id)
            if record is not None and not record.is_final:
                await self._leftovers.removed(member)
            elif not await leases.is_held(work_id):
                folder = folder_of(self.kind, project_id, work_id)
                await self.files.storage.delete_prefix(folder)
                await self._leftovers.removed(member)


def _end_of(record: PartedRecord) -> Event:
    """The event of work that ended. It ends once, so its event has the work's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + record.id.removeprefix(record.id_prefix),
        project_id=record.project_id,
        created_at=ids.now_s(),
        type=f"{record.event}.{record.status}",
        subject_id=record.id,
    )
