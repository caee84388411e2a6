"""Errors of storage: from obstore's, with retries during outages, and to those of the API."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, Protocol, TypeVar, cast

import obstore

from service.core import metrics
from service.core.errors import NO_RETRY, ApiError, InsufficientStorage, TooLarge, Unavailable
from service.core.storage.object_store import refusal

QUOTA: Final = "quota_exceeded"
"""Code of errors and failures by the quota of a project."""


class StorageError(Exception):
    """A storage operation failed."""


class StorageFull(StorageError):
    """The artifact storage has no space left."""


class QuotaExceeded(StorageFull):
    """The quota of the project leaves no room. The message says how to get some."""


class RedisFull(StorageFull):
    """The memory of Redis has only its reserve left. The message says how to get more."""


class StorageRefused(StorageError):
    """The credentials, bucket or address are wrong. The message says what to fix."""


class StorageMissing(StorageError):
    """The object or folder does not exist or was never completely written."""


class StorageCorrupt(StorageError):
    """The bytes read differ from those written."""


def corrupt(message: str) -> StorageCorrupt:
    """Count an object whose bytes are wrong, and return the error."""
    metrics.STORAGE_ERRORS.cell("read", "corrupt").inc()
    return StorageCorrupt(message)


log = logging.getLogger(__name__)

_FIRST_WAIT_S, _MAX_WAIT_S = 0.5, 10.0
_NO_SPACE = re.compile(
    r"os error 28|No space left|XMinioStorageFull|InsufficientStorage", re.IGNORECASE
)

T = TypeVar("T")
P = ParamSpec("P")


class _Patient(Protocol):
    """An object whose methods are retried."""

    patience_s: float


def patient(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Retry the method while storage is unavailable, until the object's patience ends.

    Only for operations that can safely be repeated. Full, missing and corrupt are results, not
    outages, so they are not retried.
    """

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        owner = cast("_Patient", args[0])
        wait_s, give_up = _FIRST_WAIT_S, time.monotonic() + owner.patience_s
        while True:
            try:
                return await method(*args, **kwargs)
            except (StorageFull, StorageMissing, StorageCorrupt):
                raise
            except StorageError as e:
                if time.monotonic() + wait_s > give_up:
                    raise
                log.warning("storage is unavailable, trying again in %.1f s: %s", wait_s, e)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _MAX_WAIT_S)

    return call


async def guard(operation: str, work: Awaitable[T], key: str) -> T:
    """Time an operation and convert obstore's errors. Messages name the object, but no paths."""
    began = time.perf_counter()
    try:
        return await work
    except (obstore.exceptions.BaseError, OSError) as e:
        error, kind = convert_error(e, key)
        metrics.STORAGE_ERRORS.cell(operation, kind).inc()
        raise error from e
    finally:
        metrics.STORAGE_SECONDS.cell(operation).observe(time.perf_counter() - began)


def convert_error(error: Exception, key: str) -> tuple[StorageError, str]:
    """Return the converted error and its kind for metrics."""
    if (why := refusal(error)) is not None:
        return StorageRefused(why), "refused"
    if isinstance(error, FileNotFoundError):
        return StorageMissing(f"{key} is not in storage"), "missing"
    if _NO_SPACE.search(str(error)):
        return StorageFull(f"no space left in storage for {key}"), "full"
    return StorageError(f"storage failed on {key}: {type(error).__name__}"), "away"


def no_room(error: StorageFull) -> ApiError:
    """Return the error of a request, whose message says who can fix it."""
    if isinstance(error, QuotaExceeded):
        return TooLarge(str(error), code=QUOTA, headers=NO_RETRY)
    if isinstance(error, RedisFull):
        return redis_full(str(error))
    return InsufficientStorage(
        "The service's storage is full, so the data was not saved. The operator must free space or "
        "enlarge the volume."
    )


def redis_full(message: str) -> ApiError:
    """Return the error of a request that writes what the memory of Redis has no room for."""
    return Unavailable(message, code="redis_full", headers={"retry-after": "60", **NO_RETRY})
