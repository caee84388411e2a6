"""The `run_eval` task: fetches and checks the items of a run, and samples and grades them.

Outcomes that are finished at the same time are stored as one chunk and committed in one
transaction. A worker that dies loses at most the items that it was working on, and those whose
results wait to be stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from service.core import clock, metrics
from service.core.records import Missing
from service.core.storage import Storage, StorageMissing
from service.datasets.checks.validate import eval_lines, parse_eval_item
from service.evals.data_sources import (
    DataSource,
    ItemReferenceMessages,
    is_sampled,
    stored_source,
)
from service.evals.item_schema import ItemSchema
from service.evals.item_work import ItemWork, Plan
from service.evals.outcomes import Outcome, OutcomeWriter
from service.evals.records import EvalRecord, Evals, RunRecord, Runs
from service.evals.sampling import Sampler
from service.evals.stored_items import StoredItems
from service.evals.tally import Tally
from service.files.curation.dataset_process import DatasetTaskFailed, fetch, scratch_folder
from service.files.curation.masking import Masking
from service.files.curation.recognizers.records import Recognizers
from service.files.records import Files, FileStatus
from service.files.stored_chats.records import StoredChats
from service.grading.sandbox.sandbox import Sandbox
from service.grading.schemas import Grader
from service.inference.background.calls import EngineCalls, ModelGone, Resources
from service.inference.background.crew import Crew
from service.work.task import ResumableTask, WorkFailed

_POLL_S = 1.0


class RunFailed(WorkFailed):
    """The run cannot continue; outcomes of its items are kept."""


async def fetch_items(run: RunRecord, files: Files, storage: Storage, folder: Path) -> Path:
    """Download the run's items. Waits for the check of a file. Raises RunFailed."""
    path = folder / "items.jsonl"
    if run.is_inline:
        try:
            await storage.get_file(run.source_key, path)
        except StorageMissing as e:
            raise RunFailed("source_missing", "The items of the run are not in storage.") from e
        return path
    file_id = run.data_source["source"]["id"]
    while True:
        file = await files.get(run.project_id, file_id, clock.now_s())
        if file is None:
            raise RunFailed("file_not_found", f"The file {file_id} was deleted, or it expired.")
        if file.status is not FileStatus.UPLOADED:
            break
        await asyncio.sleep(_POLL_S)
    if file.status is FileStatus.ERROR:
        message = f"The file {file_id} cannot be used. {file.status_details}"
        raise RunFailed("invalid_file", message)
    try:
        return await fetch(storage, file, path)
    except DatasetTaskFailed as e:
        raise RunFailed(e.code, e.message) from e


def check_items(path: Path, schema: ItemSchema) -> int:
    """Check each item against the schema, and return their number. Raises RunFailed."""
    items = 0
    for number, line in eval_lines(path):
        if line is not None and not line.strip():
            continue
        row, issue = parse_eval_item(line)
        if issue is not None:
            raise RunFailed("invalid_item", f"Line {number}: {issue.message}")
        if (fault := schema.fault(row["item"])) is not None:
            raise RunFailed("invalid_item", f"Line {number}: {fault}.")
        items += 1
    if not items:
        raise RunFailed("empty_file", "The file holds no items.")
    return items


def read_items(path: Path, done: Collection[int]) -> Generator[tuple[int, dict[str, Any]]]:
    """Yield the number and the row of each item that is not done, in order. Items count from 0."""
    number = 0
    for _, line in eval_lines(path):
        if line is not None and not line.strip():
            continue
        if number not in done:
            yield number, parse_eval_item(line)[0]
        number += 1


class _Gone(NamedTuple):
    """An item whose stored chat was deleted, or expired, after the attempt read it."""

    number: int


class RunAttempt:
    """One attempt at a run. `run()` returns when the run has ended, or after `stop()`."""

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
        stored: StoredItems | None = None,
    ) -> None:
        self._run = run
        self._record = record
        self._work = work
        self._runs = runs
        self._files = files
        self._folder = folder
        self._concurrency = concurrency
        self._stored = stored
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
        items = await self._prepare()
        self._preparing = None
        await self._crew.run(items, self._concurrency)
        if not self.stopped:
            self._run = await self._runs.change_own(
                self._run, lambda run: run.complete(clock.now_s())
            )

    async def _prepare(self) -> Generator[tuple[int, dict[str, Any]]]:
        """Download the items, check them if no attempt has, and return those without an outcome."""
        done = await self._runs.finished_items(self._run)
        if self._stored is not None:
            items, gone = await self._stored.prepare(done)
            change = {"items": items, "deleted_items": gone}
            self._run = await self._runs.change_own(
                self._run, lambda run: run.model_copy(update=change)
            )
            return self._stored.items()
        path = await fetch_items(self._run, self._files, self._files.storage, self._folder)
        if self._run.items is None:
            schema = ItemSchema(self._record.item_schema)
            items = await asyncio.to_thread(check_items, path, schema)
            self._run = await self._runs.change_own(
                self._run, lambda run: run.model_copy(update={"items": items})
            )
        return read_items(path, done)

    def stop(self) -> None:
        """Drop the items that are being worked on. Finished outcomes are still stored.

        `run()` is canceled if it still prepares the items.
        """
        self.stopped = True
        if self._preparing is not None:
            self._preparing.cancel()
        self._crew.stop()

    def notice(self, current: RunRecord) -> None:
        """Do nothing: a run that is canceled has already ended."""

    async def _outcome(self, item: tuple[int, dict[str, Any]]) -> Outcome | _Gone:
        if await self._is_gone(item[1]):
            return _Gone(item[0])
        try:
            outcome = await self._work.process(*item)
        except ModelGone as e:
            raise RunFailed(e.code, e.message) from e
        # An answer takes seconds: what was erased since then is not stored.
        return _Gone(item[0]) if await self._is_gone(item[1]) else outcome

    async def _is_gone(self, row: dict[str, Any]) -> bool:
        return self._stored is not None and not await self._stored.is_there(row)

    async def _commit(self, found: list[Outcome | _Gone]) -> None:
        outcomes = [one for one in found if isinstance(one, Outcome)]
        gone = len(found) - len(outcomes)
        more = Tally()
        for outcome in outcomes:
            more = more.plus(outcome.tally)
        rows = await self._writer.write(outcomes) if outcomes else {}
        await self._runs.add_outcomes(self._run, lambda run: run.advance(more, gone), rows)
        for outcome in outcomes:
            metrics.EVAL_ITEMS.cell(outcome.status).inc()


