"""The `generate_rows` task: take an attempt of a generation, and end it or hand it back."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager
from typing import Final

from service.core import ids, tracing
from service.core.records import Missing
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.core.watching import Ending, watched
from service.curation.child_runner import Desk, DeskFailed
from service.curation.scratch import scratch_folder
from service.generation import lifecycle
from service.generation.attempt import Attempt
from service.generation.lifecycle import GenerationSuperseded
from service.generation.records import GenerationFault, GenerationRecord, Generations
from service.inference.background.calls import BATCH_PRIORITY, EngineCalls
from service.inference.background.engine_task import EngineTask, Resources

log = logging.getLogger(__name__)
_PATIENCE_S: Final = 24 * 3600.0  # as long as a batch waits for an engine that is away


class GenerateRows(EngineTask[GenerationRecord]):
    """Makes the rows of generations on this worker."""

    superseded = GenerationSuperseded

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._generations = Generations(self._files)
        self._desk = Desk(self._settings)

    async def _find(self, project_id: str, subject: str) -> GenerationRecord | None:
        return await self._generations.get(project_id, subject)

    async def _do(self, record: GenerationRecord, lease_lost: asyncio.Event) -> None:
        log.info("%s: attempt %d begins", record.id, record.attempt)
        with self._span(record):
            try:
                async with scratch_folder(self._settings.scratch / record.id) as folder:
                    attempt = Attempt(
                        record,
                        generations=self._generations,
                        calls=self._calls(record),
                        desk=self._desk,
                        folder=folder,
                    )
                    await self._watched(record, attempt, lease_lost)
            except (Missing, GenerationSuperseded):
                await self._generations.parts_remain(record)  # one may have been stored since
                raise
            except (StorageError, DeskFailed, *REDIS_ERRORS):
                raise  # continued by another attempt
            except Exception:
                # An internal error: report it once instead of retrying forever.
                log.exception("%s failed", record.id)
                await self._give_up(record)

    async def _watched(
        self, record: GenerationRecord, attempt: Attempt, lease_lost: asyncio.Event
    ) -> None:
        """Work until the generation ends, or the lease, the attempt or the worker does."""

        async def is_ours() -> bool:
            current = await self._find(record.project_id, record.id)
            if current is not None:
                attempt.notice(current)
            return self._is_current(current, record.attempt)

        ending = await watched(
            asyncio.create_task(attempt.run(self._settings.generation_requests_at_once)),
            draining=self.draining,
            lease_lost=lease_lost,
            is_ours=is_ours,
            stop=attempt.stop,
        )
        if attempt.ended:
            log.info("%s: attempt %d ended the generation", record.id, record.attempt)
        elif ending is Ending.LOST:
            raise GenerationSuperseded(record.id)
        else:
            await self._hand_back(record)

    async def _hand_back(self, record: GenerationRecord) -> None:
        after = await self._generations.change(
            record, lambda current: lifecycle.hand_back(lifecycle.fenced(current, record))
        )
        await self._generations.enqueue(after)
        log.info("%s: attempt %d is handed back", record.id, record.attempt)

    async def _give_up(self, record: GenerationRecord) -> None:
        message = f"The service failed on this generation. Give the operator its ID: {record.id}."
        fault = GenerationFault(code="internal_error", message=message)
        after = await self._generations.change(
            record,
            lambda current: lifecycle.give_up(
                lifecycle.fenced(current, record), fault, ids.now_s()
            ),
        )
        if not after.is_final:
            await self._generations.enqueue(after)

    def _calls(self, record: GenerationRecord) -> EngineCalls:
        return self._access.calls(
            record.project_id, record.key_id, priority=BATCH_PRIORITY, patience_s=_PATIENCE_S
        )

    @staticmethod
    def _span(record: GenerationRecord) -> AbstractContextManager[object]:
        facts: dict[str, tracing.Value] = {"generation": record.id, "attempt": record.attempt}
        return tracing.span("generation.attempt", parent=record.trace, kind="consumer", **facts)
