"""Leader election among workers: one of them at a time runs a round of the reconciler.

A round reads all unfinished records. The other workers export the gauges that the leader stored, so
that every worker exports the same ones.

    finetuned:lease:{name}      held while a worker runs a round
    finetuned:turn-taken:{name} exists for a while after a round
    finetuned:gauges            the gauges of the last round, as JSON
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from service.core import ids
from service.core.leases import Held, Leases
from service.core.metric_types import Gauge
from service.core.records import PREFIX
from service.core.redis import Client

_LEASE_S = 10.0  # a killed worker blocks the others this long; renewed while alive
_GAUGES = f"{PREFIX}:gauges"
_Values = dict[str, list[tuple[tuple[str, ...], float]]]
_decode = msgspec.json.Decoder(_Values).decode


class LeaderElection:
    """Lets one worker at a time run a round, and at most one every `every_s` seconds."""

    def __init__(self, redis: Client, *, every_s: float, lease_s: float) -> None:
        self._redis = redis
        self._every_ms = max(int(every_s * 1000), 1)
        self._lease_s = min(lease_s, _LEASE_S)

    @contextlib.asynccontextmanager
    async def lead(self, name: str) -> AsyncIterator[None]:
        """Run a round inside the block. Raises Held if another worker runs it, or just did."""
        # A new holder name per round, so that reconcilers in one process exclude each other too.
        leases = Leases(self._redis, ids.random_part(), lease_s=self._lease_s)
        taken = f"{PREFIX}:turn-taken:{name}"
        async with leases.hold(name, 0):
            if await self._redis.exists(taken):
                raise Held(name)
            yield
            await self._redis.set(taken, 1, px=self._every_ms)


async def store_gauges(redis: Client, gauges: Sequence[Gauge]) -> None:
    """Store the gauges for the other workers."""
    values = {gauge.name: gauge.values() for gauge in gauges}
    await redis.set(_GAUGES, msgspec.json.encode(values))


async def load_gauges(redis: Client, gauges: Sequence[Gauge]) -> None:
    """Set the gauges as they were stored by the worker that ran the last round."""
    raw = await redis.get(_GAUGES)
    if raw is None:
        return
    stored = _decode(raw)
    for gauge in gauges:
        if (values := stored.get(gauge.name)) is not None:
            gauge.replace(values)
