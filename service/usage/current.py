"""Current usage of the rate limits of a key or a project, summed over all replicas."""

from __future__ import annotations

from typing import NamedTuple

from service.config.limits import Limits, ceiling
from service.core.redis import Client, reply, text
from service.usage import keys
from service.usage.buckets import Bucket


class CurrentUse(NamedTuple):
    """What counts toward the limits at present. What is not limited is not counted: it is 0."""

    requests: int
    tokens: int
    concurrent_requests: int
    concurrent_streams: int


async def current_use(redis: Client, subject_id: str, limits: Limits, now_s: float) -> CurrentUse:
    """Return the use of a key or a project, as the replicas reported it within about a second."""
    pipe = redis.pipeline(transaction=False)
    pipe.hgetall(keys.limits(subject_id))
    pipe.smembers(keys.REPLICAS)
    found, replicas = await pipe.execute()
    spent = {text(name): float(value) for name, value in found.items()}
    in_flight = [
        await reply(redis.hget(keys.IN_FLIGHT + text(replica), subject_id)) for replica in replicas
    ]
    running = [[int(count) for count in row.split()] for row in in_flight if row]
    return CurrentUse(
        _left_in_bucket(spent, "requests", ceiling(limits.requests_per_minute), now_s),
        _left_in_bucket(spent, "tokens", ceiling(limits.tokens_per_minute), now_s),
        sum(requests for requests, _ in running),
        sum(streams for _, streams in running),
    )


def _left_in_bucket(
    spent: dict[str, float], dimension: str, capacity: int | None, now_s: float
) -> int:
    if capacity is None:
        return 0
    bucket = Bucket(capacity, spent.get(f"{dimension}_at_s", now_s))
    bucket.used = spent.get(f"{dimension}_used", 0.0)
    return round(bucket.drain(now_s))
