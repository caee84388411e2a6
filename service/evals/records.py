"""Redis records of evals and their runs, and the location of each item's outcome.

    finetuned:{project}:evals:{id}                     an eval
    finetuned:{project}:evals-updated                  sorted set of IDs, scored by the last update
    finetuned:{project}:eval-runs:{eval}:{id}          a run, with its counters
    finetuned:{project}:eval-items:{run}               hash: item number → ItemRow
    finetuned:{project}:eval-items:{run}:{status|all}  sorted set of item numbers, in the order of
                                                       their outcomes
    finetuned:eval-runs-unfinished                     "project/eval/run" without a final status
    finetuned:evals-deleted                            "project/eval[/run]" whose objects remain

The texts of items are in storage (outcomes.py). Outcomes and the counters of their run are written
in one transaction, which is fenced by the run's attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec
from redis.asyncio.client import Pipeline

from service.core import clock, ids, metrics, queue
from service.core.claims import Claim
from service.core.leases import Leases
from service.core.outbox import Event
from service.core.records import PREFIX, Also, Collection, Missing, Record
from service.core.redis import Client, Purpose, reply, rewriting, text, writing_for
from service.core.storage import Storage
from service.evals.tally import Tally
from service.work.records import Kind, ResumedRecord, WorkEnded, WorkError
from service.work.store import WorkStore

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
    logs: dict[str, Any] | None = None
    """Configuration of an eval of stored chats as requested, with `type` and `metadata`."""
    key_id: str = ""  # the key that created it; empty in records of versions before 0.3


class RunRef(NamedTuple):
    """The IDs that identify a run, and the names made of them."""

    project_id: str
    eval_id: str
    run_id: str

    @property
    def member(self) -> str:
        """Name of the run in the sets of all projects."""
        return "/".join(self)

    @property
    def items_key(self) -> str:
        """Redis key of the rows of the run's items."""
        return f"{PREFIX}:{self.project_id}:eval-items:{self.run_id}"


class RunRecord(ResumedRecord):
    """A run of an eval. `data_source` is as requested, without the items of the request."""

    work = Kind(
        noun="run",
        collection="eval-runs",
        function="run_eval",
        lane=queue.EVALS,
        id_prefix=ids.EVAL_RUN,
        doing="another item had an outcome",
        interrupted="run_interrupted",
        event="eval.run",
    )
    final = frozenset({RunStatus.COMPLETED, RunStatus.CANCELED, RunStatus.FAILED})
    failed = RunStatus.FAILED

    eval_id: str
    key_id: str  # of the key that pays with its limits
    name: str
    metadata: dict[str, str]
    data_source: dict[str, Any]
    model: str | None
    status: RunStatus = RunStatus.QUEUED
    error: WorkError | None = None
    items: int | None = None  # known once a worker has checked them
    deleted_items: int = 0  # stored chats that were gone before the run read them
    tally: Tally = Tally()
    started_at: int | None = None
    finished_at: int | None = None
    attempt_started_at: int | None = None
    attempt_started_with: int = 0  # outcomes of earlier attempts
    trace: dict[str, str] | None = None

    @property
    def parents(self) -> tuple[str, ...]:
        """The eval."""
        return (self.eval_id,)

    @property
    def ref(self) -> RunRef:
        """IDs of the run and its parents."""
        return RunRef(self.project_id, self.eval_id, self.id)

    @property
    def folder(self) -> str:
        """Storage folder of the run."""
        return f"{self.project_id}/evals/{self.eval_id}/{self.id}"

    @property
    def is_inline(self) -> bool:
        """Whether the items came with the request. They are in `source_key`."""
        return bool(self.data_source["source"]["type"] == "file_content")

    @property
    def is_stored(self) -> bool:
        """Whether the items are stored chats. Their IDs are in `source_key`."""
        return self.data_source["source"]["type"] in ("stored_completions", "responses")

    @property
    def source_key(self) -> str:
        """Storage key of the items that came with the request, or of the IDs of stored chats."""
        return f"{self.folder}/source.jsonl"

    def start(self, now_s: int) -> Self:
        """Mark the run as in progress when a worker takes the attempt."""
        return self.model_copy(
            update={
                "status": RunStatus.IN_PROGRESS,
                "started_at": self.started_at or now_s,
                "attempt_started_at": now_s,
                "attempt_started_with": self.tally.done,
            }
        )

    def advance(self, more: Tally, deleted: int = 0) -> Self:
        """Add outcomes, and the number of stored chats that were gone, to the counters."""
        return self.make_progress(
            tally=self.tally.plus(more), deleted_items=self.deleted_items + deleted
        )

    def complete(self, now_s: int) -> Self:
        """Complete the run. Raises ValueError if items have no outcome, which would be a bug."""
        if self.tally.done + self.deleted_items != self.items:
            raise ValueError(f"{self.tally.done} of {self.items} items have an outcome")
        return self.end(RunStatus.COMPLETED, now_s)

    def cancel(self, now_s: int) -> Self:
        """Cancel the run. Raises WorkEnded if it has ended."""
        if self.is_final:
            raise WorkEnded(self)
        return self.end(RunStatus.CANCELED, now_s)

    def estimated_finish(self, now_s: int) -> int | None:
        """Return when the run is expected to end, by the pace of its attempt; None if unknown."""
        if self.status is not RunStatus.IN_PROGRESS or self.items is None:
            return None
        began, done = self.attempt_started_at, self.tally.done - self.attempt_started_with
        if began is None or done <= 0:
            return None
        left = self.items - self.deleted_items - self.tally.done
        return now_s + round(left * max(now_s - began, 1) / done)


