"""Reports of the gateway's chats to workers that train on the device of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Protocol

from redis.asyncio import Redis

from service.core import tasks
from service.core.redis import REDIS_ERRORS
from service.inference.chat_load import BUSY_EVERY_S, CHANNEL, IDLE_EVERY_S, ChatReport

_PUBLISH_S = 1.0
_MOST_LATENCIES = 1000  # in a report


class Chat(Protocol):
    """A chat in flight."""

    @property
    def status(self) -> int: ...
    @property
    def first_byte_s(self) -> float | None: ...
    @property
    def seconds(self) -> float: ...


class ChatReports:
    """Reports of one API process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._process = uuid.uuid4().hex
        self._chats: dict[Chat, bool] = {}
        """Chats in flight, and whether their latency was reported."""
        self._latencies: list[int] = []
        self._first = asyncio.Event()

    def begin(self, chat: Chat) -> None:
        """Register a chat. The first one is reported at once."""
        if not self._chats:
            self._first.set()
        self._chats[chat] = False

    def end(self, chat: Chat) -> None:
        """Unregister a chat."""
        if self._chats.pop(chat, True) is False:
            self._note(chat)

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
        for chat, is_reported in self._chats.items():
            if chat.first_byte_s is None:
                waiting.append(round(chat.seconds * 1000))
            elif not is_reported:
                self._note(chat)
                self._chats[chat] = True
        latencies, self._latencies = self._latencies[-_MOST_LATENCIES:], []
        return ChatReport(
            process=self._process,
            in_flight=len(self._chats),
            first_byte_ms=tuple(latencies),
            waiting_ms=tuple(sorted(waiting)[-_MOST_LATENCIES:]),
        )

    def _note(self, chat: Chat) -> None:
        if chat.first_byte_s is not None and chat.status < 400:
            self._latencies.append(round(chat.first_byte_s * 1000))

    async def _pause(self) -> None:
        if self._chats:
            await asyncio.sleep(BUSY_EVERY_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_EVERY_S):
                await self._first.wait()
        self._first.clear()
