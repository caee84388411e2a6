"""The `run_batch` task: checks the file of a batch, answers its requests, and writes its files."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from service.batches.input_lines import BatchRequest, InputInvalid, check, read_requests
from service.batches.records import Batches, BatchFault, BatchRecord, BatchStatus, BatchTally
from service.batches.request_work import RequestWork, Rules
from service.batches.results import Result, ResultFile, unsent_line, write_file
from service.core import clock
from service.core.storage import StorageMissing
from service.files.curation.dataset_process import DatasetTaskFailed, fetch, scratch_folder
from service.files.records import FileRecord
from service.inference.background.calls import BATCH_PRIORITY, Resources
from service.inference.background.parted_attempt import PartedAttempt
from service.inference.gateway.parameters import RequestRules
from service.models.parsers import ToolCallParsers
from service.models.registry import ModelRegistry
from service.work.task import ResumableTask

log = logging.getLogger(__name__)
_NOT_SENT: Final = {
    BatchStatus.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    BatchStatus.CANCELLED: (
        "batch_cancelled",
        "This request was not executed because the batch was cancelled.",
    ),
}

_RESULTS_MISSING: Final = "Results of the batch are no longer in storage."


class BatchFailed(Exception):
    """The batch cannot continue. The results so far are kept."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.faults = [BatchFault(code=code, message=message, param=param)]


class BatchAttempt(PartedAttempt[BatchRecord, BatchRequest, Result]):
    """Runs one attempt at a batch."""

    def __init__(
        self,
        record: BatchRecord,
        *,
        batches: Batches,
        registry: ModelRegistry,
        request_work: Callable[[BatchRecord], RequestWork],
        max_body_bytes: int,
        concurrency: int,
        folder: Path,
    ) -> None:
        super().__init__(record, batches, batches.files)
        self._registry = registry
        self._request_work = request_work
        self._max_body_bytes = max_body_bytes
        self._concurrency = concurrency
        self._input = folder / "input.jsonl"

    async def _process(self) -> None:
        try:
            if self._record.status is BatchStatus.VALIDATING:
                await self._validate()
            if self._record.status is BatchStatus.IN_PROGRESS:
                await self._answer_all()
        except BatchFailed as e:
            await self._fail(e.faults)

    def _must_end(self, current: BatchRecord) -> bool:
        return current.status is BatchStatus.CANCELLING or clock.now_s() >= current.expires_at

    async def _validate(self) -> None:
        await self._fetch()
        endpoint = self._record.endpoint
        try:
            found = await asyncio.to_thread(check, self._input, endpoint, self._max_body_bytes)
        except InputInvalid as e:
            await self._fail(e.faults)
            return
        if await self._registry.resolve(self._record.project_id, found.model) is None:
            message = f"The model '{found.model[:200]}' does not exist or you do not have access "
            raise BatchFailed("model_not_found", f"{message}to it.", "body.model")
        await self._change(lambda record: record.begin(found.requests, found.model, clock.now_s()))

    async def _fetch(self) -> None:
        """Download the input file unless it is there. Raises BatchFailed."""
        if self._input.exists():
            return
        file_id = self._record.input_file_id
        file = await self._files.get(self._record.project_id, file_id, clock.now_s())
        if file is None:
            message = f"The input file {file_id} was deleted, or it expired."
            raise BatchFailed("file_not_found", message, "input_file_id")
        try:
            await fetch(self._files.storage, file, self._input)
        except DatasetTaskFailed as e:
            raise BatchFailed(e.code, e.message, "input_file_id") from e

    async def _answer_all(self) -> None:
        await self._fetch()
        done = _numbers(await self._store.parts(self._record))
        self.notice(self._record)
        if not self._starts_no_more:
            unanswered = read_requests(self._input, self._max_body_bytes, done)
            work = self._request_work(self._record)
            await self._work_on(unanswered, work.result, self._concurrency)
        if not self.stopped:
            await self._change(_finalize)

    async def _keep(self, outcomes: list[Result]) -> None:
        more = BatchTally()
        for result in outcomes:
            more = more.plus(result.tally)
        parts = {}
        for file in ResultFile:
            if results := [result for result in outcomes if result.file is file]:
                name = await self._writer.write([result.line for result in results], file)
                parts[name] = [result.number for result in results]
        self._record = await self._store.add_parts(
            self._record, lambda record: record.advance(more), parts
        )

    async def _finish(self) -> None:
        parts = await self._store.parts(self._record)
        unsent = await self._unsent(_numbers(parts))
        try:
            written = await self._write_files(parts, unsent)
        except StorageMissing:
            log.exception("%s: results are no longer in storage", self._record.id)
            fault = BatchFault(code="results_missing", message=_RESULTS_MISSING)
            await self._change(lambda record: record.reject([fault], clock.now_s()))
            return
        files = [file for file in written if file is not None]
        output, errors = (None if file is None else file.id for file in written)
        await self._end(
            files, lambda record: record.finish(clock.now_s(), output=output, errors=errors)
        )

    async def _write_files(
        self, parts: Collection[str], unsent: Sequence[bytes]
    ) -> tuple[FileRecord | None, FileRecord | None]:
        """Store the output file and the error file. Raises StorageMissing if a part is gone."""
        output = await write_file(self._files, self._record, ResultFile.OUTPUT, parts)
        try:
            errors = await write_file(self._files, self._record, ResultFile.ERROR, parts, unsent)
        except BaseException:
            if output is not None:
                await self._files.discard(output.project_id, output.id)
            raise
        return output, errors

    async def _unsent(self, done: Collection[int]) -> list[bytes]:
        """Return the lines of the requests that an expired or cancelled batch did not send."""
        reason = _NOT_SENT.get(self._record.ending or self._record.status)
        if reason is None or self._record.total == len(done):
            return []
        try:
            await self._fetch()
        except BatchFailed as e:
            log.info("%s: the requests without a result are unknown: %s", self._record.id, e)
            return []
        requests = read_requests(self._input, self._max_body_bytes, done)
        return [unsent_line(request.custom_id, *reason) for request in requests]

    async def _fail(self, faults: Sequence[BatchFault]) -> None:
        """Fail the batch or, if it may have results, let `_finish` do so."""

        def change(record: BatchRecord) -> BatchRecord:
            if record.status is BatchStatus.VALIDATING:
                return record.reject(faults, clock.now_s())
            return record.finalize(BatchStatus.FAILED, clock.now_s(), faults)

        await self._change(change)


