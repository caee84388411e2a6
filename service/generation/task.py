"""The `generate_rows` task: makes the rows of generations on this worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.scratch import scratch_folder
from service.generation.attempt import Attempt
from service.generation.records import GenerationRecord, Generations
from service.inference.background.access import Resources
from service.inference.background.calls import BATCH_PRIORITY, EngineCalls
from service.work.task import ResumableTask

_PATIENCE_S: Final = 24 * 3600.0  # as long as a batch waits for an engine that is down


class GenerateRows(ResumableTask[GenerationRecord]):
    """Makes the rows of generations on this worker."""

    passing = (*ResumableTask.passing, DeskFailed)

    def __init__(self, resources: Resources) -> None:
        self._generations = Generations(resources.files)
        super().__init__(self._generations, resources.leases)
        self._settings = resources.settings
        self._access = resources.access
        self._desk = Desk(self._settings)

    async def _clear(self, record: GenerationRecord) -> None:
        await self._generations.parts_remain(record)  # a part may have been stored since

    @asynccontextmanager
    async def _attempt(self, record: GenerationRecord) -> AsyncIterator[Attempt]:
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            yield Attempt(
                record,
                generations=self._generations,
                calls=self._calls(record),
                desk=self._desk,
                concurrency=self._settings.generation_requests_at_once,
                folder=folder,
            )

    def _calls(self, record: GenerationRecord) -> EngineCalls:
        return self._access.calls(
            record.project_id, record.key_id, priority=BATCH_PRIORITY, patience_s=_PATIENCE_S
        )
