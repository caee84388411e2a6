"""The reconciler's part that deletes what has expired."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from service.core import clock
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.files.records import EXPIRING
from tests.faults.actor.base import Actor
from tests.faults.actor.files import checked_file
from tests.faults.invariants import listed
from tests.faults.world import World


async def _expired(world: World) -> None:
    """Upload a file, and have it expire."""
    await checked_file(world)
    project, file_id = world.notes["project"], world.notes["file"]
    await world.app.state.files.records.update(
        project, file_id, lambda file: file.model_copy(update={"expires_at": 1})
    )
    await world.redis.zadd(EXPIRING, {f"{project}/{file_id}": 1})
    world.deleted.add(file_id)


async def _sweep(world: World) -> None:
    """Delete it. The reconciler survives what the test injects."""
    with contextlib.suppress(*REDIS_ERRORS, StorageError):
        await world.worker._reconciler._eraser.erase_expired(clock.now_s())


async def _a_receipt_is_there(world: World) -> AsyncIterator[str]:
    receipts = await listed(world, "/v1/erasure_receipts")
    found = [one for one in receipts if one["subject_id"] == world.notes["file"]]
    if len(found) != 1:
        yield f"an expired file has {len(found)} receipts"
    for receipt in found:
        if (receipt["status"], receipt["requested_by"]) != ("completed", "expires_after"):
            yield f"the receipt of an expired file is {receipt['status']}"


EXPIRY = (Actor("expire", _sweep, _expired, again=_sweep, check=_a_receipt_is_there),)
