"""`Idempotency-Key`: a repeated create request runs only once.

The OpenAI SDKs retry after a timeout. A client that sends the header gets the first response
again. Another body with the same key is a conflict.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from service.core import ids
from service.core.errors import BadRequest, Conflict
from service.core.records import PREFIX
from service.core.redis import Client

_KEEP_S = 24 * 3600
_PENDING_S = 60
_WAIT_S, _POLL_S = 10.0, 0.2
_MAX_KEY_CHARS = 255


async def once(
    redis: Client,
    project_id: str,
    key: str | None,
    body: bytes,
    make: Callable[[], Awaitable[dict[str, Any]]],
) -> dict[str, Any]:
    """Return `make()`, or its first result for this key and body.

    Raises BadRequest if the key is empty or too long, and Conflict if the key was used with another
    body or the first request is still running.
    """
    if key is None:
        return await make()
    if not 0 < len(key) <= _MAX_KEY_CHARS:
        raise BadRequest("Idempotency-Key must have 1 to 255 characters.")
    digest = hashlib.sha256(body).hexdigest()
    # The key is arbitrary client input, so only its digest becomes part of a Redis key.
    place = f"{PREFIX}:{project_id}:idempotency:{hashlib.sha256(key.encode()).hexdigest()}"
    # The random part distinguishes our own mark, if its answer was lost, from another request's.
    pending = json.dumps({"body": digest, "by": ids.random_part()})
    is_first = await redis.set(place, pending, nx=True, ex=_PENDING_S)
    if not is_first and await redis.get(place) != pending.encode():
        return await _first_answer(redis, place, digest)
    try:
        answer = await make()
    except BaseException:
        await redis.delete(place)
        raise
    await redis.set(place, json.dumps({"body": digest, "answer": answer}), ex=_KEEP_S)
    return answer


async def _first_answer(redis: Client, place: str, digest: str) -> dict[str, Any]:
    for _ in range(int(_WAIT_S / _POLL_S)):
        raw = await redis.get(place)
        if raw is None:
            break
        kept: dict[str, Any] = json.loads(raw)
        if kept["body"] != digest:
            raise Conflict(
                "This Idempotency-Key was used with another body. Send a new key.",
                code="idempotency_key_reused",
            )
        if "answer" in kept:
            answer: dict[str, Any] = kept["answer"]
            return answer
        await asyncio.sleep(_POLL_S)
    raise Conflict(
        "The first request with this Idempotency-Key has not finished. Try again in a minute.",
        code="idempotency_in_progress",
    )
