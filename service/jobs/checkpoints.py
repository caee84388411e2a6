"""Checkpoints and adapters of a job in storage: upload, resuming, and removal.

    {project}/jobs/{job}/{attempt}/step-{N}/adapter   served; kept
    {project}/jobs/{job}/{attempt}/step-{N}/state     also needed to resume
    {project}/jobs/{job}/{attempt}/adapter            the job's result
    {project}/jobs/{job}/{attempt}/adapter/replay/{N}   the state of step N, from which a replay
                                                      computes the next steps again

Every path includes the attempt, such as `a1` or `a2-4k9x0d2m`: its number and nonce. So an attempt
that was presumed dead and comes back cannot overwrite the files of its successor.

Each adapter has a passport: digests of the training rows, the base model, the chat template and the
trainer's spec, the environment, and metrics, but no data. Two adapters whose passports differ only
in time were made from the same inputs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import re
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from service import __version__
from service.core.leases import Leases
from service.core.storage import Manifest, Storage, StorageCorrupt, StorageMissing
from service.core.storage.leftovers import Leftovers
from service.fleet.workers import Capacity
from service.jobs.records import CheckpointRecord, JobRecord, Jobs
from service.models.catalogue import BaseModelEntry
from service.models.model_folder import template_digest
from service.training.contract.replay import REPLAY_FOLDER
from service.training.model.base_folder import base_digest

PASSPORT = "passport.json"
_ADAPTER_FILES = frozenset({"adapter_config.json", "adapter_model.safetensors", PASSPORT})
# The number of latest checkpoints that can be resumed from: a second one in case the latest turns
# out to be unreadable.
_STATES_KEPT = 2
_FOLDER = re.compile(r"(?P<folder>.+/a\d+(?:-\w+)?/(?:(?:step-|rounds/)\d+/)?(?:adapter|state))/.+")
# Those on which the results of a training depend.
_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "tokenizers", "safetensors")
# Fields of the spec that depend on the worker or the attempt, not on the adapter.
_NOT_IN_PASSPORT = {"base_model_path", "training_file", "validation_file", "output_dir",
                    "resume_from", "warm_start_path", "attempt", "job_id",
                    "max_memory_bytes", "replay_windows", "replay_until"}  # fmt: skip


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
    prefix = f"{_attempt_folder(job)}/step-{step}"
    await storage.put_folder(
        f"{prefix}/state", folder, only=lambda name: name not in _ADAPTER_FILES
    )
    manifest = await storage.put_folder(
        f"{prefix}/adapter", folder, meta=meta, only=_ADAPTER_FILES.__contains__
    )
    return StoredCheckpoint(f"{prefix}/adapter", f"{prefix}/state", manifest)


async def get_newest_checkpoint(
    storage: Storage,
    jobs: Jobs,
    job: JobRecord,
    folder: Path,
    *,
    warn: Callable[[str], Awaitable[None]],
) -> Path | None:
    """Download the newest intact checkpoint, from which the training resumes, if there is one.

    `warn` is called with a message about each newer checkpoint that cannot be used.
    """
    page = await jobs.checkpoints(job.id).page(job.project_id, limit=100)
    for record in sorted(page.items, key=lambda c: c.step, reverse=True):
        try:
            return await _download(storage, record, folder / f"checkpoint-{record.step}")
        except (StorageMissing, StorageCorrupt) as e:
            await warn(f"Checkpoint {record.step} cannot be used: {e}")
    return None


async def forget_newest_checkpoint(jobs: Jobs, job: JobRecord) -> None:
    """Delete the record of an unreadable checkpoint, so that the next attempt uses an older one."""
    page = await jobs.checkpoints(job.id).page(job.project_id, limit=100)
    if page.items:
        newest = max(page.items, key=lambda c: c.step)
        await jobs.checkpoints(job.id).delete(newest.project_id, newest.id)


async def delete_old_states(storage: Storage, older: Sequence[CheckpointRecord]) -> None:
    """Delete the resume states of checkpoints, except the newest of those `older` than the latest.

    The adapters stay, because they are models.
    """
    by_age = sorted(older, key=lambda c: c.step, reverse=True)
    for record in by_age[_STATES_KEPT - 1 :]:
        await storage.delete_prefix(record.state)


async def _download(storage: Storage, record: CheckpointRecord, target: Path) -> Path:
    """Download both parts of a checkpoint into one folder."""
    await storage.get_folder(record.state, target)
    adapter = target.with_name(f"{target.name}-adapter")
    await storage.get_folder(record.adapter, adapter)
    for file in adapter.iterdir():
        await asyncio.to_thread(shutil.move, file, target / file.name)
    adapter.rmdir()
    return target


async def put_adapter(
    storage: Storage,
    job: JobRecord,
    folder: Path,
    meta: dict[str, Any],
    replay: Path | None = None,
) -> tuple[str, Manifest]:
    """Upload the job's final adapter and return its storage prefix and manifest.

    `replay` is the folder with the states for replays.
    """
    prefix = f"{_attempt_folder(job)}/adapter"
    for point in sorted(replay.iterdir()) if replay else ():
        await storage.put_folder(f"{prefix}/{REPLAY_FOLDER}/{point.name}", point)
    return prefix, await storage.put_folder(prefix, folder, meta=meta)


async def remove_leftovers(jobs: Jobs, storage: Storage, leases: Leases, now_s: int) -> None:
    """Remove what jobs that have ended left in storage: all but the adapters that are served.

    States to resume from are no longer needed. An attempt that was killed, or that lost the job
    while it was storing a checkpoint, leaves folders that no record names. A job that a worker
    still holds is left for a later call.
    """
    leftovers = Leftovers(jobs.redis, "jobs")
    for member in await leftovers.due(now_s):
        project_id, job_id = member.split("/", 1)
        job = await jobs.get(project_id, job_id)
        if job is not None and job.is_final:
            if await leases.is_held(job_id):
                continue
            await _remove(jobs, storage, job)
        await leftovers.removed(member)


async def _remove(jobs: Jobs, storage: Storage, job: JobRecord) -> None:
    prefix = _job_folder(job)
    served = await adapters_of(jobs, job)
    if not served:
        await storage.delete_prefix(prefix)
        return
    found = {folder for key in await storage.keys(prefix) if (folder := folder_of(key))}
    for folder in sorted(found - served):
        await storage.delete_prefix(folder)


async def adapters_of(jobs: Jobs, job: JobRecord) -> set[str]:
    """Return the folders of the job's adapters, also of those that were deleted since."""
    checkpoints = await jobs.checkpoints(job.id).page(job.project_id, limit=100)
    adapters = {checkpoint.adapter for checkpoint in checkpoints.items}
    if job.fine_tuned_model is not None:
        adapters.add(job.adapter or f"{_job_folder(job)}/a{job.attempt}/adapter")
    return adapters


