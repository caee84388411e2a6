"""Runs a create request with an `Idempotency-Key` only once.

The OpenAI SDKs retry after a timeout. With the header, a repeated request gets the first response.
Another body with the same key is a conflict.

The response is stored in the transaction that creates the record (core/claims.py), so a request
with an unknown outcome can be repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar, cast

from pydantic import BaseModel

from service.core import ids
from service.core.claims import (
    ANSWER_LIFETIME_S,
    ERASED,
    Claim,
    ClaimLost,
    StoredClaim,
    claim_key,
)
from service.core.errors import BadRequest, Conflict
from service.core.redis import REDIS_ERRORS, Client, reply, text
from service.core.redis.transactions import confirm

T = TypeVar("T")
Record_contra = TypeVar("Record_contra", contravariant=True)
Shown_co = TypeVar("Shown_co", bound=BaseModel, covariant=True)
_PENDING_S: Final = 60
_WAIT_S, _POLL_S = 10.0, 0.2
_MAX_CLAIMS: Final = 3
_MAX_KEY_CHARS: Final = 255

# Replaces the mark of a request that has ended or has not answered for long.
#   KEYS[1]  the mark; ARGV  the mark to replace, our own, its lifetime in seconds
_CLAIM: Final = """
local held = redis.call('GET', KEYS[1])
if held ~= false and held ~= ARGV[1] and held ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_RELEASE: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"
)


def comparable(body: BaseModel) -> bytes:
    """Return the body for `run_once`: its type, and the fields that the client sent.

    So a replica of a version with more fields finds the same body.
    """
    return f"{type(body).__name__} {body.model_dump_json(exclude_unset=True)}".encode()


async def run_once(
    redis: Client,
    project_id: str,
    key: str | None,
    body: bytes,
    make: Callable[[Claim[T]], Awaitable[T]],
    answer: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """Return `answer(await make(claim))`, or the first result for this key and body.

    `make` must check and settle the claim in the transaction that creates the record. If the first
    request does not answer for ten seconds, its claim is taken over, and it cannot create anything
    anymore. Raises BadRequest if the key is empty or too long, and Conflict if the key was used
    with another body or other requests with it are still running.
    """
    if key is None:
        return answer(await make(Claim()))
    if not 0 < len(key) <= _MAX_KEY_CHARS:
        raise BadRequest("Idempotency-Key must have 1 to 255 characters.")
    digest = hashlib.sha256(body).hexdigest()
    # The key is arbitrary client input, so only its digest becomes part of a Redis key.
    place = claim_key(project_id, hashlib.sha256(key.encode()).hexdigest())
    for _ in range(_MAX_CLAIMS):
        pending = json.dumps({"body": digest, "by": ids.random_part()})
        if (first := await _claim(redis, place, digest, pending)) is not None:
            await confirm(redis, place, ANSWER_LIFETIME_S)
            return first
        try:
            return answer(await make(StoredClaim(place, pending.encode(), digest, answer)))
        except ClaimLost:
            continue
        except BaseException:
            with contextlib.suppress(*REDIS_ERRORS):
                await reply(redis.eval(_RELEASE, 1, place, pending))
            raise
    raise Conflict(
        "Other requests with this Idempotency-Key have not finished. Try again in a minute.",
        code="idempotency_in_progress",
    )


class ApiObject(Protocol[Record_contra, Shown_co]):
    """A class of API objects that are built from records."""

    def from_record(self, record: Record_contra, /) -> Shown_co: ...
    def model_validate(self, obj: Any, /) -> Shown_co: ...


async def create_once(
    kind: ApiObject[T, Shown_co],
    redis: Client,
    project_id: str,
    key: str | None,
    body: bytes,
    make: Callable[[Claim[T]], Awaitable[T]],
) -> Shown_co:
    """Return the API object of the record that `make` creates, as `run_once` does."""

    def answer(record: T) -> dict[str, Any]:
        return kind.from_record(record).model_dump(mode="json")

    stored = await run_once(redis, project_id, key, body, make, answer)
    # A version that does not know the newest fields may have stored the answer.
    fields = cast("type[BaseModel]", kind).model_fields
    required = (name for name, field in fields.items() if field.is_required())
    return kind.model_validate(dict.fromkeys(required) | stored)


async def _claim(redis: Client, place: str, digest: str, pending: str) -> dict[str, Any] | None:
    """Claim the key and return None, or return the first answer. Raises Conflict."""
    replaced = ""
    while not await reply(redis.eval(_CLAIM, 1, place, replaced, pending, str(_PENDING_S))):
        until = time.monotonic() + _WAIT_S
        while (raw := await redis.get(place)) is not None:
            kept: dict[str, Any] = json.loads(raw)
            if kept["body"] != digest:
                raise Conflict(
                    "This Idempotency-Key was used with another body. Send a new key.",
                    code="idempotency_key_reused",
                )
            if ERASED in kept:
                raise Conflict(
                    "The object that this Idempotency-Key created was deleted. Send a new key to "
                    "create another.",
                    code="idempotency_key_reused",
                )
            if "answer" in kept:
                answer: dict[str, Any] = kept["answer"]
                return answer
            if time.monotonic() >= until:
                break
            await asyncio.sleep(_POLL_S)
        replaced = text(raw or "")
    return None
