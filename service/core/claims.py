"""Claims: the right to store the answer to an idempotent request, together with what it creates.

A claim is a Redis key with a random value. The transaction that creates the record requires this
value and replaces it with the answer. So a request whose response was lost finds its answer when
it is sent again, and of several requests only one can create a record.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from redis.asyncio.client import Pipeline

T = TypeVar("T")
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
    """A claim at a Redis key, which has this value as long as nobody else claims it.

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
