"""One attempt at a run: items are sampled and graded concurrently, and outcomes stored in chunks.

Outcomes that are finished at the same time are stored as one chunk and committed in one
transaction. A worker that dies loses at most the items that it was working on, and those whose
results wait to be stored.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from service.core import ids, metrics
from service.evals.item_schema import ItemSchema
from service.evals.item_work import ItemWork
from service.evals.outcomes import Outcome, OutcomeWriter
from service.evals.records import EvalRecord, RunRecord, Runs
from service.evals.source import RunFailed, check_items, fetch_items, read_items
from service.evals.tally import Tally
from service.files.records import Files
from service.inference.background.calls import ModelGone
from service.inference.background.crew import Crew

log = logging.getLogger(__name__)


class Attempt:
    """Runs one attempt. `run()` ends with the run, or after `stop()`."""

    def __init__(
        self,
        run: RunRecord,
        record: EvalRecord,
        work: ItemWork,
        *,
        runs: Runs,
        files: Files,
        folder: Path,
        concurrency: int,
    ) -> None:
        self._run = run
        self._record = record
        self._work = work
        self._runs = runs
        self._files = files
        self._folder = folder
        self._concurrency = concurrency
        self._writer = OutcomeWriter(files.storage, run)
        self._crew = Crew(self._outcome, self._commit)
        self._preparing: asyncio.Task[Any] | None = None
        self.stopped = False

    @property
    def ended(self) -> bool:
        """Whether the run has a final status."""
        return self._run.is_final

    async def run(self) -> None:
        """Work on all items without an outcome, and complete the run unless stopped.

        Raises RunFailed, AttemptSuperseded, Missing, REDIS_ERRORS and StorageError.
        """
        self._preparing = asyncio.current_task()
        path = await self._prepare()
        done = await self._runs.finished_items(self._run)
        self._preparing = None
        await self._crew.run(read_items(path, done), self._concurrency)
        if not self.stopped:
            self._run = await self._runs.change_own(
                self._run, lambda run: run.complete(ids.now_s())
            )

    async def _prepare(self) -> Path:
        """Download the items, and check them if no attempt has."""
        path = await fetch_items(self._run, self._files, self._files.storage, self._folder)
        if self._run.items is None:
            schema = ItemSchema(self._record.item_schema)
            items = await asyncio.to_thread(check_items, path, schema)
            self._run = await self._runs.change_own(
                self._run, lambda run: run.model_copy(update={"items": items})
            )
        return path

    def stop(self) -> None:
        """Drop the items that are being worked on. Finished outcomes are still stored.

        `run()` is canceled if it still prepares the items.
        """
        self.stopped = True
        if self._preparing is not None:
            self._preparing.cancel()
        self._crew.stop()

    def notice(self, current: RunRecord) -> None:
        """Ignore the current record: a run that is canceled has ended."""

    async def _outcome(self, item: tuple[int, dict[str, Any]]) -> Outcome:
        try:
            return await self._work.outcome(*item)
        except ModelGone as e:
            raise RunFailed(e.code, e.message) from e

    async def _commit(self, outcomes: list[Outcome]) -> None:
        more = Tally()
        for outcome in outcomes:
            more = more.plus(outcome.tally)
        rows = await self._writer.write(outcomes)
        await self._runs.add_outcomes(self._run, lambda run: run.advance(more), rows)
        for outcome in outcomes:
            metrics.EVAL_ITEMS.cell(outcome.status).inc()
