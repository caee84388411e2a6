"""Removal of what a job that has ended leaves in storage: all but the adapters that are served.

States to resume from are no longer needed. An attempt that was killed, or that lost the job while
it was storing a checkpoint, leaves folders that no record names.
"""

from __future__ import annotations

import re

from service.core.leases import Leases
from service.core.storage import Storage
from service.core.storage.leftovers import Leftovers
from service.jobs.records import FINAL, JobRecord, Jobs

_FOLDER = re.compile(r"(?P<folder>.+/a\d+(?:-\w+)?/(?:(?:step-|rounds/)\d+/)?(?:adapter|state))/.+")


async def sweep(jobs: Jobs, storage: Storage, leases: Leases, now_s: int) -> None:
    """Remove the leftovers of every job that has ended and that no worker still holds."""
    leftovers = Leftovers(jobs.redis, "jobs")
    for member in await leftovers.due(now_s):
        project_id, job_id = member.split("/", 1)
        job = await jobs.get(project_id, job_id)
        if job is not None and job.status in FINAL:
            if await leases.is_held(job_id):
                continue
            await _remove(jobs, storage, job)
        await leftovers.removed(member)


async def _remove(jobs: Jobs, storage: Storage, job: JobRecord) -> None:
    prefix = _prefix(job)
    served = await served_by(jobs, job)
    if not served:
        await storage.delete_prefix(prefix)
        return
    found = {folder for key in await storage.keys(prefix) if (folder := folder_of(key))}
    for folder in sorted(found - served):
        await storage.delete_prefix(folder)


async def served_by(jobs: Jobs, job: JobRecord) -> set[str]:
    """Return the folders of the job's adapters, also of those that were deleted since."""
    checkpoints = await jobs.checkpoints(job.id).page(job.project_id, limit=100)
    adapters = {checkpoint.adapter for checkpoint in checkpoints.items}
    if job.fine_tuned_model is not None:
        adapters.add(job.adapter or f"{_prefix(job)}/a{job.attempt}/adapter")
    return adapters


def folder_of(key: str) -> str | None:
    """Return the folder of the adapter or state that an object of a job belongs to."""
    found = _FOLDER.fullmatch(key)
    return None if found is None else found["folder"]


def _prefix(job: JobRecord) -> str:
    return f"{job.project_id}/jobs/{job.id}"
