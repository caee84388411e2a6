"""The `generate_rows` task: makes the rows of generations on this worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.files.curation.child_runner import Desk, DeskFailed
from service.files.curation.scratch import scratch_folder
from service.generation import lifecycle
from service.generation.attempt import Attempt
from service.generation.lifecycle import GenerationSuperseded
from service.generation.records import GenerationFault, GenerationRecord, Generations
from service.inference.background.calls import BATCH_PRIORITY, EngineCalls
from service.inference.background.engine_task import Resources
from service.inference.background.parted_task import PartedTask

_PATIENCE_S: Final = 24 * 3600.0  # as long as a batch waits for an engine that is down


class GenerateRows(PartedTask[GenerationRecord]):
    """Makes the rows of generations on this worker."""

    noun = "generation"
    passing = (*PartedTask.passing, DeskFailed)
    superseded = GenerationSuperseded

    def __init__(self, resources: Resources) -> None:
        self._generations = Generations(resources.files)
        super().__init__(
            resources, self._generations, resources.settings.generation_requests_at_once
        )
        self._desk = Desk(self._settings)

    @asynccontextmanager
    async def _attempt(self, record: GenerationRecord) -> AsyncIterator[Attempt]:
        async with scratch_folder(self._settings.scratch / record.id) as folder:
            yield Attempt(
                record,
                generations=self._generations,
                calls=self._calls(record),
                desk=self._desk,
                folder=folder,
            )

    def _calls(self, record: GenerationRecord) -> EngineCalls:
        return self._access.calls(
            record.project_id, record.key_id, priority=BATCH_PRIORITY, patience_s=_PATIENCE_S
        )

    @staticmethod
    def _released(current: GenerationRecord, own: GenerationRecord) -> GenerationRecord:
        return lifecycle.hand_back(lifecycle.fenced(current, own))

    @staticmethod
    def _given_up(
        current: GenerationRecord, own: GenerationRecord, code: str, message: str, now_s: int
    ) -> GenerationRecord:
        fault = GenerationFault(code=code, message=message)
        return lifecycle.give_up(lifecycle.fenced(current, own), fault, now_s)
