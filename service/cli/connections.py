"""Opens Redis, storage and catalog of the installation that a command is about.

Also records in the audit log what a command did.
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

from redis.exceptions import RedisError, ResponseError

from service import __version__
from service.backup.contents import BackupError
from service.config import Settings
from service.core import startup_checks
from service.core.encryption.master import MasterKeyError
from service.core.redis import REDIS_ERRORS, Client, Purpose, connect, why, writing_for
from service.core.redis.transactions import write_once
from service.core.storage import Storage
from service.models.catalogue import Catalogue
from service.standalone.layout import AlreadyRunning, DataLayout
from service.standalone.services import only_store, running_store
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from service.web.audit_trail import Actor, Origin, Outcome, Trail, sanitize

_TIMEOUT_S = 10.0


def open_storage(data_dir: Path | None, *, patience_s: float = 0.0) -> Storage:
    """Return the storage of a standalone folder or of the settings, with its master key.

    Raises ValueError if the master key cannot be used.
    """
    settings = Settings()
    try:
        return Storage.from_url(
            storage_url(data_dir),
            patience_s=patience_s,
            master_key=settings.master_key(),
            only_encrypted=settings.encryption_required,
        )
    except MasterKeyError as e:
        raise ValueError(str(e)) from e


def storage_url(data_dir: Path | None) -> str:
    """Return the URL of the storage of a standalone folder, or the one from the settings."""
    return DataLayout(data_dir.resolve()).storage.as_uri() if data_dir else Settings().storage_url


def redis_url(data_dir: Path | None) -> str:
    """Return the URL of the Redis of a standalone folder, or the one from the settings."""
    if data_dir is None:
        return Settings().redis_url.get_secret_value()
    store = running_store(data_dir)
    if store is None:
        raise ValueError(f"no 'finetuned-server up' has run on {data_dir}")
    return store


def catalogue(data_dir: Path | None) -> Catalogue:
    """Return the catalog of a standalone folder, or the one from the settings."""
    file = DataLayout(data_dir).models_file if data_dir else Settings().models_file
    return Catalogue(file)


@asynccontextmanager
async def open_redis(data_dir: Path | None) -> AsyncIterator[Client]:
    """Connect to the Redis of a standalone folder, or to that of the settings.

    What the operator does may use the reserve of its memory. Raises ValueError if Redis cannot be
    reached or refuses a command.
    """
    redis = connect(redis_url(data_dir), retries=0)
    try:
        with writing_for(Purpose.RELEASE):
            await startup_checks.require_readable_data(redis)
            yield redis
    except ResponseError as e:
        raise ValueError(
            f"Redis refuses a command ({why(e)}). OOM: its memory is full; MISCONF: its disk is. "
            "'finetuned-server doctor' shows its memory."
        ) from e
    except REDIS_ERRORS as e:
        raise ValueError(
            "Redis cannot be reached. Is the service running? Set FINETUNED_REDIS_URL, or pass "
            "--data-dir of a running 'finetuned-server up'."
        ) from e
    finally:
        await redis.aclose(close_connection_pool=True)


@asynccontextmanager
async def open_or_start_redis(data_dir: Path | None) -> AsyncIterator[Client]:
    """Connect to Redis. In a standalone folder, start it unless `up` runs."""
    if data_dir is None:
        async with open_url(redis_url(None)) as redis:
            await startup_checks.require_readable_data(redis)
            yield redis
        return
    _require_installation(data_dir)
    try:
        async with start_redis(data_dir) as redis:
            yield redis
    except AlreadyRunning:
        async with open_url(redis_url(data_dir)) as redis:
            yield redis


@asynccontextmanager
async def open_stopped(data_dir: Path | None) -> AsyncIterator[Client]:
    """Connect to the Redis of an installation whose API and workers do not run.

    Raises InUse or AlreadyRunning if they do.
    """
    from service.backup.restore import require_alone  # imports all records

    if data_dir is not None:
        _require_installation(data_dir)
    async with start_redis(data_dir) as redis:
        await startup_checks.require_readable_data(redis)
        await require_alone(redis)
        yield redis


def _require_installation(data_dir: Path) -> None:
    if not DataLayout(data_dir.resolve()).storage.is_dir():
        raise ValueError(f"no 'finetuned-server up' has run on {data_dir}")


@asynccontextmanager
async def start_redis(data_dir: Path | None) -> AsyncIterator[Client]:
    """Connect to Redis. In a standalone folder, start it for the duration of the block."""
    if data_dir is None:
        async with open_url(redis_url(None)) as redis:
            yield redis
    else:
        async with only_store(data_dir) as url, open_url(url) as redis:
            yield redis


@asynccontextmanager
async def open_url(url: str) -> AsyncIterator[Client]:
    """Connect to a Redis. Raises BackupError if it fails."""
    redis = connect(url, retries=2, timeout_s=_TIMEOUT_S)
    try:
        yield redis
    except RedisError as e:
        raise BackupError(f"Redis failed ({why(e)}): check FINETUNED_REDIS_URL") from e
    finally:
        await redis.aclose(close_connection_pool=True)


OPERATOR: Final = Actor("operator", "operator")
_UNRECORDED: Final = "the audit log has no entry about this, because Redis cannot be reached"


@dataclass
class CommandDetails:
    """What the audit log says about a command: the objects that it changed, and numbers."""

    objects: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@contextmanager
def record_changes(event: AuditEvent, project_id: str) -> Iterator[Trail]:
    """Record the transactions in the block as changes by the operator."""
    with audit_trail.following(_trail(event, project_id=project_id)) as followed:
        yield followed


@asynccontextmanager
async def record_command(redis: Client, event: AuditEvent) -> AsyncIterator[CommandDetails]:
    """Record the command that runs in the block, and whether it failed."""
    details = CommandDetails()
    try:
        yield details
    except BaseException:
        with contextlib.suppress(*REDIS_ERRORS):
            await record(redis, event, details, "failed")
        raise
    await record(redis, event, details)


async def record(
    redis: Client, event: AuditEvent, details: CommandDetails, outcome: Outcome = "succeeded"
) -> None:
    """Write an entry about a command to the audit log. Raises REDIS_ERRORS."""
    followed = _trail(event, objects=tuple(map(sanitize, details.objects)))
    followed.count(**details.counts)
    await write_once(redis, partial(audit_trail.append, entry=followed.entry(outcome)))


async def record_if_possible(data_dir: Path | None, event: AuditEvent, *objects: str) -> str | None:
    """Record a command that needs no Redis. Returns why there is no entry, or None."""
    try:
        async with open_redis(data_dir) as redis:
            await record(redis, event, CommandDetails(objects))
    except ValueError:
        return _UNRECORDED
    return None


def _trail(event: AuditEvent, *, project_id: str = "", objects: tuple[str, ...] = ()) -> Trail:
    origin = Origin(user_agent=f"finetuned-server/{__version__} ({_user()}@{platform.node()})")
    return Trail(event, OPERATOR, project_id=project_id, objects=objects, origin=origin)


def _user() -> str:
    """Return the user of this process, independent of environment variables."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # in a container, a user needs no name
        return str(os.getuid())
