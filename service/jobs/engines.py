"""The engines as a worker asks them: on the gateway's own road.

The road chooses an adapter's replica by its name, so what a worker made warm is warm where the
first user's request goes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from service.core import tracing
from service.core.errors import ApiError
from service.inference.upstreams import Upstreams

log = logging.getLogger(__name__)

_WARM_S = 60.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class EngineAway(Exception):
    """The engine could not be asked."""


async def complete(upstreams: Upstreams, base: str, body: Mapping[str, Any]) -> Any:
    """The answer to a completion of the base model or one of its adapters. Raises EngineAway."""
    adapter = None if body["model"] == base else str(body["model"])
    request = msgspec.json.encode(body)
    try:
        answer = await upstreams.send(
            base, "/v1/completions", request, tracing.carrier(), adapter=adapter
        )
        try:
            raw = await answer.read_all(_MAX_ANSWER_BYTES)
        finally:
            answer.close()
    except ApiError as e:
        raise EngineAway(e.code or type(e).__name__) from e
    if answer.status != 200:
        raise EngineAway(f"it answered {answer.status}")
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as e:
        raise EngineAway("its answer is not JSON") from e


async def warm(upstreams: Upstreams, base: str, adapter: str) -> None:
    """Have the adapter's replica fetch and load it, so that no user waits for that."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_WARM_S):
            await complete(upstreams, base, {"model": adapter, "prompt": "Hello", "max_tokens": 1})
    except (EngineAway, TimeoutError) as e:
        log.warning("model %s is not warm: %s", adapter, str(e) or type(e).__name__)
    else:
        log.info("model %s is warm after %.2f s", adapter, time.monotonic() - began)