_GRADERS: TypeAdapter[list[Grader]] = TypeAdapter(list[Grader])
_DATA_SOURCE: TypeAdapter[DataSource] = TypeAdapter(DataSource)
_NOT_SAMPLED: Final = {"seed": 0, "temperature": 0.0, "top_p": 0.0}
_ASKED: Final = ItemReferenceMessages(type="item_reference", item_reference="item.input")
"""What a stored answer answered."""
# Replaces the items of the request, which the record does not contain.
_NO_ITEMS: Final[list[Any]] = [{"item": {}}]


class RunEval(ResumableTask[RunRecord]):
    """Runs the runs of evals on this worker."""

    failures = (DatasetTaskFailed,)

    def __init__(self, resources: Resources) -> None:
        self._files = resources.files
        self._evals = Evals(self._files.redis)
        self._runs = self._evals.runs
        super().__init__(self._runs, resources.leases)
        self._registry = resources.registry
        self._settings = resources.settings
        self._access = resources.access
        self._stored_chats = StoredChats(self._files.redis, self._files.storage)
        self._masking = Masking(Recognizers(self._files.redis))

    async def _clear(self, run: RunRecord) -> None:
        await self._runs.forget_deleted(run)

    @asynccontextmanager
    async def _attempt(self, run: RunRecord) -> AsyncIterator[RunAttempt]:
        record = await self._evals.get(run.project_id, run.eval_id)
        if record is None:
            raise Missing(run.eval_id)
        run = await self._runs.change_own(run, lambda current: current.start(clock.now_s()))
        running = metrics.EVAL_RUNS_RUNNING.cell()
        running.inc()
        try:
            concurrency = self._settings.eval_requests_at_once
            calls = self._access.calls(run.project_id, run.key_id, concurrency=concurrency)
            plan = await self._plan(run, record, calls)
            scratch = self._settings.scratch / run.id
            async with Sandbox() as sandbox, scratch_folder(scratch) as folder:
                yield RunAttempt(
                    run,
                    record,
                    ItemWork(plan, calls, sandbox),
                    runs=self._runs,
                    files=self._files,
                    folder=folder,
                    concurrency=2 * concurrency,  # others are sampled while answers are graded
                    stored=self._stored_items(run, folder),
                )
        finally:
            running.inc(-1)

    def _stored_items(self, run: RunRecord, folder: Path) -> StoredItems | None:
        source = stored_source(_parse_data_source(run))
        if source is None:
            return None
        path = folder / "chats.jsonl"
        return StoredItems(run, source, self._stored_chats, self._masking, path)

    async def _plan(self, run: RunRecord, record: EvalRecord, calls: EngineCalls) -> Plan:
        source = _parse_data_source(run)
        graders = _GRADERS.validate_python(record.testing_criteria)
        if not is_sampled(source):
            return Plan(graders, _ASKED if run.is_stored else None, None, _NOT_SAMPLED, 0)
        assert source.model is not None
        params = source.sampling_params
        return Plan(
            graders=graders,
            messages=source.input_messages,
            sampler=Sampler(source, source.model, calls),
            params=params.model_dump(exclude_none=True) if params else {},
            context_length=await self._context_length(run.project_id, source.model),
        )

    async def _context_length(self, project_id: str, model: str) -> int:
        found = await self._registry.resolve(project_id, model)
        if found is None:
            gone = ModelGone(model)
            raise RunFailed(gone.code, gone.message)
        entry = self._registry.catalogue.get(found.model.base_model)
        return entry.context_length if entry else 0


def _parse_data_source(run: RunRecord) -> DataSource:
    """Return the data source of a run, without the items of the request."""
    data_source = run.data_source
    if run.is_inline:
        data_source = {**data_source, "source": {"type": "file_content", "content": _NO_ITEMS}}
    return _DATA_SOURCE.validate_python(data_source)
