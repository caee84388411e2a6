"""Redis records of evals, their runs, and where the outcome of each item is.

    finetuned:{project}:evals:{id}                     an eval
    finetuned:{project}:evals-updated                  sorted set of IDs, scored by the last update
    finetuned:{project}:eval-runs:{eval}:{id}          a run, with its counters
    finetuned:{project}:eval-items:{run}               hash: item number → ItemRow
    finetuned:{project}:eval-items:{run}:{status|all}  sorted set of item numbers, in the order of
                                                       their outcomes
    finetuned:eval-runs-unfinished                     "project/eval/run" without a final status
    finetuned:evals-deleted                            "project/eval[/run]" whose objects remain

The texts of items are in storage (outcomes.py). The rows of an outcome and the counters of its run
are written in one transaction, which is fenced by the run's attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids, outbox, queue
from service.core.attempts import NumberedRecord
from service.core.claims import Claim
from service.core.outbox import Event
from service.core.records import PREFIX, Also, Collection, Missing, Record, Stored
from service.core.redis import Client, Purpose, reply, rewriting, text, writing_for
from service.core.unfinished import count_unfinished, read_unfinished
from service.evals.tally import Tally

FUNCTION: Final = "run_eval"  # the task's name in the queue of evaluations
UNFINISHED: Final = f"{PREFIX}:eval-runs-unfinished"
DELETED: Final = f"{PREFIX}:evals-deleted"
_NUMBER_CHARS: Final = 5  # of an item in its ID
_PAGE: Final = 100

ItemStatus = Literal["pass", "fail", "error"]


class RunStatus(StrEnum):
    """Status of a run."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELED = "canceled"
    FAILED = "failed"


FINAL: Final = frozenset({RunStatus.COMPLETED, RunStatus.CANCELED, RunStatus.FAILED})
_EVENTS: Final = {
    RunStatus.COMPLETED: "eval.run.succeeded",
    RunStatus.CANCELED: "eval.run.canceled",
    RunStatus.FAILED: "eval.run.failed",
}


class EvalRecord(Record):
    """An eval: the schema of its items, and the graders of its runs, which never change."""

    updated_at: int
    name: str
    metadata: dict[str, str]
    item_schema: dict[str, Any]
    include_sample_schema: bool
    testing_criteria: list[dict[str, Any]]


class RunFailure(Stored):
    """Reason why a run failed, as shown in the API."""

    code: str
    message: str


class RunPlace(NamedTuple):
    """The IDs of a run, and the names made of them."""

    project_id: str
    eval_id: str
    run_id: str

    @property
    def member(self) -> str:
        """The run's name in the sets of all projects."""
        return "/".join(self)

    @property
    def items_key(self) -> str:
        """The Redis key of the rows of the run's items."""
        return f"{PREFIX}:{self.project_id}:eval-items:{self.run_id}"


class RunRecord(NumberedRecord):
    """A run of an eval. `data_source` is as requested, without the items of the request."""

    eval_id: str
    key_id: str  # whose usage it is
    name: str
    metadata: dict[str, str]
    data_source: dict[str, Any]
    model: str | None
    status: RunStatus = RunStatus.QUEUED
    error: RunFailure | None = None
    items: int | None = None  # known once a worker has checked them
    tally: Tally = Tally()
    started_at: int | None = None
    finished_at: int | None = None
    attempt_started_at: int | None = None
    attempt_started_with: int = 0  # outcomes of earlier attempts
    fruitless_attempts: int = 0
    trace: dict[str, str] | None = None

    @property
    def subject(self) -> str:
        """The run's name in the queue and in leases."""
        return f"{self.eval_id}/{self.id}"

    @property
    def is_final(self) -> bool:
        """Whether the run has a final status."""
        return self.status in FINAL

    @property
    def place(self) -> RunPlace:
        """The IDs of the run."""
        return RunPlace(self.project_id, self.eval_id, self.id)

    @property
    def folder(self) -> str:
        """The storage folder of the run."""
        return f"{self.project_id}/evals/{self.eval_id}/{self.id}"

    @property
    def is_inline(self) -> bool:
        """Whether the items came with the request. They are in `source_key`."""
        return bool(self.data_source["source"]["type"] == "file_content")

    @property
    def source_key(self) -> str:
        """The storage key of the items that came with the request."""
        return f"{self.folder}/source.jsonl"


class ItemRow(msgspec.Struct, frozen=True, array_like=True):
    """Where the outcome of an item is: a range of bytes of a chunk in the run's folder."""

    status: ItemStatus
    created_at: int
    chunk: str
    start: int
    length: int


class ItemPage(msgspec.Struct, frozen=True):
    """A page of item numbers with their rows."""

    items: list[tuple[int, ItemRow]]
    has_more: bool


Change = Callable[[RunRecord], RunRecord]
_rows = msgspec.json.Decoder(ItemRow)


