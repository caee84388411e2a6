"""Storage layout of job artifacts, with upload and download of checkpoints.

    {project}/jobs/{job}/{attempt}/step-{N}/adapter   served; kept
    {project}/jobs/{job}/{attempt}/step-{N}/state     also needed to resume
    {project}/jobs/{job}/{attempt}/adapter            the job's result

Every path includes the attempt, such as `a1` or `a2-4k9x0d2m`: its number and nonce. So an attempt
that was presumed dead and comes back cannot overwrite the files of its successor.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.core.storage import Manifest, Storage
from service.jobs.attempt.provenance import PASSPORT
from service.jobs.records import CheckpointRecord, JobRecord

_ADAPTER_FILES = frozenset({"adapter_config.json", "adapter_model.safetensors", PASSPORT})


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint that is completely stored."""

    adapter: str
    state: str
    manifest: Manifest


async def put_checkpoint(
    storage: Storage,
    job: JobRecord,
    step: int,
    folder: Path,
    meta: dict[str, Any],
) -> StoredCheckpoint:
    """Upload a trainer's checkpoint folder in two parts; the adapter's manifest is written last."""
    prefix = f"{_prefix(job)}/step-{step}"
    await storage.put_folder(
        f"{prefix}/state", folder, only=lambda name: name not in _ADAPTER_FILES
    )
    manifest = await storage.put_folder(
        f"{prefix}/adapter", folder, meta=meta, only=_ADAPTER_FILES.__contains__
    )
    return StoredCheckpoint(f"{prefix}/adapter", f"{prefix}/state", manifest)


async def get_checkpoint(storage: Storage, record: CheckpointRecord, target: Path) -> Path:
    """Download both parts of a checkpoint into one folder for the trainer to resume from."""
    await storage.get_folder(record.state, target)
    adapter = target.with_name(f"{target.name}-adapter")
    await storage.get_folder(record.adapter, adapter)
    for file in adapter.iterdir():
        await asyncio.to_thread(shutil.move, file, target / file.name)
    adapter.rmdir()
    return target


async def put_adapter(
    storage: Storage, job: JobRecord, folder: Path, meta: dict[str, Any]
) -> tuple[str, Manifest]:
    """Upload the job's final adapter and return its storage prefix and manifest."""
    prefix = f"{_prefix(job)}/adapter"
    return prefix, await storage.put_folder(prefix, folder, meta=meta)


def _prefix(job: JobRecord) -> str:
    return f"{job.project_id}/jobs/{job.id}/{job.attempt_name}"
