"""Where a job's artifacts are in storage, and how a checkpoint goes there and back.

    {project}/jobs/{job}/a{attempt}/step-{N}/adapter   what is served; kept
    {project}/jobs/{job}/a{attempt}/step-{N}/state     what a resume needs beside it
    {project}/jobs/{job}/a{attempt}/adapter            the job's result

The attempt stands in every path: an attempt that was taken for dead and comes back can
overwrite nothing of its successor.
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
    """A checkpoint that is whole in storage."""

    adapter: str
    state: str
    manifest: Manifest


async def put_checkpoint(
    storage: Storage,
    job: JobRecord,
    attempt: int,
    step: int,
    folder: Path,
    meta: dict[str, Any],
) -> StoredCheckpoint:
    """Upload a trainer's checkpoint folder in its two parts, the adapter's manifest last."""
    prefix = f"{_prefix(job, attempt)}/step-{step}"
    await storage.put_folder(
        f"{prefix}/state", folder, only=lambda name: name not in _ADAPTER_FILES
    )
    manifest = await storage.put_folder(
        f"{prefix}/adapter", folder, meta=meta, only=_ADAPTER_FILES.__contains__
    )
    return StoredCheckpoint(f"{prefix}/adapter", f"{prefix}/state", manifest)


async def get_checkpoint(storage: Storage, record: CheckpointRecord, target: Path) -> Path:
    """Bring a checkpoint back into the one folder that the trainer resumes from."""
    await storage.get_folder(record.state, target)
    adapter = target.with_name(f"{target.name}-adapter")
    await storage.get_folder(record.adapter, adapter)
    for file in adapter.iterdir():
        await asyncio.to_thread(shutil.move, file, target / file.name)
    adapter.rmdir()
    return target


async def put_adapter(
    storage: Storage, job: JobRecord, attempt: int, folder: Path, meta: dict[str, Any]
) -> tuple[str, Manifest]:
    """Upload the job's result; its place and manifest are returned."""
    prefix = f"{_prefix(job, attempt)}/adapter"
    return prefix, await storage.put_folder(prefix, folder, meta=meta)


def _prefix(job: JobRecord, attempt: int) -> str:
    return f"{job.project_id}/jobs/{job.id}/a{attempt}"