class ItemFigures(msgspec.Struct, frozen=True, array_like=True):
    """What comparisons of runs need of an item's outcome, so that they read no texts.

    `digest` is equal for equal items. `scores` are those of the graders, in the order of the eval;
    None if there is none.
    """

    digest: str
    scores: tuple[float | None, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float | None = None  # None if the answer was given


class ItemRow(msgspec.Struct, frozen=True, array_like=True):
    """Location of an item's outcome: a range of bytes of a chunk in the run's folder.

    Rows of versions before 0.3 have no figures.
    """

    status: ItemStatus
    created_at: int
    chunk: str
    start: int
    length: int
    figures: ItemFigures | None = None


class ItemPage(msgspec.Struct, frozen=True):
    """A page of item numbers with their rows."""

    items: list[tuple[int, ItemRow]]
    has_more: bool


_rows = msgspec.json.Decoder(ItemRow)


class Runs(WorkStore[RunRecord]):
    """All runs, by project and eval."""

    record = RunRecord

    def __init__(self, redis: Client) -> None:
        super().__init__(redis)
        self._evals = Collection(redis, "evals", EvalRecord)

    def collection(self, *parents: str) -> Collection[RunRecord]:
        """Return the runs of one eval."""
        return Collection(self.redis, ":".join((self.kind.collection, *parents)), RunRecord)

    async def get_run(self, project_id: str, eval_id: str, run_id: str) -> RunRecord | None:
        """Return the eval's run with this ID, or None."""
        if not ids.is_valid(eval_id, ids.EVAL) or not ids.is_valid(run_id, ids.EVAL_RUN):
            return None
        return await self.collection(eval_id).get(project_id, run_id)

    async def count(self, project_id: str, eval_id: str) -> int:
        """Return the number of an eval's runs."""
        return int(await self.redis.zcard(self.collection(eval_id).index(project_id)))

    async def create(
        self,
        record: RunRecord,
        claim: Claim[RunRecord] | None = None,
        also: Also = lambda _: None,
    ) -> RunRecord:
        """Store a new run and enqueue it.

        Raises Missing if its eval has been deleted, and ClaimLost.
        """
        claim = claim or Claim()

        def together(pipe: Pipeline, _: EvalRecord) -> None:
            self.add(pipe, record)
            claim.settle(pipe, record)
            also(pipe)

        # Writes the eval unchanged, so that this fails if the eval is deleted at the same time.
        await self._evals.update(
            record.project_id, record.eval_id, lambda found: found, also=together, check=claim.check
        )
        with queue.left_to_the_reconciler():
            await self.enqueue(record)
        return record

    async def add_outcomes(
        self, run: RunRecord, change: Callable[[RunRecord], RunRecord], rows: Mapping[int, ItemRow]
    ) -> RunRecord:
        """Add outcomes of items together with the change of the run's counters.

        Raises as `change_own`, and QuotaExceeded.
        """
        key = run.ref.items_key

        def also(pipe: Pipeline, after: RunRecord) -> None:
            if not rows:
                return  # all stored chats of the group were gone
            pipe.hset(key, mapping={str(n): msgspec.json.encode(row) for n, row in rows.items()})
            for place, (number, row) in enumerate(rows.items(), after.tally.done - len(rows)):
                pipe.zadd(f"{key}:all", {str(number): place})
                pipe.zadd(f"{key}:{row.status}", {str(number): place})

        with writing_for(Purpose.EXTEND):
            return await self.change_own(run, change, also)

    async def finished_items(self, run: RunRecord) -> set[int]:
        """Return the numbers of the items that have an outcome."""
        return {int(number) for number in await reply(self.redis.hkeys(run.ref.items_key))}

    async def all_rows(self, run: RunRecord) -> dict[int, ItemRow]:
        """Return the rows of all items that have an outcome, by item number."""
        found = await reply(self.redis.hgetall(run.ref.items_key))
        return {int(number): _rows.decode(raw) for number, raw in found.items()}

    async def item(self, run: RunRecord, number: int) -> ItemRow | None:
        """Return the row of an item, or None if it has no outcome."""
        raw = await reply(self.redis.hget(run.ref.items_key, str(number)))
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
        """Return a page of the run's items in the order of their outcomes. Raises Missing."""
        key = f"{run.ref.items_key}:{status or 'all'}"
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
        found = await reply(self.redis.hmget(run.ref.items_key, [str(n) for n in numbers]))
        return [
            (number, _rows.decode(raw))
            for number, raw in zip(numbers, found, strict=True)
            if raw is not None
        ]

    async def remove(self, run: RunRef, also: Also = lambda _: None) -> bool:
        """Delete a run. The sweep then removes its objects. Returns False if it is gone."""
        key = run.items_key

        def together(pipe: Pipeline) -> None:
            pipe.delete(key, *(f"{key}:{status}" for status in ("all", "pass", "fail", "error")))
            pipe.srem(self.kind.unfinished_key, run.member)
            pipe.sadd(DELETED, run.member)
            rewriting.request(pipe)
            also(pipe)

        runs = self.collection(run.eval_id)
        return await runs.delete(run.project_id, run.run_id, also=together)

    async def forget_deleted(self, run: RunRecord) -> None:
        """If the run has been deleted, have the sweep remove objects that were stored since."""
        if await self.collection(run.eval_id).get(run.project_id, run.id) is None:
            await reply(self.redis.sadd(DELETED, run.ref.member))

    def observe(self, unfinished: Sequence[RunRecord]) -> None:
        """Set the gauges of unfinished runs."""
        for status in (RunStatus.QUEUED, RunStatus.IN_PROGRESS):
            number = sum(run.status is status for run in unfinished)
            metrics.EVAL_RUNS_UNFINISHED.cell(status).set(number)

    async def leftovers(self, now_s: int) -> list[str]:
        """Return the members of deleted runs, and of deleted evals as "project/eval"."""
        return sorted(text(member) for member in await reply(self.redis.smembers(DELETED)))

    async def clean_up(self, member: str, storage: Storage, leases: Leases) -> None:
        """Delete what a deleted eval or run left in Redis and storage."""
        project_id, eval_id, *run = member.split("/")
        if run:
            is_deleted = await self.collection(eval_id).get(project_id, run[0]) is None
        else:
            is_deleted = await self._evals.get(project_id, eval_id) is None
        if is_deleted:
            if not run:
                await self.remove_all(project_id, eval_id)
            await storage.delete_prefix("/".join([project_id, "evals", eval_id, *run]))
        await reply(self.redis.srem(DELETED, member))

    async def remove_all(self, project_id: str, eval_id: str) -> None:
        """Delete all runs of a deleted eval."""
        index = self.collection(eval_id).index(project_id)
        while found := await self.redis.zrange(index, 0, _PAGE - 1):
            for run_id in found:
                await self.remove(RunRef(project_id, eval_id, text(run_id)))

    def _end_of(self, record: RunRecord) -> Event:
        return super()._end_of(record).model_copy(update={"type": _EVENTS[record.status]})


class Evals:
    """All evals, by project, and their runs."""

    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.evals = Collection(redis, "evals", EvalRecord)
        self.runs = Runs(redis)

    @staticmethod
    def by_update(project_id: str) -> str:
        """Return the Redis key of the project's evals in the order of their last updates."""
        return f"{PREFIX}:{project_id}:evals-updated"

    async def get(self, project_id: str, eval_id: str) -> EvalRecord | None:
        """Return the project's eval with this ID, or None."""
        return (
            await self.evals.get(project_id, eval_id) if ids.is_valid(eval_id, ids.EVAL) else None
        )

    async def count(self, project_id: str) -> int:
        """Return the number of the project's evals."""
        return int(await self.redis.zcard(self.evals.index(project_id)))

    async def create(
        self, record: EvalRecord, claim: Claim[EvalRecord] | None = None
    ) -> EvalRecord:
        """Store a new eval. Raises ClaimLost."""
        claim = claim or Claim()

        def also(pipe: Pipeline) -> None:
            self._set_updated(pipe, record)
            claim.settle(pipe, record)

        return await self.evals.create(record, also=also, check=claim.check)

    async def update(
        self, project_id: str, eval_id: str, change: Callable[[EvalRecord], EvalRecord]
    ) -> EvalRecord:
        """Change an eval. Raises Missing."""
        return await self.evals.update(project_id, eval_id, change, also=self._set_updated)

    def _set_updated(self, pipe: Pipeline, record: EvalRecord) -> None:
        pipe.zadd(self.by_update(record.project_id), {record.id: clock.now()})

    async def delete(self, record: EvalRecord, also: Also = lambda _: None) -> bool:
        """Delete an eval. The sweep then removes its runs. Returns False if it is gone."""

        def together(pipe: Pipeline) -> None:
            pipe.zrem(self.by_update(record.project_id), record.id)
            pipe.sadd(DELETED, f"{record.project_id}/{record.id}")
            also(pipe)

        return await self.evals.delete(record.project_id, record.id, also=together)


def item_id(run: RunRecord, number: int) -> str:
    """Return the ID of an item, made of the run's ID and the item's number."""
    return f"{ids.OUTPUT_ITEM}{run.id.removeprefix(ids.EVAL_RUN)}{number:0{_NUMBER_CHARS}d}"


def item_number(run: RunRecord, id_: str) -> int | None:
    """Return the number in the ID of one of the run's items; None if it is not one."""
    prefix = ids.OUTPUT_ITEM + run.id.removeprefix(ids.EVAL_RUN)
    number = id_.removeprefix(prefix)
    if not id_.startswith(prefix) or len(number) != _NUMBER_CHARS:
        return None
    return int(number) if number.isascii() and number.isdigit() else None
