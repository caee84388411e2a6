"""Entries of the audit log about what the operator does on the server, with `finetuned-server`.

A command leaves its entry when it is done, with the user of the operating system and the machine.
One that ends with an error leaves an entry that says so. `restore` and `rebuild` write theirs
before the service may start on what they restored.
"""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from service import __version__
from service.cli.connections import opened_redis
from service.core.redis import REDIS_ERRORS, Client
from service.core.redis.transactions import write_once
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import Actor, Origin, Outcome, Trail, harmless

OPERATOR: Final = Actor("operator", "operator")
_UNRECORDED: Final = "the audit log has no entry of this, because Redis cannot be reached"


@dataclass
class Chore:
    """What a command does: the objects that it is about, and numbers."""

    objects: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def changes_recorded(event: AuditEvent, project_id: str) -> Iterator[Trail]:
    """Record the transactions in the block as those of the operator."""
    with audit_trail.following(_trail(event, project_id=project_id)) as followed:
        yield followed


@asynccontextmanager
async def recorded(redis: Client, event: AuditEvent) -> AsyncIterator[Chore]:
    """Record what the block does, and whether it failed."""
    chore = Chore()
    try:
        yield chore
    except BaseException:
        with contextlib.suppress(*REDIS_ERRORS):
            await record(redis, event, chore, "failed")
        raise
    await record(redis, event, chore)


async def record(
    redis: Client, event: AuditEvent, chore: Chore, outcome: Outcome = "succeeded"
) -> None:
    """Write an entry about a command. Raises REDIS_ERRORS."""
    followed = _trail(event, objects=tuple(map(harmless, chore.objects)))
    followed.count(**chore.counts)
    await write_once(redis, partial(audit_trail.append, entry=followed.entry(outcome)))


async def record_if_possible(data_dir: Path | None, event: AuditEvent, *objects: str) -> str | None:
    """Record a command that needs no Redis. Returns why there is no entry, if there is none."""
    try:
        async with opened_redis(data_dir) as redis:
            await record(redis, event, Chore(objects))
    except ValueError:
        return _UNRECORDED
    return None


def _trail(event: AuditEvent, *, project_id: str = "", objects: tuple[str, ...] = ()) -> Trail:
    origin = Origin(user_agent=f"finetuned-server/{__version__} ({_user()}@{platform.node()})")
    return Trail(event, OPERATOR, project_id=project_id, objects=objects, origin=origin)


def _user() -> str:
    """The name of this process's user, which a variable of the environment cannot change."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, a user needs no name
        return str(os.getuid())