def folder_of(key: str) -> str | None:
    """Return the folder of the adapter or state that an object of a job belongs to."""
    found = _FOLDER.fullmatch(key)
    return None if found is None else found["folder"]


def _job_folder(job: JobRecord) -> str:
    return f"{job.project_id}/jobs/{job.id}"


def _attempt_folder(job: JobRecord) -> str:
    return f"{_job_folder(job)}/{job.attempt_name}"


def write_passport(
    folder: Path,
    *,
    entry: BaseModelEntry,
    spec_file: Path,
    data: dict[str, Any],
    run: Any,
    environment: dict[str, str | None],
) -> None:
    """Write the passport of the adapter in `folder`.

    `data` has the file IDs and digests by role. `run` is the trainer's message about the adapter.
    `environment` has what only the worker knows, such as its device.
    """
    spec = passport_spec(json.loads(spec_file.read_text("utf-8")))
    passport = {
        "version": 1,
        "base_model": {
            "id": entry.id,
            "sha256": base_digest(entry.path),
            "chat_template_sha256": template_digest(entry.path),
        },
        "data": data,
        "spec": spec,
        "spec_sha256": hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest(),
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            **environment,
        },
        "libraries": {"finetuned": __version__, **all_versions()},
        "run": run,
    }
    (folder / PASSPORT).write_text(json.dumps(passport, indent=2) + "\n", encoding="utf-8")


def all_versions() -> dict[str, str]:
    """Return the versions of all installed packages, by name."""
    return dict(sorted((found.name.lower(), found.version) for found in metadata.distributions()))


def passport_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a spec that a passport has; those of hyperparameters are beside them."""
    fields = {**spec["hyperparameters"], **spec}
    return {k: v for k, v in fields.items() if k not in {*_NOT_IN_PASSPORT, "hyperparameters"}}


def passport_machine(machine: Capacity) -> dict[str, str | None]:
    """Return what a passport says about the machine: two that are equal should compute alike."""
    return {"device": machine.device, "device_name": machine.device_name}


def own_libraries() -> dict[str, str]:
    """Return the versions of the libraries that a training depends on."""
    return {"finetuned": __version__, **installed_versions(_LIBRARIES)}


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed, by name."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
