"""The `generate_rows` task: cuts documents, generates rows about them, and writes their file."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from service.core import clock, queue
from service.core.storage import StorageMissing
from service.datasets.passages import Passage
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, scratch_folder
from service.generation.documents import GenerationFailed, read_passages
from service.generation.passage_work import (
    Budget,
    Outcome,
    PassageWork,
    Task,
    plan_tasks,
    rows_per_passage,
)
from service.generation.records import (
    Dropped,
    GenerationFault,
    GenerationRecord,
    Generations,
    GenerationStatus,
    GenerationTally,
    IncompleteReason,
)
from service.generation.rows import Row, RowSet, pair_of, read_lines, write_file
from service.inference.background.calls import BATCH_PRIORITY, EngineCalls, Resources
from service.inference.background.parted_attempt import PartedAttempt
from service.work.task import ResumableTask

log = logging.getLogger(__name__)

_ROWS_MISSING: Final = "Rows of the generation are no longer in storage."


class GenerationAttempt(PartedAttempt[GenerationRecord, Task, Outcome]):
    """Runs one attempt at a generation."""

    def __init__(
        self,
        record: GenerationRecord,
        *,
        generations: Generations,
        calls: EngineCalls,
        dataset_process: DatasetProcess,
        concurrency: int,
        folder: Path,
    ) -> None:
        super().__init__(record, generations, generations.files)
        self._calls = calls
        self._dataset_process = dataset_process
        self._concurrency = concurrency
        self._folder = folder
        self._passages: list[Passage] | None = None
        self._kept = RowSet()

    async def _process(self) -> None:
        try:
            if self._record.status is GenerationStatus.QUEUED:
                found = len(await self._read())
                await self._change(lambda record: record.begin(found, clock.now_s()))
            if self._record.ending is None:
                await self._ask_all()
        except GenerationFailed as e:
            await self._fail(e.fault)

    def _must_end(self, current: GenerationRecord) -> bool:
        return current.status is GenerationStatus.CANCELLING

    async def _read(self) -> list[Passage]:
        """Return the passages of the documents. Raises GenerationFailed."""
        if self._passages is None:
            self._passages = await read_passages(
                self._files, self._record, self._dataset_process, self._folder
            )
        return self._passages

    async def _ask_all(self) -> None:
        passages = await self._read()
        parts = await self._store.parts(self._record)
        try:
            lines = await read_lines(self._files.storage, self._record, parts)
        except StorageMissing as e:
            raise GenerationFailed("rows_missing", _ROWS_MISSING) from e
        self._kept = RowSet(pair_of(line) for line in lines)
        budget = Budget(self._record.max_tokens_total, self._record.tally.tokens)
        work = PassageWork(self._record, passages, self._calls, budget)
        done = {number for numbers in parts.values() for number in numbers}
        record = self._record
        left = (
            task
            for task in plan_tasks(passages, record.kinds, record.n, record.seed)
            if task.number not in done
        )
        incomplete = await self._ask(left, work, budget)
        if not self.stopped:
            await self._change(lambda record: record.complete(incomplete))

    async def _ask(
        self, left: Iterator[Task], work: PassageWork, budget: Budget
    ) -> IncompleteReason | None:
        """Ask about passages until there are enough rows. Returns the reason if there are fewer."""
        while not (self.stopped or self._starts_no_more):
            wanted = self._record.n - self._record.tally.kept
            if wanted <= 0:
                return None
            if budget.is_used:
                return IncompleteReason.MAX_TOKENS_TOTAL
            some = list(islice(left, 1))
            if not some:
                return IncompleteReason.NO_MORE_PASSAGES
            expected = rows_per_passage(self._record.kinds, some[0].questions)
            some += islice(left, math.ceil(wanted / expected) - 1)
            await self._work_on(_within(budget, some), work.outcome, self._concurrency)
        return None

    async def _keep(self, outcomes: list[Outcome]) -> None:
        more = GenerationTally()
        kept: list[Row] = []
        for outcome in outcomes:
            rows, dropped = self._choose(outcome.rows, len(kept))
            kept += rows
            more = more.plus(outcome.tally).plus(GenerationTally(kept=len(rows), dropped=dropped))
        part = await self._writer.write([row.line() for row in kept], "jsonl")
        self._record = await self._store.add_parts(
            self._record,
            lambda record: record.advance(more),
            {part: [outcome.number for outcome in outcomes]},
        )

    def _choose(self, rows: Sequence[Row], others: int) -> tuple[list[Row], dict[str, int]]:
        """Return the rows to keep, and the number of dropped ones by reason."""
        chosen: list[Row] = []
        dropped = {Dropped.DUPLICATE.value: 0, Dropped.SURPLUS.value: 0}
        room = self._record.n - self._record.tally.kept - others
        for row in rows:
            if len(chosen) >= room:
                dropped[Dropped.SURPLUS] += 1
            elif self._kept.add(row.pair):
                chosen.append(row)
            else:
                dropped[Dropped.DUPLICATE] += 1
        return chosen, dropped

    async def _finish(self) -> None:
        parts = await self._store.parts(self._record)
        try:
            lines = await read_lines(self._files.storage, self._record, parts)
        except StorageMissing:
            log.exception("%s: rows are no longer in storage", self._record.id)
            fault = GenerationFault(code="rows_missing", message=_ROWS_MISSING)
            await self._change(lambda record: record.reject(fault, clock.now_s()))
            return
        file = await write_file(self._files, self._record, lines)
        files = () if file is None else (file,)
        output = None if file is None else file.id
        await self._end(files, lambda record: record.finish(clock.now_s(), output=output))
        if file is not None:
            with queue.left_to_the_reconciler():
                await self._files.checks.enqueue(file)

    async def _fail(self, fault: GenerationFault) -> None:
        """Fail the generation or, if it may have rows, let `_finish` do so."""

        def change(record: GenerationRecord) -> GenerationRecord:
            if record.status is GenerationStatus.QUEUED:
                return record.reject(fault, clock.now_s())
            return record.fail(fault)

        await self._change(change)


def _within(budget: Budget, some: Iterable[Task]) -> Generator[Task]:
    for task in some:
        if budget.is_used:
            return
        yield task


_PATIENCE_S: Final = 24 * 3600.0  # as long as a batch waits for an engine that is down


class GenerateRows(ResumableTask[GenerationRecord]):
    """Generates rows on this worker."""

    transient = (*ResumableTask.transient, DatasetTaskFailed)

    def __init__(self, resources: Resources) -> None:
        self._generations = Generations(resources.files)
        super().__init__(self._generations, resources.leases)
        self._settings = resources.settings
        self._access = resources.access
        self._dataset_process = DatasetProcess(self._settings)

    async def _clear(self, record: GenerationRecord) -> None:
        await self._generations.note_leftover_parts(record)  # a part may have been stored since

    @asynccontextmanager
    async def _attempt(self, record: GenerationRecord) -> AsyncIterator[GenerationAttempt]:
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            yield GenerationAttempt(
                record,
                generations=self._generations,
                calls=self._calls(record),
                dataset_process=self._dataset_process,
                concurrency=self._settings.generation_requests_at_once,
                folder=folder,
            )

    def _calls(self, record: GenerationRecord) -> EngineCalls:
        return self._access.calls(
            record.project_id, record.key_id, priority=BATCH_PRIORITY, patience_s=_PATIENCE_S
        )
