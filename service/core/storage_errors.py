"""What the API answers when storage or Redis has no room."""

from __future__ import annotations

from service.core.errors import NO_RETRY, ApiError, InsufficientStorage, TooLarge, Unavailable
from service.core.storage import QUOTA, QuotaExceeded, RedisFull, StorageFull


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