class Evals:
    """All evals and runs, by project."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.evals = Collection(redis, "evals", EvalRecord)

    def runs(self, eval_id: str) -> Collection[RunRecord]:
        """The runs of one eval."""
        return Collection(self.redis, f"eval-runs:{eval_id}", RunRecord)

    @staticmethod
    def by_update(project_id: str) -> str:
        """The Redis key of the project's evals in the order of their last updates."""
        return f"{PREFIX}:{project_id}:evals-updated"

    async def get(self, project_id: str, eval_id: str) -> EvalRecord | None:
        """The project's eval with this ID, or None."""
        return (
            await self.evals.get(project_id, eval_id) if ids.is_valid(eval_id, ids.EVAL) else None
        )

    async def get_run(self, project_id: str, eval_id: str, run_id: str) -> RunRecord | None:
        """The eval's run with this ID, or None."""
        if not ids.is_valid(eval_id, ids.EVAL) or not ids.is_valid(run_id, ids.EVAL_RUN):
            return None
        return await self.runs(eval_id).get(project_id, run_id)

    async def count(self, project_id: str) -> int:
        """The number of the project's evals."""
        return int(await self.redis.zcard(self.evals.index(project_id)))

    async def count_runs(self, project_id: str, eval_id: str) -> int:
        """The number of an eval's runs."""
        return int(await self.redis.zcard(self.runs(eval_id).index(project_id)))

    async def count_unfinished(self, project_id: str) -> int:
        """The number of the project's runs without a final status."""
        return await count_unfinished(self.redis, UNFINISHED, project_id)

    async def create(
        self, record: EvalRecord, claim: Claim[EvalRecord] | None = None
    ) -> EvalRecord:
        """Store a new eval. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            self._updated(pipe, record)
            claim.settle(pipe, record)

        return await self.evals.create(record, also=also, check=claim.check)

    async def update(
        self, project_id: str, eval_id: str, change: Callable[[EvalRecord], EvalRecord]
    ) -> EvalRecord:
        """Change an eval. Raises Missing."""
        return await self.evals.update(project_id, eval_id, change, also=self._updated)

    def _updated(self, pipe: Pipeline, record: EvalRecord) -> None:
        pipe.zadd(self.by_update(record.project_id), {record.id: clock.now()})

    async def create_run(self, run: RunRecord, claim: Claim[RunRecord] | None = None) -> RunRecord:
        """Store a new run and enqueue it.

        Raises Missing if its eval has been deleted, and ClaimLost.
        """
        claim = claim or Claim()

        def also(pipe: Pipeline, _: EvalRecord) -> None:
            self.runs(run.eval_id).add(pipe, run)
            pipe.sadd(UNFINISHED, run.place.member)
            claim.settle(pipe, run)

        # The eval is written back as it is, so that its deletion and this cannot both succeed.
        await self.evals.update(
            run.project_id, run.eval_id, lambda record: record, also=also, check=claim.check
        )
        with queue.left_to_the_reconciler():
            await self.enqueue(run)
        return run

    async def enqueue(self, run: RunRecord) -> None:
        """Enqueue the run's attempt unless it is already queued."""
        await queue.enqueue(
            self.redis, queue.EVALS, FUNCTION, run.project_id, run.subject, run.attempt
        )

    async def change(
        self,
        run: RunRecord,
        change: Change,
        also: Callable[[Pipeline, RunRecord], None] = lambda _, __: None,
    ) -> RunRecord:
        """Change a run atomically. Exceptions of `change` propagate. Raises Missing.

        Every change of a run's record goes through this method. A change to a final status also
        writes the end of the run to the outbox.
        """
        was_final = False

        def noting(current: RunRecord) -> RunRecord:
            nonlocal was_final
            was_final = current.status in FINAL
            return change(current)

        def together(pipe: Pipeline, after: RunRecord) -> None:
            if after.status in FINAL and not was_final:
                pipe.srem(UNFINISHED, after.place.member)
                outbox.add(pipe, _end_of(after))
            also(pipe, after)

        return await self.runs(run.eval_id).update(run.project_id, run.id, noting, also=together)

    async def add_outcomes(
        self, run: RunRecord, change: Change, rows: Mapping[int, ItemRow]
    ) -> RunRecord:
        """Add outcomes of items together with the change of the run's counters.

        Raises QuotaExceeded.
        """
        key = run.place.items_key

        def also(pipe: Pipeline, after: RunRecord) -> None:
            pipe.hset(key, mapping={str(n): msgspec.json.encode(row) for n, row in rows.items()})
            for place, (number, row) in enumerate(rows.items(), after.tally.done - len(rows)):
                pipe.zadd(f"{key}:all", {str(number): place})
                pipe.zadd(f"{key}:{row.status}", {str(number): place})

        with writing_for(Purpose.EXTEND):
            return await self.change(run, change, also)

    async def finished_items(self, run: RunRecord) -> set[int]:
        """The numbers of the items that have an outcome."""
        return {int(number) for number in await reply(self.redis.hkeys(run.place.items_key))}

    async def item(self, run: RunRecord, number: int) -> ItemRow | None:
        """The row of an item, or None if it has no outcome."""
        raw = await reply(self.redis.hget(run.place.items_key, str(number)))
        return None if raw is None else _rows.decode(raw)

    async def items(
        self,
        run: RunRecord,
        *,
        status: ItemStatus | None,
        after: int | None,
        limit: int,
        oldest_first: bool,
    ) -> ItemPage:
        """A page of the run's items in the order of their outcomes. Raises Missing."""
        key = f"{run.place.items_key}:{status or 'all'}"
        start = 0
        if after is not None:
            rank = self.redis.zrank if oldest_first else self.redis.zrevrank
            place = await rank(key, str(after))
            if place is None:
                raise Missing(str(after))
            start = int(place) + 1
        numbers_from = self.redis.zrange if oldest_first else self.redis.zrevrange
        numbers = [int(n) for n in await numbers_from(key, start, start + limit)]
        return ItemPage(await self._rows_of(run, numbers[:limit]), len(numbers) > limit)

    async def _rows_of(self, run: RunRecord, numbers: Sequence[int]) -> list[tuple[int, ItemRow]]:
        if not numbers:
            return []
        found = await reply(self.redis.hmget(run.place.items_key, [str(n) for n in numbers]))
        return [
            (number, _rows.decode(raw))
            for number, raw in zip(numbers, found, strict=True)
            if raw is not None
        ]

    async def unfinished(self) -> list[RunRecord]:
        """All readable runs without a final status. Entries of ended or deleted ones go."""
        return await read_unfinished(
            self.redis,
            UNFINISHED,
            lambda parts: self.runs(parts[1]),
            lambda run: run.status not in FINAL,
        )

    async def delete(self, record: EvalRecord, also: Also = lambda _: None) -> bool:
        """Delete an eval. The sweep then removes its runs. Returns False if it is gone."""

        def together(pipe: Pipeline) -> None:
            pipe.zrem(self.by_update(record.project_id), record.id)
            pipe.sadd(DELETED, f"{record.project_id}/{record.id}")
            also(pipe)

        return await self.evals.delete(record.project_id, record.id, also=together)

    async def delete_run(self, place: RunPlace, also: Also = lambda _: None) -> bool:
        """Delete a run. The sweep then removes its objects. Returns False if it is gone."""
        key = place.items_key

        def together(pipe: Pipeline) -> None:
            pipe.delete(key, *(f"{key}:{status}" for status in ("all", "pass", "fail", "error")))
            pipe.srem(UNFINISHED, place.member)
            pipe.sadd(DELETED, place.member)
            rewriting.request(pipe)
            also(pipe)

        return await self.runs(place.eval_id).delete(place.project_id, place.run_id, also=together)

    async def forget_deleted(self, run: RunRecord) -> None:
        """If the run has been deleted, note that objects of it may be in storage."""
        if await self.runs(run.eval_id).get(run.project_id, run.id) is None:
            await reply(self.redis.sadd(DELETED, run.place.member))

    async def deleted(self) -> list[str]:
        """The deleted evals and runs whose objects may be in storage."""
        return sorted(text(member) for member in await reply(self.redis.smembers(DELETED)))

    async def delete_runs_of(self, project_id: str, eval_id: str) -> None:
        """Delete all runs of a deleted eval."""
        index = self.runs(eval_id).index(project_id)
        while found := await self.redis.zrange(index, 0, _PAGE - 1):
            for run_id in found:
                await self.delete_run(RunPlace(project_id, eval_id, text(run_id)))

    async def swept(self, member: str) -> None:
        """Note that nothing of a deleted eval or run is left in storage."""
        await reply(self.redis.srem(DELETED, member))


def item_id(run: RunRecord, number: int) -> str:
    """The ID of an item: the run's, and the item's number."""
    return f"{ids.OUTPUT_ITEM}{run.id.removeprefix(ids.EVAL_RUN)}{number:0{_NUMBER_CHARS}d}"


def item_number(run: RunRecord, id_: str) -> int | None:
    """The number in the ID of one of the run's items; None if it is not one."""
    prefix = ids.OUTPUT_ITEM + run.id.removeprefix(ids.EVAL_RUN)
    number = id_.removeprefix(prefix)
    if not id_.startswith(prefix) or len(number) != _NUMBER_CHARS:
        return None
    return int(number) if number.isascii() and number.isdigit() else None


def _end_of(run: RunRecord) -> Event:
    """The event of a final run. A run ends once, so its event has the run's own ID."""
    return Event(
        id=ids.WEBHOOK_EVENT + run.id.removeprefix(ids.EVAL_RUN),
        project_id=run.project_id,
        created_at=run.finished_at or ids.now_s(),
        type=_EVENTS[run.status],
        subject_id=run.id,
    )
