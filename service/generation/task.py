"""The `generate_rows` task: cut documents, have rows written about them, and write their file.

Passages that are finished at the same time are stored as one part and recorded in one transaction.
A worker that dies loses at most the passages that it was working on, and those whose results wait
to be stored.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from service.core import ids, metrics, queue
from service.core.records import Missing
from service.core.storage import StorageMissing
from service.datasets.passages import Passage
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, scratch_folder
from service.generation.documents import GenerationFailed, read_passages
from service.generation.passage_work import (
    Budget,
    Outcome,
    PassageWork,
    Task,
    rows_a_passage,
    tasks,
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
from service.generation.rows import Kept, PartWriter, Row, pair_of, read_lines, write_file
from service.inference.background.calls import BATCH_PRIORITY, EngineCalls, Resources
from service.inference.background.crew import Crew
from service.work.records import AttemptSuperseded
from service.work.task import ResumableTask

log = logging.getLogger(__name__)

_ROWS_MISSING: Final = "Rows of the generation are no longer in storage."


class GenerationAttempt:
    """Runs one attempt. `run()` ends with the generation, or after `stop()`."""

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
        self._record = record
        self._generations = generations
        self._files = generations.files
        self._calls = calls
        self._dataset_process = dataset_process
        self._concurrency = concurrency
        self._folder = folder
        self._writer = PartWriter(generations.files.storage, record)
        self._passages: list[Passage] | None = None
        self._kept = Kept()
        self._crew: Crew[Task, Outcome] | None = None
        self._running: asyncio.Task[Any] | None = None
        self._is_cancelled = False
        self.stopped = False

    @property
    def ended(self) -> bool:
        """Whether the generation has a final status."""
        return self._record.is_final

    async def run(self) -> None:
        """Process the rest of the generation, and end it unless stopped.

        Raises AttemptSuperseded, Missing, REDIS_ERRORS, StorageError, and DatasetTaskFailed if the
        disk is full.
        """
        self._running = asyncio.current_task()
        try:
            if self._record.status is GenerationStatus.QUEUED:
                found = len(await self._read())
                await self._change(lambda record: record.begin(found, ids.now_s()))
            if self._record.ending is None:
                await self._ask_all()
        except GenerationFailed as e:
            await self._fail(e.fault)
        if not self.stopped and not self.ended:
            await self._finish()

    def stop(self) -> None:
        """Drop the passages that are being worked on. Finished ones are still stored.

        `run()` is canceled if it works on no passages.
        """
        self.stopped = True
        if self._crew is not None:
            self._crew.stop()
        elif self._running is not None:
            self._running.cancel()

    def notice(self, current: GenerationRecord) -> None:
        """Begin no more passages once the generation is being cancelled."""
        if current.status is GenerationStatus.CANCELLING:
            self._is_cancelled = True
            if self._crew is not None:
                self._crew.stop()

    async def _read(self) -> list[Passage]:
        """Return the passages of the documents. Raises GenerationFailed."""
        if self._passages is None:
            self._passages = await read_passages(
                self._files, self._record, self._dataset_process, self._folder
            )
        return self._passages

    async def _ask_all(self) -> None:
        passages = await self._read()
        parts = await self._generations.parts(self._record)
        try:
            lines = await read_lines(self._files.storage, self._record, parts)
        except StorageMissing as e:
            raise GenerationFailed("rows_missing", _ROWS_MISSING) from e
        self._kept = Kept(pair_of(line) for line in lines)
        budget = Budget(self._record.max_tokens_total, self._record.tally.tokens)
        work = PassageWork(self._record, passages, self._calls, budget)
        done = {number for numbers in parts.values() for number in numbers}
        record = self._record
        left = (
            task
            for task in tasks(passages, record.kinds, record.n, record.seed)
            if task.number not in done
        )
        incomplete = await self._ask(left, work, budget)
        if not self.stopped:
            await self._change(lambda record: record.complete(incomplete))

    async def _ask(
        self, left: Iterator[Task], work: PassageWork, budget: Budget
    ) -> IncompleteReason | None:
        """Ask about passages until there are enough rows. Returns why there are not."""
        while not (self.stopped or self._is_cancelled):
            wanted = self._record.n - self._record.tally.kept
            if wanted <= 0:
                return None
            if budget.is_used:
                return IncompleteReason.MAX_TOKENS_TOTAL
            some = list(islice(left, 1))
            if not some:
                return IncompleteReason.NO_MORE_PASSAGES
            expected = rows_a_passage(self._record.kinds, some[0].questions)
            some += islice(left, math.ceil(wanted / expected) - 1)
            self._crew = Crew(work.outcome, self._store)
            await self._crew.run(_within(budget, some), self._concurrency)
            self._crew = None
        return None

    async def _store(self, outcomes: list[Outcome]) -> None:
        more = GenerationTally()
        kept: list[Row] = []
        for outcome in outcomes:
            rows, dropped = self._chosen(outcome.rows, len(kept))
            kept += rows
            more = more.plus(outcome.tally).plus(GenerationTally(kept=len(rows), dropped=dropped))
        part = await self._writer.write(kept)
        self._record = await self._generations.add_parts(
            self._record,
            lambda record: record.advance(more),
            {part: [outcome.number for outcome in outcomes]},
        )
        metrics.GENERATED_ROWS.cell("kept").inc(more.kept)
        metrics.GENERATED_ROWS.cell("dropped").inc(sum(more.dropped.values()))

    def _chosen(self, rows: Sequence[Row], others: int) -> tuple[list[Row], dict[str, int]]:
        """Return the rows to keep, and the number of others by reason."""
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
        """Write the file and end the generation."""
        parts = await self._generations.parts(self._record)
        try:
            lines = await read_lines(self._files.storage, self._record, parts)
        except StorageMissing:
            log.exception("%s: rows are no longer in storage", self._record.id)
            fault = GenerationFault(code="rows_missing", message=_ROWS_MISSING)
            await self._change(lambda record: record.reject(fault, ids.now_s()))
            return
        file = await write_file(self._files, self._record, lines)
        files = () if file is None else (file,)
        output = None if file is None else file.id
        try:
            self._record = await self._generations.change_own(
                self._record,
                lambda record: record.finish(ids.now_s(), output=output),
                lambda pipe, _: self._files.write_all_new(pipe, files),
            )
        except (AttemptSuperseded, Missing):
            # After any other error, the transaction may have been made, so its file stays.
            if file is not None:
                await self._files.discard(file.project_id, file.id)
            raise
        if file is not None:
            with queue.left_to_the_reconciler():
                await self._files.checks.enqueue(file)

    async def _fail(self, fault: GenerationFault) -> None:
        """Fail the generation, or begin to if it may have rows."""

        def change(record: GenerationRecord) -> GenerationRecord:
            if record.status is GenerationStatus.QUEUED:
                return record.reject(fault, ids.now_s())
            return record.fail(fault)

        await self._change(change)

    async def _change(self, change: Callable[[GenerationRecord], GenerationRecord]) -> None:
        self._record = await self._generations.change_own(self._record, change)


def _within(budget: Budget, some: Iterable[Task]) -> Generator[Task]:
    for task in some:
        if budget.is_used:
            return
        yield task


_PATIENCE_S: Final = 24 * 3600.0  # as long as a batch waits for an engine that is down


class GenerateRows(ResumableTask[GenerationRecord]):
    """Makes the rows of generations on this worker."""

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
