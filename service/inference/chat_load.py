"""Load and latency of the installation's chats, for trainings that share a device with engines.

Each API process publishes what its gateway sees, several times per second, and workers subscribe.
Redis stores nothing of it. The latency of a chat is the time until the first byte of its answer:
the first token of a stream, or the whole answer if it is not streamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError, RedisError

from service.core import tasks
from service.core.records import PREFIX
from service.core.redis import REDIS_ERRORS

log = logging.getLogger(__name__)

CHANNEL = f"{PREFIX}:chat-load"
IDLE_EVERY_S, BUSY_EVERY_S = 1.0, 0.25
"""Intervals of reports without and with chats in flight."""
_WINDOW_S = 15.0  # of the percentile: long enough for some chats, short enough to react
_LOST_S = 3.0  # after which a process without reports no longer counts
_MAX_LATENCIES = 10_000
_SILENT_S, _RECONNECT_S = 5.0, 1.0


class ChatReport(BaseModel):
    """What one API process sees: chats in flight, and latencies in milliseconds.

    `first_byte_ms` are those of the answers that began since the last report, and `waiting_ms` the
    ages of chats whose answer has not begun.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    process: str
    in_flight: int = Field(ge=0)
    first_byte_ms: tuple[int, ...] = ()
    waiting_ms: tuple[int, ...] = ()


@dataclass(frozen=True)
class ChatState:
    """State of all chats: their number, and the 95th percentile of their latency if known."""

    in_flight: int
    p95_ms: float | None


class ChatLoad:
    """The chats of all API processes, from their reports."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._reports: dict[str, tuple[float, ChatReport]] = {}
        self._latencies: deque[tuple[float, int]] = deque(maxlen=_MAX_LATENCIES)
        self._changed = asyncio.Event()

    def note(self, report: ChatReport) -> None:
        """Take a report into account."""
        now = self._clock()
        self._reports[report.process] = (now, report)
        self._latencies.extend((now, latency) for latency in report.first_byte_ms)
        self._changed.set()

    @property
    def state(self) -> ChatState | None:
        """The current state, or None if no process has reported for seconds."""
        now = self._clock()
        self._reports = {
            name: (at, report)
            for name, (at, report) in self._reports.items()
            if now - at <= _LOST_S
        }
        if not self._reports:
            return None
        current = [report for _, report in self._reports.values()]
        waiting = [age for report in current for age in report.waiting_ms]
        recent = [*self._since(now - _WINDOW_S), *waiting]
        return ChatState(sum(report.in_flight for report in current), p95(recent))

    def p95_since(self, at: float) -> float | None:
        """Return the 95th percentile since a time of the clock; None if no answer began."""
        return p95(self._since(at))

    def _since(self, at: float) -> list[int]:
        return [latency for then, latency in self._latencies if then >= at]

    async def change(self, timeout_s: float) -> None:
        """Wait for the next report, at most for this time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()

    async def listen(self, redis: Redis) -> None:
        """Receive reports until canceled. Redis may be unavailable at any time."""
        while True:
            try:
                async with redis.pubsub() as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    while True:
                        await self._receive(pubsub)
            except (RedisError, OSError) as e:
                log.warning("reports of chats cannot be received: %s", type(e).__name__)
            await asyncio.sleep(_RECONNECT_S)

    async def _receive(self, pubsub: PubSub) -> None:
        """Process one message. Raises ConnectionError if the other side is silent."""
        message = await pubsub.get_message(timeout=_SILENT_S)
        if message is None:
            await pubsub.ping()
            message = await pubsub.get_message(timeout=_SILENT_S)
        if message is None:
            raise ConnectionError("no answer to a ping")
        if message["type"] == "message":
            self._read(message["data"])

    def _read(self, data: bytes) -> None:
        try:
            self.note(ChatReport.model_validate_json(data))
        except ValidationError:
            log.warning("a report of chats cannot be read")


def p95(values: Iterable[float]) -> float | None:
    """Return the 95th percentile by the nearest rank; None without values."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None


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
