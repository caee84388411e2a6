"""Health probes of replicas. Each has its own task, so a slow replica delays no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from service.core import tasks
from service.inference.upstreams.replicas import Replica, Replicas


class Probes:
    """Health probes of one model's replicas. Nothing runs after `close`."""

    def __init__(
        self,
        replicas: Replicas,
        is_healthy: Callable[[str], Awaitable[bool]],
        *,
        every_s: float,
    ) -> None:
        self._replicas = replicas
        self._is_healthy = is_healthy
        self._every_s = every_s
        self._tasks: dict[Replica, asyncio.Task[None]] = {}
        self._closed = False

    def follow(self, members: Sequence[Replica]) -> None:
        """Probe exactly these replicas from now on."""
        if self._closed:
            return
        for replica in [r for r in self._tasks if r not in members]:
            self._tasks.pop(replica).cancel()
        for replica in members:
            if replica not in self._tasks:
                self._tasks[replica] = asyncio.create_task(
                    tasks.keep("engine probe", partial(self._watch, replica)),
                    name=f"probe {replica.url}",
                )

    async def any_healthy(self) -> bool:
        """Probe all replicas now and return whether any is healthy."""
        return any(await asyncio.gather(*map(self._probe, self._replicas.members)))

    async def close(self) -> None:
        """Stop all probes and wait for them to end."""
        self._closed = True
        running = list(self._tasks.values())
        self._tasks.clear()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _watch(self, replica: Replica) -> None:
        while True:
            await self._probe(replica)
            # Jitter, so that many API processes do not probe an engine at the same moment.
            await asyncio.sleep(self._every_s * random.uniform(0.8, 1.2))  # noqa: S311

    async def _probe(self, replica: Replica) -> bool:
        healthy = await self._is_healthy(replica.url)
        self._replicas.probed(replica, healthy)
        return healthy
