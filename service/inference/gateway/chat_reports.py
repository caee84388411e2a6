"""Reports of the gateway's chats to workers that train on the device of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from service.core import tasks
from service.core.redis import REDIS_ERRORS
from service.inference.chat_load import BUSY_EVERY_S, CHANNEL, IDLE_EVERY_S, ChatReport
from service.inference.gateway.exchange import Exchange

_PUBLISH_S = 1.0
_MOST_LATENCIES = 1000  # in a report


class ChatReports:
    """Reports of one API process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._process = uuid.uuid4().hex
        self._exchanges: dict[Exchange, bool] = {}
        """Chats in flight, and whether their latency was reported."""
        self._latencies: list[int] = []
        self._first = asyncio.Event()

    def begin(self, exchange: Exchange) -> None:
        """Register a chat. The first one is reported at once."""
        if not self._exchanges:
            self._first.set()
        self._exchanges[exchange] = False

    def end(self, exchange: Exchange) -> None:
        """Unregister a chat."""
        if self._exchanges.pop(exchange, True) is False:
            self._note(exchange)

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Publish reports while the context is open. Redis may be unavailable at any time."""
        task = asyncio.create_task(tasks.keep("chat reports", self._run), name="chat reports")
        try:
            yield
        finally:
            await tasks.end(task)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError, *REDIS_ERRORS):
                async with asyncio.timeout(_PUBLISH_S):
                    await self._redis.publish(CHANNEL, self.report().model_dump_json())
            await self._pause()

    def report(self) -> ChatReport:
        """Return the next report."""
        waiting = []
        for exchange, is_reported in self._exchanges.items():
            if exchange.first_byte_s is None:
                waiting.append(round(exchange.seconds * 1000))
            elif not is_reported:
                self._note(exchange)
                self._exchanges[exchange] = True
        latencies, self._latencies = self._latencies[-_MOST_LATENCIES:], []
        return ChatReport(
            process=self._process,
            in_flight=len(self._exchanges),
            first_byte_ms=tuple(latencies),
            waiting_ms=tuple(sorted(waiting)[-_MOST_LATENCIES:]),
        )

    def _note(self, exchange: Exchange) -> None:
        if exchange.first_byte_s is not None and exchange.status < 400:
            self._latencies.append(round(exchange.first_byte_s * 1000))

    async def _pause(self) -> None:
        if self._exchanges:
            await asyncio.sleep(BUSY_EVERY_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_EVERY_S):
                await self._first.wait()
        self._first.clear()
