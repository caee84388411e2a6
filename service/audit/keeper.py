"""The loop of a worker that keeps the audit log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from service.audit import requests
from service.config import Settings
from service.core import clock, ids
from service.core.leases import Held, Leases
from service.core.redis import REDIS_ERRORS, Client, why
from service.core.trail import STREAM

log = logging.getLogger(__name__)
_LEASE: Final = "audit-log"
_LEASE_S: Final = 10.0
_PAUSE_S: Final = 5.0
_DAY_S: Final = 24 * 3600


class Keeper:
    """Adds what is counted to the audit log, and removes what is old. One worker at a time does."""

    def __init__(
        self, redis: Client, settings: Settings, *, on_round: Callable[[], None] = lambda: None
    ) -> None:
        self._redis = redis
        self._kept_s = settings.audit_kept_days * _DAY_S
        self._on_round = on_round

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._on_round()
            try:
                leases = Leases(self._redis, ids.random_part(), lease_s=_LEASE_S)
                async with leases.hold(_LEASE, 1):
                    await self.once()
            except Held:
                pass
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable, the audit log is late: %s", why(e))
            await asyncio.sleep(_PAUSE_S)

    async def once(self) -> None:
        """Do one round. Raises REDIS_ERRORS."""
        while await requests.record(self._redis):
            pass
        if self._kept_s:
            oldest = int((clock.now() - self._kept_s) * 1000)
            await self._redis.xtrim(STREAM, minid=oldest)
