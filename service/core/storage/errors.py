"""Errors of storage."""

from __future__ import annotations

from typing import Final

from service.core import metrics

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
