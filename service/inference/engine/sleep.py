"""Sleep of an engine, requested by workers that train on the same GPU, each with a lease.

A sleeping engine has released the GPU's memory and answers 503. It sleeps while at least one
holder keeps renewing its request. If a worker dies, the engine wakes by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Protocol

log = logging.getLogger(__name__)

_LOOK_S = 0.5
_LEVEL = 1  # weights move to the machine's memory, the cache is dropped
_MAX_HOLDERS = 64


class Engine(Protocol):
    """The methods of vLLM's EngineClient that are used here."""

    async def sleep(self, level: int, mode: Any) -> None:
        """Release the memory. Running requests are aborted."""

    async def wake_up(self) -> object:
        """Take the memory back."""


class Sleeper:
    """The sleep state of one engine. Not thread-safe: use it in one event loop."""

    def __init__(self, *, drain_s: float) -> None:
        self._drain_s = drain_s
        self._until: dict[str, float] = {}  # by holder
        self._changing = asyncio.Lock()
        self._asleep = False
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether requests are rejected: the engine sleeps, is falling asleep, or is waking."""
        return self._asleep or bool(self._until)

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """Wrap a request, so that the engine waits for it before it sleeps."""
        self._requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    async def sleep(self, engine: Engine, holder: str, lease_s: float) -> bool:
        """Sleep for `holder` for `lease_s` seconds, or longer if it asks again.

        Returns True once the memory is free, and False if the holder woke the engine first.
        """
        if holder not in self._until and len(self._until) >= _MAX_HOLDERS:
            raise ValueError("too many clients request sleep")
        self._until[holder] = time.monotonic() + lease_s
        try:
            async with self._changing:
                if not self._asleep:
                    await self._drain()
                    if holder not in self._until:
                        return False
                    await engine.sleep(_LEVEL, "abort")
                    self._asleep = True
                    log.info("the engine sleeps at the request of %s", holder)
        except BaseException:
            self._until.pop(holder, None)
            raise
        self._until[holder] = time.monotonic() + lease_s  # falling asleep took time
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(engine))
        return True

    async def wake(self, engine: Engine, holder: str) -> None:
        """End `holder`'s sleep request. Returns once the engine is awake or others hold it."""
        self._until.pop(holder, None)
        await self._wake_if_free(engine)

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._idle.wait()

    async def _wake_if_free(self, engine: Engine) -> None:
        async with self._changing:
            if self._asleep and not self._until:
                await engine.wake_up()
                self._asleep = False
                log.info("the engine is awake")

    async def _watch(self, engine: Engine) -> None:
        """Wake the engine when all leases have expired."""
        while self._asleep:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            for holder in [h for h, until in self._until.items() if until < now]:
                log.warning("%s requested sleep and has stopped renewing it", holder)
                del self._until[holder]
            try:
                await self._wake_if_free(engine)
            except Exception:  # vLLM can raise anything; retried at the next check
                log.exception("the engine does not wake up")
