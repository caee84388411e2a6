"""The `run_batch` task: answers the requests of batches on this worker."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.batches.attempt import Attempt
from service.batches.records import Batches, BatchRecord
from service.batches.request_work import RequestWork, Rules
from service.files.curation.child_runner import DeskFailed
from service.files.curation.scratch import scratch_folder
from service.inference.background.access import Resources
from service.inference.background.calls import BATCH_PRIORITY
from service.inference.gateway.checks import RequestRules
from service.models.tools import ToolCallParsers
from service.work.task import ResumableTask


class RunBatch(ResumableTask[BatchRecord]):
    """Answers the requests of batches on this worker."""

    passing = (*ResumableTask.passing, DeskFailed)

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
        await self._batches.parts_remain(record)  # a part may have been stored since

    @asynccontextmanager
    async def _attempt(self, record: BatchRecord) -> AsyncIterator[Attempt]:
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            yield Attempt(
                record,
                batches=self._batches,
                registry=self._registry,
                work_on=self._work_on,
                max_body_bytes=self._settings.max_inference_body_bytes,
                concurrency=self._settings.batch_requests_at_once,
                folder=folder,
            )

    def _work_on(self, record: BatchRecord) -> RequestWork:
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
