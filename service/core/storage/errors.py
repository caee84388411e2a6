"""Retries storage operations during outages, and converts obstore's errors."""

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
from service.core.errors import (
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageMissing,
    StorageRefused,
)

log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

_FIRST_WAIT_S, _MAX_WAIT_S = 0.5, 10.0
_NO_SPACE: Final = re.compile(
    r"os error 28|No space left|XMinioStorageFull|InsufficientStorage", re.IGNORECASE
)
_STATUS = re.compile(r"status code: (?P<status>401|403)\b")
# Matches a response body, or the error of one of several keys to delete.
_CODE = re.compile(r"""(?:<Code>|\bcode: ")(?P<code>\w{1,64})(?:</Code>|")""")
_CHECK_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REMEDIES = {
    "SignatureDoesNotMatch": "the secret is wrong: check AWS_SECRET_ACCESS_KEY and AWS_REGION",
    "InvalidAccessKeyId": "S3 does not recognize the key: check AWS_ACCESS_KEY_ID",
    "AccessDenied": "the key lacks permission: allow it to read, write, list and delete in the "
    "bucket",
    "NoSuchBucket": "the bucket does not exist: create it, or fix FINETUNED_STORAGE_URL",
    "RequestTimeTooSkewed": "the clock of this machine is wrong",
}


def corrupt(message: str) -> StorageCorrupt:
    """Count an object whose bytes are wrong, and return the error."""
    metrics.STORAGE_ERRORS.cell("read", "corrupt").inc()
    return StorageCorrupt(message)


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


def refusal(error: Exception) -> str | None:
    """Return why S3 refused and how to fix it; None if it did not refuse or cannot be reached.

    Only errors that an operator can fix count as refusals. Retrying does not help with those.
    """
    text = str(error)
    if "169.254.169.254" in text or "MissingAccessKeyId" in text:
        return f"no credentials for S3: {_CHECK_KEYS}"
    if "MissingSecretAccessKey" in text:
        return "no secret for S3: set AWS_SECRET_ACCESS_KEY"
    if "builder error" in text and "http://" in text:
        return "plain http:// to S3 must be allowed: set AWS_ALLOW_HTTP=true"
    code, status = _CODE.search(text), _STATUS.search(text)
    if code is not None and (remedy := _REMEDIES.get(code["code"])):
        return f"S3 refused ({code['code']}): {remedy}"
    if status is None:
        return None
    return f"S3 refused ({code['code'] if code else status['status']}): {_CHECK_KEYS}"
