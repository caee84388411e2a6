"""Worker requests to the serving engines, with the same routing as the gateway.

The routing chooses the replica of an adapter by the adapter's name, so a worker warms the replica
that receives the first user's request.
"""

from __future__ import annotations

import asyncio
import logging
import re
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
# These statuses say nothing about the model: the key is wrong, there are too many requests, or the
# engine or a proxy in front of it is down.
_AWAY = frozenset({401, 403, 408, 429, 502, 503, 504})
_CODE = re.compile(r"[a-zA-Z_]{1,64}")


class EngineAway(Exception):
    """The engine could not be reached or gave no usable response."""


class EngineRefused(EngineAway):
    """The engine responded, but not with the requested result."""


async def complete(
    upstreams: Upstreams, base: str, body: Mapping[str, Any], path: str = "/v1/completions"
) -> Any:
    """Return the response to an inference request for the base model or one of its adapters.

    Raises EngineRefused if the engine responds with an error, and EngineAway on other failures.
    """
    adapter = None if body["model"] == base else str(body["model"])
    request = msgspec.json.encode(body)
    try:
        answer = await upstreams.send(base, path, request, tracing.carrier(), adapter=adapter)
        try:
            raw = await answer.read_all(_MAX_ANSWER_BYTES)
        finally:
            answer.close()
    except ApiError as e:
        raise EngineAway(e.code or type(e).__name__) from e
    if answer.status in _AWAY:
        raise EngineAway(f"it answered {answer.status}")
    if answer.status != 200:
        raise EngineRefused(f"it answered {answer.status}{_code(raw)}")
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as e:
        raise EngineAway("its answer is not JSON") from e


def _code(raw: bytes) -> str:
    """Return the error code in parentheses. The message is left out: it may contain the prompt."""
    try:
        code = msgspec.json.decode(raw)["error"]["code"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return ""
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""


async def warm(upstreams: Upstreams, base: str, adapter: str) -> None:
    """Make the adapter's replica fetch and load it, so that no user has to wait for that."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(_WARM_S):
            await complete(upstreams, base, {"model": adapter, "prompt": "Hello", "max_tokens": 1})
    except (EngineAway, TimeoutError) as e:
        log.warning("model %s is not warm: %s", adapter, str(e) or type(e).__name__)
    else:
        log.info("model %s is warm after %.2f s", adapter, time.monotonic() - began)
