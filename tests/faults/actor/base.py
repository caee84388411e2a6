"""What an actor is, and how its requests are sent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.core.redis import REDIS_ERRORS
from tests.conftest import chat_line
from tests.faults.gate import is_acting
from tests.faults.world import Step, World, nothing

ROWS = "\n".join(chat_line(f"Question {i}?", f"Answer {i}.") for i in range(12)).encode()

Check = Callable[[World], AsyncIterator[str]]


async def _no_checks(_: World) -> AsyncIterator[str]:
    for violation in tuple[str, ...]():
        yield violation


@dataclass(frozen=True)
class Actor:
    """Something that may fail at each of its operations.

    `arrange` runs before it without faults. `again` runs afterwards: what a client does that got no
    answer, or an error. `acts` are what a user may do in between. `check` adds to the invariants.
    """

    name: str
    run: Step
    arrange: Step = nothing
    again: Step = nothing
    acts: Mapping[str, Step] = field(default_factory=dict)
    check: Check = _no_checks


async def send(world: World, method: str, path: str, **options: Any) -> int:
    """Send a request, note its answer, and return its status."""
    return (await _answer(world, method, path, **options)).status_code


async def make(world: World, path: str, noted: str, **options: Any) -> None:
    """Send a POST, and note the ID of what it made."""
    answer = await _answer(world, "POST", path, **options)
    if answer.status_code == 200:
        world.notes[noted] = answer.json()["id"]


async def _answer(world: World, method: str, path: str, **options: Any) -> httpx.Response:
    """Send a request and return its answer, which is noted unless the request is an act.

    An act may end after the actor, whose answer must stay the last one.
    """
    if is_acting():
        return await world.http.request(method, path, **options)
    world.sent += 1
    world.notes.pop("answer", None)
    answer = await world.http.request(method, path, **options)
    world.notes["answer"] = answer
    return answer


def key(name: str) -> dict[str, str]:
    """Return the header of an Idempotency-Key."""
    return {"idempotency-key": name}


def retrying(step: Step) -> Step:
    """Return a step that does the same again if an SDK would."""

    async def again(world: World) -> None:
        answer = world.notes.get("answer")
        if answer is None or answer.status_code in (408, 409, 429) or answer.status_code >= 500:
            await step(world)

    return again


def answered(*statuses: int) -> Check:
    """Return a check of the status of the last answer, which the client keeps."""

    async def check(world: World) -> AsyncIterator[str]:
        status = world.notes["answer"].status_code
        if status not in statuses:
            yield f"the client receives {status} in the end"

    return check


def both(*checks: Check) -> Check:
    """Return several checks as one."""

    async def check(world: World) -> AsyncIterator[str]:
        for one in checks:
            async for violation in one(world):
                yield violation

    return check


def one(count: Callable[[World], Awaitable[int]], thing: str, for_what: str = "request") -> Check:
    """Return a check that there is one thing, or none if what it needs was deleted."""

    async def check(world: World) -> AsyncIterator[str]:
        wanted = int(world.notes["answer"].status_code != 404)
        if (n := await count(world)) != wanted:
            yield f"{n} {thing}s for one {for_what}"

    return check


def works(lane: str) -> Step:
    """Return a round of a worker's loop at a queue. The loop survives an outage of Redis."""

    async def run(world: World) -> None:
        with contextlib.suppress(*REDIS_ERRORS):
            await world.work(lane)

    return run


def requests(name: str, step: Step, **more: Any) -> Actor:
    """Return the actor that handles a request, which is sent again as SDKs do."""
    return Actor(name, run=step, again=retrying(step), **more)
