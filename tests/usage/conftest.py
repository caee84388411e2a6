"""Meters on a real Valkey, as replicas of one api, with a clock that tests control."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from service.config.limits import Limits
from service.core.redis import Client, connect
from service.usage.accounts import Admission, Served
from service.usage.meter import Meter
from service.web.auth import Principal
from service.web.permissions import Role
from tests.lossy import Road, road_to

NOON = 1_790_000_040.0  # a time far from other tests', at the start of a minute
assert NOON % 60 == 0


@dataclass
class Clock:
    """A clock that stands still until a test changes it."""

    now_s: float = NOON

    def __call__(self) -> float:
        return self.now_s

    def turn(self, seconds: float) -> None:
        self.now_s += seconds


def caller(
    key: str = "key_a",
    project: str = "proj_acme",
    *,
    key_limits: dict[str, Any] | None = None,
    **project_limits: Any,
) -> Principal:
    """A key whose project has the given limits."""
    return Principal(
        key, project, project.removeprefix("proj_"), Role.MEMBER,
        Limits(**(key_limits or {})), Limits(**project_limits),
    )  # fmt: skip


def served(
    model: str = "ft:m",
    *,
    tokens: tuple[int, int] = (10, 5),
    cached: int = 0,
    status: int = 200,
    **other: Any,
) -> Served:
    """A finished response, not streamed by default."""
    fields: dict[str, Any] = {
        "first_byte_s": 0.1,
        "seconds": 0.1,
        "streamed": False,
        "base_model": "tiny",
    }
    return Served(
        model=model, kind="adapter", status=status, cached_tokens=cached,
        input_tokens=tokens[0], output_tokens=tokens[1], **{**fields, **other},
    )  # fmt: skip


@dataclass
class Replica:
    """A meter with helper methods."""

    meter: Meter

    def admit(
        self,
        who: Principal,
        *,
        body: int = 40,
        max_tokens: int = 0,
        streamed: bool = False,
        answers: int = 1,
    ) -> Admission:
        return self.meter.admit(
            who, body_bytes=body, max_tokens=max_tokens, streamed=streamed, answers=answers
        )

    def serve(self, who: Principal, *, max_tokens: int = 0, **answer: Any) -> Admission:
        admission = self.admit(who, max_tokens=max_tokens)
        self.meter.done(admission, served(**answer))
        return admission

    async def flush(self) -> None:
        await self.meter.flush()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replica(redis: Client, clock: Clock) -> Callable[..., Replica]:
    """A new replica that exchanges when `flush()` is called."""

    def make(through: Client | None = None, **options: Any) -> Replica:
        return Replica(Meter(through or redis, clock=clock, **options))

    return make


@pytest.fixture
async def road(redis_url: str) -> AsyncIterator[Road]:
    """A proxy to Valkey that can be cut or lose responses."""
    async with road_to(redis_url) as road:
        yield road


@pytest.fixture
async def cut_redis(road: Road) -> AsyncIterator[Client]:
    """A client that connects through the proxy and does not retry."""
    client = connect(road.url, retries=0)
    yield client
    await client.aclose(close_connection_pool=True)
