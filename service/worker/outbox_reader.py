"""Loop that processes the outbox. It runs in each cpu worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from service.core import outbox
from service.core.redis import REDIS_ERRORS, Client, why

log = logging.getLogger(__name__)
# As often as arq reads a queue: the first user of a new model may ask within a second.
_POLL_S = 0.2


class OutboxReader:
    """Hands new events to their readers, and then calls `on_processed`."""

    def __init__(
        self,
        redis: Client,
        readers: Sequence[outbox.Reader],
        *,
        on_processed: Callable[[], None],
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._readers = readers
        self._on_processed = on_processed
        self._on_round = on_round

    async def run(self) -> None:
        """Process events until cancelled. Rounds in which Redis is unavailable are skipped."""
        while True:
            self._on_round()
            try:
                if await outbox.process(self._redis, self._readers):
                    self._on_processed()
            except REDIS_ERRORS as e:
                log.warning("Redis is unavailable, events are delayed: %s", why(e))
            await asyncio.sleep(_POLL_S)
