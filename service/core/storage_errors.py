"""What the API answers when storage has no room."""

from __future__ import annotations

from service.core.errors import NO_RETRY, ApiError, InsufficientStorage, TooLarge
from service.core.storage import QUOTA, QuotaExceeded, StorageFull


def no_room(error: StorageFull) -> ApiError:
    """Return the error of a request, whose message says who can fix it."""
    if isinstance(error, QuotaExceeded):
        return TooLarge(str(error), code=QUOTA, headers=NO_RETRY)
    return InsufficientStorage(
        "The service's storage is full, so the data was not saved. The operator must free space or "
        "enlarge the volume."
    )
