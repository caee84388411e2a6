"""Publishes changes to all API processes, which drop cached keys and models or wake event streams.

A write that makes a cached key or model stale publishes a message in its own transaction. Changes
of jobs wake event streams in the same way. Messages can be lost, because Redis keeps none for
disconnected subscribers. So after a new subscription all cached entries are loaded again, and the
caches' own time limits bound the rest.
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

from service.core import tasks
from service.core.records import PREFIX

log = logging.getLogger(__name__)
CHANNEL = f"{PREFIX}:invalidations"
# Apart from the others: processes of versions before 0.2 would drop all that is cached whenever
# a job has a new event.
JOBS_CHANNEL = f"{PREFIX}:job-changes"
_WAIT_S = (0.1, 0.2, 0.5, 1.0)  # between attempts to subscribe


class InvalidationKind(StrEnum):
    """The kind of object that a message is about."""

    KEY = "key"  # an API key's ID
    PROJECT = "project"  # the project itself: its limits, its name
    MODEL = "model"  # a name that the project can request: a model or an alias
    JOB = "job"  # a fine-tuning job's ID: it has new events or a final status


Forget = Callable[[str, str], Any]
"""Callback that gets the project's ID and the name or ID of the object."""


def publish(pipe: Pipeline, kind: InvalidationKind, project_id: str, name: str) -> None:
    """Add to a transaction a message that `name` of this project has changed."""
    channel = JOBS_CHANNEL if kind is InvalidationKind.JOB else CHANNEL
    pipe.publish(channel, json.dumps([kind, project_id, name]))


class Invalidations:
    """Listens to invalidations from other processes.

    A connection that is silent for twice `ping_every_s` is considered lost.
    """

    def __init__(self, redis: Redis, *, ping_every_s: float = 5.0) -> None:
        self._redis = redis
        self._ping_every_s = ping_every_s
        self._handlers: dict[str, list[Forget]] = {kind: [] for kind in InvalidationKind}
        self._resets: list[Callable[[], Any]] = []

    def on(self, kind: InvalidationKind, forget: Forget) -> None:
        """Call `forget(project ID, name)` for each message of this kind."""
        self._handlers[kind].append(forget)

    def on_gap(self, reset: Callable[[], Any]) -> None:
        """Call `reset()` if messages may have been missed."""
        self._resets.append(reset)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the context is open. Redis may be unavailable at any time."""
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
                    await pubsub.subscribe(CHANNEL, JOBS_CHANNEL)
                    while await self._receive(pubsub):
                        tries = 0
            except (RedisError, OSError) as e:
                level = logging.DEBUG if tries else logging.WARNING  # once per outage
                log.log(level, "not subscribed to invalidations: %s", type(e).__name__)
            await asyncio.sleep(_WAIT_S[min(tries, len(_WAIT_S) - 1)])
            tries += 1

    async def _receive(self, pubsub: PubSub) -> bool:
        """Process one message. Raises ConnectionError if the other side is silent."""
        message = await pubsub.get_message(timeout=self._ping_every_s)
        if message is None:
            await pubsub.ping()
            message = await pubsub.get_message(timeout=self._ping_every_s)
        if message is None:
            raise ConnectionError("no answer to a ping")
        if message["type"] == "subscribe":
            # Also sent after a reconnect inside redis-py, which is not reported otherwise. Redis
            # answers for each channel, but subscribes to both at once.
            if message["channel"] == CHANNEL.encode():
                self._gap()
        elif message["type"] == "message":
            self._dispatch(message["data"])
        return True

    def _dispatch(self, data: bytes) -> None:
        try:
            kind, project_id, name = json.loads(data)
            handlers = self._handlers[kind]
        except (ValueError, TypeError, KeyError):
            # Perhaps from a newer version during a rollout. Invalidating too much is safer.
            log.warning("received an invalidation that cannot be read")
            self._gap()
            return
        for forget in handlers:
            forget(project_id, name)

    def _gap(self) -> None:
        for reset in self._resets:
            reset()
