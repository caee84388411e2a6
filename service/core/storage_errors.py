"""What the API answers when storage or Redis has no room."""

from __future__ import annotations

from service.core.errors import NO_RETRY, ApiError, InsufficientStorage, TooLarge
from service.core.storage import QUOTA, QuotaExceeded, RedisFull, StorageFull


def no_room(error: StorageFull) -> ApiError:
    """Return the error of a request, whose message says who can fix it."""
    if isinstance(error, QuotaExceeded):
        return TooLarge(str(error), code=QUOTA, headers=NO_RETRY)
    if isinstance(error, RedisFull):
        return InsufficientStorage(str(error), code="redis_full")
    return InsufficientStorage(
        "The service's storage is full, so the data was not saved. The operator must free space or "
        "enlarge the volume."
    )
