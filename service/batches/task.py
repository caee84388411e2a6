"""The `run_batch` task: answers the requests of batches on this worker."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.batches import lifecycle
from service.batches.attempt import Attempt
from service.batches.lifecycle import BatchSuperseded
from service.batches.records import Batches, BatchFault, BatchRecord
from service.batches.request_work import RequestWork, Rules
from service.files.curation.child_runner import DeskFailed
from service.files.curation.scratch import scratch_folder
from service.inference.background.calls import BATCH_PRIORITY
from service.inference.background.engine_task import Resources
from service.inference.background.parted_task import PartedTask
from service.inference.gateway.parameters import RequestRules
from service.models.parsers import ToolCallParsers


class RunBatch(PartedTask[BatchRecord]):
    """Answers the requests of batches on this worker."""

    noun = "batch"
    passing = (*PartedTask.passing, DeskFailed)
    superseded = BatchSuperseded

    def __init__(self, resources: Resources) -> None:
        self._batches = Batches(resources.files)
        super().__init__(resources, self._batches, resources.settings.batch_requests_at_once)
        self._rules = Rules(
            catalogue=self._registry.catalogue,
            tools=ToolCallParsers(self._settings.tool_call_parser),
            requests=RequestRules.from_settings(self._settings),
            max_body_bytes=self._settings.max_inference_body_bytes,
        )

    @asynccontextmanager
    async def _attempt(self, record: BatchRecord) -> AsyncIterator[Attempt]:
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            yield Attempt(
                record,
                batches=self._batches,
                registry=self._registry,
                work_on=self._work_on,
                max_body_bytes=self._settings.max_inference_body_bytes,
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

    @staticmethod
    def _released(current: BatchRecord, own: BatchRecord) -> BatchRecord:
        return lifecycle.hand_back(lifecycle.fenced(current, own))

    @staticmethod
    def _given_up(
        current: BatchRecord, own: BatchRecord, code: str, message: str, now_s: int
    ) -> BatchRecord:
        fault = BatchFault(code=code, message=message)
        return lifecycle.give_up(lifecycle.fenced(current, own), fault, now_s)
