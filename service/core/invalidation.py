"""Telling every api process that what it remembers is no longer so.

A write that makes a remembered key or model wrong publishes in its own transaction; each
api process listens and forgets at once. Messages may be lost (Redis keeps none for who is
away), so a new subscription lets nothing remembered be used unasked, and the caches' own
time bounds what is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import ConnectionError, RedisError

from service.core import metrics, tasks
from service.core.records import PREFIX

log = logging.getLogger(__name__)
CHANNEL = f"{PREFIX}:invalidations"
_WAIT_S = (0.1, 0.2, 0.5, 1.0)  # between tries to subscribe


class Kind(StrEnum):
    """What a message is about."""

    KEY = "key"  # an API key's id
    PROJECT = "project"  # the project itself: its limits, its name
    MODEL = "model"  # a name that the project can ask for: a model or an alias


Forget = Callable[[str, str], Any]
"""Called with the project's id and the name or id."""


def publish(pipe: Pipeline, kind: Kind, project_id: str, name: str) -> None:
    """Add to a transaction the message that `name` of this project has changed."""
    pipe.publish(CHANNEL, json.dumps([kind, project_id, name]))


class Invalidations:
    """Listens to what other processes publish.

    A connection that is silent for twice `ping_every_s` is taken for lost.
    """

    def __init__(self, redis: Redis, *, ping_every_s: float = 5.0) -> None:
        self._redis = redis
        self._ping_every_s = ping_every_s
        self._handlers: dict[str, list[Forget]] = {kind: [] for kind in Kind}
        self._resets: list[Callable[[], Any]] = []

    def on(self, kind: Kind, forget: Forget) -> None:
        """Call `forget(project id, name)` for each message of this kind."""
        self._handlers[kind].append(forget)

    def on_gap(self, reset: Callable[[], Any]) -> None:
        """Call `reset()` when messages may have been missed."""
        self._resets.append(reset)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the context is open. Redis may be away at any time."""
        task = asyncio.create_task(tasks.keep("invalidations", self._run), name="invalidations")
        try:
            yield
        finally:
            await tasks.end(task)

    async def _run(self) -> None:
        tries = 0
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    while await self._hear(pubsub):
                        tries = 0
            except (RedisError, OSError) as e:
                level = logging.DEBUG if tries else logging.WARNING  # once an outage
                log.log(level, "not subscribed to invalidations: %s", type(e).__name__)
            await asyncio.sleep(_WAIT_S[min(tries, len(_WAIT_S) - 1)])
            tries += 1

    async def _hear(self, pubsub: PubSub) -> bool:
        """Take one message. Raises ConnectionError where the other side is silent."""
        message = await pubsub.get_message(timeout=self._ping_every_s)
        if message is None:
            await pubsub.ping()
            message = await pubsub.get_message(timeout=self._ping_every_s)
        if message is None:
            raise ConnectionError("no answer to a ping")
        if message["type"] == "subscribe":
            # Also after a reconnect inside redis-py, of which nothing else tells.
            metrics.INVALIDATION_SUBSCRIPTIONS.inc()
            self._gap()
        elif message["type"] == "message":
            self._dispatch(message["data"])
        return True

    def _dispatch(self, data: bytes) -> None:
        try:
            kind, project_id, name = json.loads(data)
            handlers = self._handlers[kind]
        except (ValueError, TypeError, KeyError):
            # Of a newer version perhaps, in the midst of a roll-out: better too much.
            log.warning("an invalidation that cannot be read")
            self._gap()
            return
        metrics.INVALIDATIONS.labels(kind).inc()
        for forget in handlers:
            forget(project_id, name)

    def _gap(self) -> None:
        for reset in self._resets:
            reset()
