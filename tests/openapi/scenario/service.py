"""Probes, and what every operation answers where nothing of it was reached."""

from __future__ import annotations

from tests.openapi.world import World


async def probes(world: World) -> None:
    """All is well."""
    await world.call("livez", "ok", key=None)
    await world.call("readyz", "ready", key=None)


async def keys(world: World) -> None:
    """No key, and one that is not known."""
    await world.call("listModels", expect=401, key=None, shared=True)
    await world.call("listFiles", expect=401, key="unknown", shared=True)


async def large_body(world: World, max_json_body_bytes: int) -> None:
    """A JSON body over its limit."""
    name = "0" * max_json_body_bytes
    await world.call("createProject", expect=413, key="admin", json={"name": name}, shared=True)


async def redis_away(world: World) -> None:
    """What is answered when Redis has gone."""
    await world.call("listFiles", expect=503, shared=True)
    await world.call("readyz", "away", key=None, expect=503)
