"""Until when the newest backup and the journal have everything, as metrics.

finetuned:backed-up-at    the moment of the newest complete backup, in UTC seconds
finetuned:journaled-at    the last moment in the journal
"""

from __future__ import annotations

from typing import Final

from service.backup.journal import JOURNALED_AT
from service.core import metrics
from service.core.records import PREFIX
from service.core.redis import Client

BACKED_UP_AT: Final = f"{PREFIX}:backed-up-at"


async def observe(redis: Client, *, journals: bool) -> None:
    """Set the gauges. That of the journal is absent if the journal is turned off."""
    backed_up, journaled = await redis.mget(BACKED_UP_AT, JOURNALED_AT)
    for gauge, moment in (
        (metrics.BACKUP_TIMESTAMP_SECONDS, backed_up),
        (metrics.JOURNAL_TIMESTAMP_SECONDS, journaled if journals else None),
    ):
        gauge.clear()
        if moment is not None:
            gauge.cell().set(float(moment))
