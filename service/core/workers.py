"""Which workers are alive: a key each, renewed while the worker runs."""

from __future__ import annotations

from arq.connections import ArqRedis

from service.core.records import PREFIX
from service.core.redis import reply

_ALL = f"{PREFIX}:workers"
HEARTBEAT_S = 5.0
_ALIVE_S = 20.0


def _key(name: str) -> str:
    return f"{PREFIX}:worker-alive:{name}"


async def announce(redis: ArqRedis, name: str, queues: str) -> None:
    """Say that this worker is alive; good for 20 seconds."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.sadd(_ALL, name)
        pipe.set(_key(name), queues, px=int(_ALIVE_S * 1000))
        await pipe.execute()


async def leave(redis: ArqRedis, name: str) -> None:
    """Say that this worker stops."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.srem(_ALL, name)
        pipe.delete(_key(name))
        await pipe.execute()


async def alive(redis: ArqRedis) -> dict[str, str]:
    """Name → queues of the workers that were heard of in the last seconds."""
    names = sorted(n.decode() for n in await reply(redis.smembers(_ALL)))
    if not names:
        return {}
    queues = await redis.mget([_key(n) for n in names])
    dead = [n for n, q in zip(names, queues, strict=True) if q is None]
    if dead:
        await reply(redis.srem(_ALL, *dead))
    return {n: q.decode() for n, q in zip(names, queues, strict=True) if q is not None}
