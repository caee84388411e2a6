"""Entries of the audit log about failed authentications and refused requests.

Anybody can send wrong keys, so these entries are bounded. Of the refusals for the same reason, of
the same client and key, the first in a minute is recorded before it is answered. The others in this
minute are counted, and share one entry at its end. A process that is killed loses the count of this
minute. All beyond a number of clients in a minute are counted together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Hashable
from typing import Final

import msgspec

from service.core import clock, metrics, tasks
from service.core.redis import REDIS_ERRORS, Client, why
from service.web import audit, audit_trail
from service.web.addresses import ClientAddresses
from service.web.audit_events import AuditEvent
from service.web.audit_trail import UNKNOWN, Actor, Entry, Origin
from service.web.auth import Failure, FailureReason
from service.web.throttle import client_of

log = logging.getLogger(__name__)
_EVERY_S: Final = 60.0
_LAST_FLUSH_S: Final = 2.0
_MOST_CLIENTS: Final = 100  # of one process in one minute


class _Others(msgspec.Struct):
    """Refusals that are not recorded yet: an entry like theirs, and their number."""

    like: Entry
    count: int = 0


class Refusals:
    """Records what `Authenticator` refuses, a bounded number of times a minute."""

    def __init__(
        self,
        redis: Client,
        addresses: ClientAddresses,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._addresses = addresses
        self._clock = clock
        self._minute = 0
        self._groups: dict[Hashable, _Others] = {}

    async def note(self, failure: Failure) -> None:
        """Record or count a refusal."""
        metrics.AUTHENTICATION_FAILURES.cell(failure.reason).inc()
        await self._end_minute(int(self._clock() // _EVERY_S))
        group = self._group(failure)
        is_first = group not in self._groups
        if is_first and len(self._groups) >= _MOST_CLIENTS:
            group = (failure.reason, "others")
            is_first = False
        others = self._groups.get(group)
        if others is None:
            entry = self._entry(failure)
            others = self._groups[group] = _Others(entry if is_first else _without_origin(entry))
        if not is_first or not await self._write(others.like):
            others.count += 1
            metrics.AUDIT_ENTRIES_AGGREGATED.cell().inc()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write the counts at the end of each minute while the context is open, and at its end."""
        task = asyncio.create_task(tasks.keep("refusals", self._run), name="refusals")
        try:
            yield
        finally:
            await tasks.end(task)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_FLUSH_S):
                    await self._end_minute(self._minute + 1)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S / 4)
            await self._end_minute(int(self._clock() // _EVERY_S))

    async def _end_minute(self, minute: int) -> None:
        if minute == self._minute:
            return
        self._minute = minute
        groups, self._groups = self._groups, {}
        for group, others in groups.items():
            if others.count and not await self._write(_counted(others)):
                kept = self._groups.setdefault(group, _Others(others.like))
                kept.count += others.count

    async def _write(self, entry: Entry) -> bool:
        try:
            await audit.write(self._redis, entry)
        except REDIS_ERRORS as e:
            log.warning("a refusal waits to be recorded: %s", why(e))
            return False
        return True

    def _group(self, failure: Failure) -> Hashable:
        client = client_of(self._addresses.of(failure.scope))
        return failure.reason, client, failure.caller and failure.caller.key_id

    def _entry(self, failure: Failure) -> Entry:
        is_login = failure.reason is not FailureReason.PERMISSION
        at, caller = clock.now(), failure.caller
        return Entry(
            id=audit_trail.new_id(at),
            at=round(at, 3),
            type=AuditEvent.LOGIN_FAILED if is_login else AuditEvent.ACCESS_DENIED,
            actor=UNKNOWN if caller is None else audit.actor_of(caller),
            outcome="refused",
            project_id="" if caller is None else caller.project_id,
            status=failure.error.status,
            code=failure.error.code or "",
            origin=audit.origin_of(failure.scope, self._addresses),
        )


def _without_origin(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, actor=Actor("unknown"), project_id="", origin=Origin())


def _counted(others: _Others) -> Entry:
    """The entry of several refusals, which are not of one request."""
    at = clock.now()
    origin = msgspec.structs.replace(others.like.origin, request_id="", operation="")
    return msgspec.structs.replace(
        others.like,
        id=audit_trail.new_id(at),
        at=round(at, 3),
        counts={"requests": others.count},
        origin=origin,
    )
