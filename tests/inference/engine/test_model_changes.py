"""Tests that a deletion ends an engine's pause, and that a lost message does not prolong it."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.core.invalidation import InvalidationKind, Invalidations, publish
from service.core.redis import connect
from service.inference.engine.process import ModelChanges

pytestmark = pytest.mark.slow


async def test_a_change_of_a_known_model_ends_the_pause(redis_url):
    redis = connect(redis_url)
    invalidations = Invalidations(redis)
    changes = ModelChanges(invalidations, {"ft:mine"}.__contains__, every_s=600)
    try:
        async with invalidations.listening():
            await asyncio.wait_for(changes.pause(), 60)  # what was missed before is looked at
            pausing = asyncio.create_task(changes.pause())
            for name in ("ft:other", "ft:mine"):
                assert not pausing.done()
                async with redis.pipeline() as pipe:
                    publish(pipe, InvalidationKind.MODEL, "proj_a", name)
                    await pipe.execute()
            await asyncio.wait_for(pausing, 60)
    finally:
        await redis.aclose(close_connection_pool=True)


async def test_without_messages_the_pause_ends_after_the_interval(redis_url):
    redis = connect(redis_url)
    began = time.monotonic()
    await ModelChanges(Invalidations(redis), {"ft:mine"}.__contains__, every_s=0.05).pause()
    assert time.monotonic() - began >= 0.04
    await redis.aclose(close_connection_pool=True)