def _finalize(record: BatchRecord) -> BatchRecord:
    is_complete = record.tally.done == record.total
    status = BatchStatus.COMPLETED if is_complete else BatchStatus.EXPIRED
    return record.finalize(status, clock.now_s())


def _numbers(parts: dict[str, list[int]]) -> set[int]:
    return {number for numbers in parts.values() for number in numbers}


class RunBatch(ResumableTask[BatchRecord]):
    """Answers the requests of batches on this worker."""

    transient = (*ResumableTask.transient, DatasetTaskFailed)

    def __init__(self, resources: Resources) -> None:
        self._batches = Batches(resources.files)
        super().__init__(self._batches, resources.leases)
        self._registry = resources.registry
        self._settings = resources.settings
        self._access = resources.access
        self._rules = Rules(
            catalogue=self._registry.catalogue,
            tools=ToolCallParsers(self._settings.tool_call_parser),
            requests=RequestRules.from_settings(self._settings),
            max_body_bytes=self._settings.max_inference_body_bytes,
        )

    async def _clear(self, record: BatchRecord) -> None:
        await self._batches.note_leftover_parts(record)  # a part may have been stored since

    @asynccontextmanager
    async def _attempt(self, record: BatchRecord) -> AsyncIterator[BatchAttempt]:
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            yield BatchAttempt(
                record,
                batches=self._batches,
                registry=self._registry,
                request_work=self._request_work,
                max_body_bytes=self._settings.max_inference_body_bytes,
                concurrency=self._settings.batch_requests_at_once,
                folder=folder,
            )

    def _request_work(self, record: BatchRecord) -> RequestWork:
        # A batch waits for an engine until its window ends.
        calls = self._access.calls(
            record.project_id,
            record.key_id,
            priority=BATCH_PRIORITY,
            patience_s=math.inf,
            is_batch=True,
        )
        assert record.model is not None
        return RequestWork(record.endpoint, record.model, calls, self._rules)
