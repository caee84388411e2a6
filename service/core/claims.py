"""Claims of idempotent requests, which store the answer in the transaction that creates a record.

A claim is a Redis key with a random value. The transaction requires this value and replaces it with
the answer. So a request whose response was lost finds its answer when it is sent again, and only
one of several equal requests can create a record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX
from service.core.redis import Client, batched, text

T = TypeVar("T")
ERASED: Final = "erased"
"""Replaces the answer if the created object was deleted."""
_NAMES_OF_OBJECTS: Final = ("id", "eval_id")
_SCANNED_AT_ONCE: Final = 1000
ANSWER_LIFETIME_S = 24 * 3600


class ClaimLost(Exception):
    """Another request has the claim or has stored the answer."""


class Claim(Generic[T]):
    """The claim of one request. The default requires and stores nothing."""

    async def check(self, pipe: Pipeline) -> None:
        """Watch the claim, so that the transaction fails without it. Raises ClaimLost."""

    def settle(self, pipe: Pipeline, created: T) -> None:
        """Add the answer to the transaction that creates this record."""


class StoredClaim(Claim[T]):
    """A claim at a Redis key, whose value changes if another request claims it.

    `answer` returns the answer to the request that created a record.
    """

    def __init__(
        self, key: str, value: bytes | None, body: str, answer: Callable[[T], dict[str, Any]]
    ) -> None:
        self.key = key
        self.value = value
        self._body = body
        self._answer = answer

    async def check(self, pipe: Pipeline) -> None:
        """Watch the claim, so that the transaction fails without it. Raises ClaimLost."""
        await pipe.watch(self.key)
        if await pipe.get(self.key) != self.value:
            raise ClaimLost

    def settle(self, pipe: Pipeline, created: T) -> None:
        """Add the answer to the transaction that creates this record."""
        answer = {"body": self._body, "answer": self._answer(created)}
        pipe.set(self.key, json.dumps(answer), ex=ANSWER_LIFETIME_S)


def claim_key(project_id: str, digest: str) -> str:
    """Return the Redis key of the claims with the `Idempotency-Key` that has this digest."""
    return f"{PREFIX}:{project_id}:idempotency:{digest}"


async def forget_answers(
    redis: Client, deleted: Mapping[str, set[str]], also: Callable[[Pipeline], Any]
) -> None:
    """Remove the stored answers about deleted objects, whose IDs are given by project.

    `also` adds commands to the transaction that removes an answer.
    """
    if not deleted:
        return
    keys = [
        key
        async for key in redis.scan_iter(claim_key("*", "*"), count=_SCANNED_AT_ONCE)
        if text(key).split(":")[1] in deleted
    ]
    for batch in batched(keys, _SCANNED_AT_ONCE):
        for key, stored in zip(batch, await redis.mget(batch), strict=True):
            claim = json.loads(stored or "{}")
            answer, gone = claim.get("answer"), deleted[text(key).split(":")[1]]
            if answer and not gone.isdisjoint(answer.get(name) for name in _NAMES_OF_OBJECTS):
                erased = json.dumps({"body": claim["body"], ERASED: True})
                async with redis.pipeline() as pipe:
                    pipe.set(key, erased, xx=True, keepttl=True)
                    also(pipe)
                    await pipe.execute()
