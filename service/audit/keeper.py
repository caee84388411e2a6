"""The loop of a worker that keeps the audit log. One worker at a time does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from service.audit import requests
from service.audit.checkpoints import BadCheckpoint
from service.audit.sealing import WITNESSED, Overtaken, Sealer
from service.audit.witness import NO_WITNESS, Witness
from service.config import Settings
from service.core import clock, ids, metrics
from service.core.encryption.signing import InstallationKey, SigningKeyError
from service.core.leases import Held, Leases
from service.core.redis import REDIS_ERRORS, Client, why
from service.core.storage import Storage, StorageError
from service.web.audit_trail import STREAM

log = logging.getLogger(__name__)
_LEASE: Final = "audit-log"
_LEASE_S: Final = 10.0
_PAUSE_S: Final = 5.0


class Keeper:
    """Seals the audit log, with what is counted, and sends its checkpoints to the witness."""

    def __init__(
        self,
        redis: Client,
        storage: Storage,
        settings: Settings,
        *,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._storage = storage
        self._settings = settings
        self._witness = Witness.from_settings(redis, settings)
        self._on_round = on_round
        self._has_warned = False

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._on_round()
            try:
                leases = Leases(self._redis, ids.random_part(), lease_s=_LEASE_S)
                async with leases.hold(_LEASE, 1) as lost:
                    await self._keep(lost)
            except (Held, Overtaken):
                pass
            except (BadCheckpoint, SigningKeyError) as e:
                log.error("the audit log is not sealed: %s", e)
            except StorageError as e:
                log.warning("the audit log is not sealed: %s", e)
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable, so the audit log is delayed: %s", why(e))
            with contextlib.suppress(*REDIS_ERRORS):
                await self._observe()  # no matter which process seals, and even if none can
            await asyncio.sleep(_PAUSE_S)

    def sealer(self) -> Sealer:
        """Return what seals entries from now on, once it has resumed."""
        return Sealer(
            self._redis,
            self._storage,
            InstallationKey(self._settings.signing_key),
            every_s=self._settings.audit_seal_every_s,
            kept_days=self._settings.audit_kept_days,
            has_witness=self._witness is not None,
        )

    async def _keep(self, lost: asyncio.Event) -> None:
        sealer = self.sealer()
        await sealer.resume()
        self._warn_without_witness()
        while not lost.is_set():
            self._on_round()
            while await requests.record(self._redis):
                pass
            while await sealer.seal():
                pass
            if self._witness is not None:
                await self._witness.send()
            await self._observe()
            await asyncio.sleep(_PAUSE_S)

    def _warn_without_witness(self) -> None:
        if self._witness is None and not self._has_warned:
            self._has_warned = True
            log.warning("%s", NO_WITNESS)

    async def _observe(self) -> None:
        """Update the metrics. Raises REDIS_ERRORS."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.xlen(STREAM)
            pipe.xrange(STREAM, count=1)
            pipe.llen(WITNESSED)
            unsealed, oldest, waiting = await pipe.execute()
        overdue_s = 0.0
        for entry_id, _ in oldest:
            written_s = int(entry_id.partition(b"-")[0]) / 1000  # by the clock of Redis
            overdue_s = max(0.0, clock.now() - written_s - self._settings.audit_seal_every_s)
        metrics.AUDIT_UNSEALED.cell().set(unsealed)
        metrics.AUDIT_OVERDUE.cell().set(overdue_s)
        metrics.AUDIT_TO_WITNESS.cell().set(waiting)
