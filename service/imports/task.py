"""Import an adapter: unpack its archive, match its tensors with the base model, register it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio.client import Pipeline

from service.config import Settings
from service.core import clock
from service.datasets.contract.tasks import UnpackedAdapter, UnpackSpec
from service.files.curation.dataset_process import DatasetProcess, DatasetTaskFailed, fetch
from service.files.curation.outputs import Outputs, StoredAdapter
from service.files.curation.records import Task, Tasks
from service.files.records import FileRecord, Files
from service.imports.records import ImportOptions
from service.models.adapter_check import (
    AdapterMismatch,
    BaseLayout,
    check_adapter,
)
from service.models.adapters import note_rank, rank_of
from service.models.catalogue import BaseModelEntry
from service.models.model_folder import folder_fault
from service.models.records import ModelOrigin, ModelRecord
from service.models.registry import ModelRegistry
from service.training.contract.adapter_config import CONFIG, WEIGHTS

log = logging.getLogger(__name__)
# The engine uses the base model's tokenizer and template, so those of the archive are not kept.
_STORED = frozenset({CONFIG, WEIGHTS, "README.md"})


class ImportAdapter:
    """Executes import tasks."""

    def __init__(self, files: Files, registry: ModelRegistry, settings: Settings) -> None:
        self._files = files
        self._registry = registry
        self._tasks = Tasks(files.redis)
        self._outputs = Outputs(files)
        self._dataset_process = DatasetProcess(settings)
        self._max_unpacked_bytes = settings.max_unpacked_bytes
        self._max_rank = settings.lora_rank_limit

    async def __call__(self, task: Task, file: FileRecord, folder: Path) -> None:
        """Import the adapter; its model and the task's end are committed together.

        Raises DatasetTaskFailed.
        """
        options = msgspec.convert(task.options, ImportOptions)
        entry = await self._entry(options.base_model)
        unpacked = await self._unpack(file, folder, entry)
        adapter = folder / "adapter"
        rank = await self._check(adapter, entry)
        origin = ModelOrigin(
            import_id=task.id,
            archive_sha256=file.sha256,
            base_model_name_or_path=unpacked.base_model_name,
        )
        stored = await self._outputs.store_adapter(
            task, adapter, meta=_meta(task, options, origin), only=_STORED.__contains__
        )
        record = ModelRecord(
            id=options.model,
            project_id=task.project_id,
            created_at=clock.now_s(),
            base_model=entry.id,
            origin=origin,
            artifact=stored.folder,
            digest=stored.manifest.digest,
            step=0,
            created_by=options.created_by or task.key_id,
        )
        await self._finish(task, record, rank, stored, _result(record, unpacked))

    async def _entry(self, base_model: str) -> BaseModelEntry:
        entry = self._registry.catalogue.get(base_model)
        if entry is None:
            raise DatasetTaskFailed(
                "model_not_found", f"The base model {base_model} is no longer in the catalog."
            )
        if (fault := await asyncio.to_thread(folder_fault, entry.path)) is not None:
            log.error("the base model %s cannot be read by this worker: %s", base_model, fault)
            raise DatasetTaskFailed(
                "base_model_unavailable",
                f"The worker cannot read the base model {base_model}, which the adapter is "
                "compared with. The worker's log has the cause: ask the operator.",
            )
        return entry

    async def _unpack(
        self, file: FileRecord, folder: Path, entry: BaseModelEntry
    ) -> UnpackedAdapter:
        path = await fetch(self._files.storage, file, folder / "archive")
        # A compressed archive is unpacked twice: to a tar, and to files.
        free = shutil.disk_usage(folder).free // 2
        spec = UnpackSpec(
            path=path,
            result=folder / "result.json",
            out=folder / "adapter",
            base=entry.path,
            base_name=entry.id,
            max_bytes=min(self._max_unpacked_bytes, free),
        )
        return await self._dataset_process.run(spec)

    async def _check(self, adapter: Path, entry: BaseModelEntry) -> int:
        """Match the adapter with the base model, and return its rank. Raises DatasetTaskFailed."""

        def check() -> int:
            check_adapter(adapter, BaseLayout.read(entry.path), max_rank=self._max_rank)
            return rank_of(adapter)

        try:
            return await asyncio.to_thread(check)
        except AdapterMismatch as e:
            raise DatasetTaskFailed(
                "adapter_mismatch",
                f"The adapter cannot be served with {entry.id}: {e}. {e.fix}",
            ) from e

    async def _finish(
        self,
        task: Task,
        record: ModelRecord,
        rank: int,
        stored: StoredAdapter,
        result: dict[str, Any],
    ) -> None:
        def also(pipe: Pipeline) -> None:
            self._registry.add(pipe, record)
            note_rank(pipe, record.base_model, rank)
            self._outputs.register_adapter(pipe, task, stored)

        async with self._outputs.registering(task, stored.id):
            await self._tasks.finish(task, result=result, also=also)


def _meta(task: Task, options: ImportOptions, origin: ModelOrigin) -> dict[str, Any]:
    """Return the data needed to rebuild the model's record from storage alone."""
    return {
        "model": options.model,
        "base_model": options.base_model,
        "project_id": task.project_id,
        "origin": origin.model_dump(mode="json"),
        "created_by": options.created_by or task.key_id,
        "step": 0,
    }


def _result(record: ModelRecord, unpacked: UnpackedAdapter) -> dict[str, Any]:
    findings = [
        {"severity": str(i.severity), "code": i.code, "message": i.message, "fix": i.fix}
        for i in unpacked.findings
    ]
    return {
        "model": record.id,
        "base_model_name_or_path": unpacked.base_model_name,
        "skipped_files": unpacked.skipped,
        "findings": findings,
    }
