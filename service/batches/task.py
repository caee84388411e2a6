"""The `run_batch` task: take an attempt of a batch under a lease, and end it or hand it back."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import AbstractContextManager

from service.batches import lifecycle
from service.batches.attempt import Attempt
from service.batches.lifecycle import BatchSuperseded
from service.batches.records import Batches, BatchFault, BatchRecord
from service.batches.request_work import RequestWork, Rules
from service.core import ids, tracing
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.core.watching import Ending, watched
from service.curation.child_runner import DeskFailed
from service.curation.scratch import scratch_folder
from service.inference.background.calls import BATCH_PRIORITY
from service.inference.background.engine_task import EngineTask, Resources
from service.models.tools import ToolCallParsers

log = logging.getLogger(__name__)


class RunBatch(EngineTask[BatchRecord]):
    """Answers the requests of batches on this worker."""

    superseded = BatchSuperseded

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._batches = Batches(self._files)
        self._rules = Rules(
            catalogue=self._registry.catalogue,
            tools=ToolCallParsers(self._settings.tool_call_parser),
            max_answers=self._settings.max_answers_per_request,
            max_body_bytes=self._settings.max_inference_body_bytes,
        )

    async def _find(self, project_id: str, subject: str) -> BatchRecord | None:
        return await self._batches.get(project_id, subject)

    async def _do(self, record: BatchRecord, lease_lost: asyncio.Event) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        with self._span(record):
            try:
                async with scratch_folder(self._settings.scratch / record.id) as folder:
                    attempt = Attempt(
                        record,
                        batches=self._batches,
                        registry=self._registry,
                        work_on=self._work_on,
                        max_body_bytes=self._settings.max_inference_body_bytes,
                        folder=folder,
                    )
                    await self._watched(record, attempt, lease_lost)
            except (Missing, BatchSuperseded):
                await self._batches.parts_remain(record)  # a part may have been stored since
                raise
            except (StorageError, DeskFailed, *REDIS_ERRORS):
                raise  # continued by another attempt
            except Exception:
                # An internal error: report it once instead of retrying forever.
                log.exception("%s failed", record.id)
                await self._give_up(record)

    async def _watched(
        self, record: BatchRecord, attempt: Attempt, lease_lost: asyncio.Event
    ) -> None:
        """Work on the batch until it ends, or the lease, the attempt or the worker does."""

        async def is_ours() -> bool:
            current = await self._find(record.project_id, record.id)
            if current is not None:
                attempt.notice(current)
            return self._is_current(current, record.attempt)

        ending = await watched(
            asyncio.create_task(attempt.run(self._settings.batch_requests_at_once)),
            draining=self.draining,
            lease_lost=lease_lost,
            is_ours=is_ours,
            stop=attempt.stop,
        )
        if attempt.ended:
            log.info("%s: attempt %d ended the batch", record.id, record.attempt)
        elif ending is Ending.LOST:
            raise BatchSuperseded(record.id)
        else:
            await self._hand_back(record)

    async def _hand_back(self, record: BatchRecord) -> None:
        after = await self._batches.change(
            record, lambda current: lifecycle.hand_back(lifecycle.fenced(current, record))
        )
        await self._batches.enqueue(after)
        log.info("%s: attempt %d is handed back", record.id, record.attempt)

    async def _give_up(self, record: BatchRecord) -> None:
        message = f"The service failed on this batch. Give the operator its ID: {record.id}."
        fault = BatchFault(code="internal_error", message=message)
        after = await self._batches.change(
            record,
            lambda current: lifecycle.give_up(
                lifecycle.fenced(current, record), fault, ids.now_s()
            ),
        )
        if not after.is_final:
            await self._batches.enqueue(after)

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
    def _span(record: BatchRecord) -> AbstractContextManager[object]:
        facts: dict[str, tracing.Value] = {"batch": record.id, "attempt": record.attempt}
        return tracing.span("batch.attempt", parent=record.trace, kind="consumer", **facts)
