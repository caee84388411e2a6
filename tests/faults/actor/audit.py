"""The worker's part that seals the audit log."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from service.audit.sealer import HEAD, Overtaken
from service.audit.search import AuditLog, Filters
from service.audit.verify import verify
from service.core.encryption.signing import InstallationKey
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.web.audit_events import AuditEvent
from tests.faults.actor.base import Actor, make
from tests.faults.world import World

_CREATED = Filters(event_types=frozenset({AuditEvent.API_KEY_CREATED}))


async def _seal(world: World) -> None:
    """Seal what is there. The loop survives what the test injects."""
    sealer = world.worker._audit.sealer()
    with contextlib.suppress(*REDIS_ERRORS, StorageError, Overtaken):
        await sealer.resume()
        await sealer.seal(now=True)


async def _create_key(world: World) -> None:
    path = f"/v1/organization/projects/{world.notes['project']}/api_keys"
    await make(world, path, "key", json={"name": "audited"})


async def _half_is_sealed(world: World) -> None:
    await _create_key(world)
    await _seal(world)
    await _create_key(world)


async def _each_entry_is_there_once(world: World) -> AsyncIterator[str]:
    storage = world.app.state.storage
    log = AuditLog(world.redis, storage)
    found = await log.find(_CREATED, after=None, before=None, limit=100)
    if len(found.entries) != 2:
        yield f"the audit log has {len(found.entries)} entries about 2 keys"
    key = InstallationKey(world.settings.signing_key).get().public
    head = await world.redis.get(HEAD)
    for problem in (await verify(storage, [key], [head.decode()])).problems:
        yield f"the audit log is incomplete: {problem}"


AUDIT = (Actor("seal-audit", _seal, _half_is_sealed, again=_seal, check=_each_entry_is_there_once),)
