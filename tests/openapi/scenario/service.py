"""Scenario of probes, and of responses that all operations have in common."""

from __future__ import annotations

from tests.openapi.world import World


async def probes(world: World) -> None:
    """Probe a healthy service."""
    await world.call("getLiveness", "ok", key=None)
    await world.call("getReadiness", "ready", key=None)


async def keys(world: World) -> None:
    """Send no key, and keys that are unknown, have expired, or come from another address."""
    await world.call("listModels", expect=401, key=None, shared=True)
    await world.call("listFiles", expect=401, key="unknown", shared=True)
    await world.call("listFiles", expect=401, key="expired", shared=True)
    await world.call("listFiles", expect=401, key="elsewhere", shared=True)


async def guesses(world: World, most: int) -> None:
    """Send an unknown key until the address is throttled."""
    for _ in range(10 * most):
        answer = await world.call("listFiles", expect=None, key="unknown", shared=True)
        if answer.status_code == 429:
            return
    raise AssertionError("the address is not throttled")


async def roles(world: World) -> None:
    """Use an operation that the role of the key does not permit."""
    await world.call("listFiles", expect=403, key="inference", shared=True)


async def large_body(world: World, max_json_body_bytes: int) -> None:
    """Send a JSON body that exceeds its limit."""
    name = "0" * max_json_body_bytes
    await world.call("createProject", expect=413, key="admin", json={"name": name}, shared=True)


async def redis_away(world: World) -> None:
    """Send requests after Redis has stopped."""
    await world.call("listFiles", expect=503, shared=True)
    await world.call("getReadiness", "away", key=None, expect=503)
