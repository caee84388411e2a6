"""Publishes the adapter of each round, so that engines can sample from it.

    {project}/jobs/{job}/{attempt}/rounds/{n}/adapter    of the current round alone

An attempt is noted as a leftover before the bytes of a round are written, until they are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from service.core import clock
from service.core.encryption.signing import SigningKey
from service.core.redis import REDIS_ERRORS, Client
from service.core.storage import Storage, StorageError
from service.core.storage.leftovers import Leftovers
from service.jobs.records import JobRecord, Jobs, Status
from service.models.adapters import Draft, draft_name, put_draft, remove_draft, sign_adapter

_CLOSE_S = 10.0
_FILES = frozenset({"adapter_config.json", "adapter_model.safetensors"})


class Policy:
    """The adapter that an attempt currently samples from."""

    def __init__(
        self, job: JobRecord, redis: Client, storage: Storage, signer: SigningKey | None = None
    ) -> None:
        self._job = job
        self._signer = signer
        self._redis = redis
        self._storage = storage
        self._leftovers = round_leftovers(redis)
        self._folder = f"{job.project_id}/jobs/{job.id}/{job.attempt_name}/rounds"
        self._number = 0
        self._name: str | None = None

    async def publish(self, adapter: Path | None) -> str:
        """Replace the adapter, and return the name that engines know it by.

        Without an adapter, this is the name of the base model.
        """
        await self.withdraw()
        if adapter is None:
            return self._job.model
        self._number += 1
        name = draft_name(self._job.id, self._job.attempt_name, self._number)
        await self._leftovers.noted(_member(self._job), clock.now_s())
        self._name = name
        artifact = f"{self._folder}/{self._number}/adapter"
        manifest = await self._storage.put_folder(artifact, adapter, only=_FILES.__contains__)
        signature = None
        if self._signer is not None:
            signature = sign_adapter(self._signer, name, self._job.model, manifest.digest)
        draft = Draft(self._job.model, artifact, manifest.digest, signature)
        await put_draft(self._redis, name, draft)
        return name

    async def withdraw(self) -> None:
        """Remove the adapter from the engines and from storage."""
        if self._name is None:
            return
        await remove_draft(self._redis, self._name)
        await self._storage.delete_prefix(self._folder)
        await self._leftovers.removed(_member(self._job))
        self._name = None

    async def close(self) -> None:
        """Remove the adapter. If that fails now, the reconciler does it."""
        with contextlib.suppress(StorageError, TimeoutError, *REDIS_ERRORS):
            async with asyncio.timeout(_CLOSE_S):  # storage operations wait much longer
                await self.withdraw()


def round_leftovers(redis: Client) -> Leftovers:
    """Return the store of the attempts whose rounds may be in storage."""
    return Leftovers(redis, "rounds")


async def remove_rounds(jobs: Jobs, storage: Storage, now_s: int) -> None:
    """Remove the rounds of each attempt that is no longer the running one of its job."""
    noted = round_leftovers(jobs.redis)
    for member in await noted.due(now_s):
        project_id, job_id, attempt = member.split("/", 2)
        job = await jobs.get(project_id, job_id)
        if job is not None and job.status is Status.RUNNING and job.attempt_name == attempt:
            continue
        await storage.delete_prefix(f"{project_id}/jobs/{job_id}/{attempt}/rounds")
        await noted.removed(member)


def _member(job: JobRecord) -> str:
    return f"{job.project_id}/{job.id}/{job.attempt_name}"
