"""The actors: what runs behind the gate, and what users do at the same time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.core.redis import REDIS_ERRORS
from tests.conftest import BASE_MODEL, chat_line
from tests.faults.invariants import JOBS, listed
from tests.faults.world import World

ROWS = "\n".join(chat_line(f"Question {i}?", f"Answer {i}.") for i in range(12)).encode()
# Not canonical, so that the check stores the rows.
TABLE = b"question,answer\n" + b"".join(b"q%d,a%d\n" % (i, i) for i in range(12))

Step = Callable[[World], Awaitable[None]]
Check = Callable[[World], AsyncIterator[str]]


async def _nothing(_: World) -> None:
    return


async def _no_checks(_: World) -> AsyncIterator[str]:
    for violation in tuple[str, ...]():
        yield violation


@dataclass(frozen=True)
class Actor:
    """Something that may fail at each of its operations.

    `arrange` runs before it without faults, and `again` afterwards: what a client does that got no
    answer, or an error. `acts` are what a user may do in between. `check` adds to the invariants.
    """

    name: str
    run: Step
    arrange: Step = _nothing
    again: Step = _nothing
    acts: Mapping[str, Step] = field(default_factory=dict)
    queues: tuple[str, ...] = ("cpu",)
    check: Check = _no_checks


async def send(world: World, method: str, path: str, **options: Any) -> int:
    """Send a request, note its answer, and return its status."""
    world.sent += 1
    world.notes.pop("answer", None)
    answer = await world.http.request(method, path, **options)
    world.notes["answer"] = answer
    world.notes.setdefault("statuses", []).append(answer.status_code)
    return answer.status_code


def retried(world: World) -> bool:
    """Return whether an SDK would send the last request again."""
    answer = world.notes.get("answer")
    return answer is None or answer.status_code in (408, 409, 429) or answer.status_code >= 500


async def post_file(world: World, data: bytes = ROWS, name: str = "chats.jsonl") -> None:
    """Upload a file."""
    form = {"files": {"file": (name, data)}, "data": {"purpose": "fine-tune"}}
    if await send(world, "POST", "/v1/files", **form) == 200:
        world.notes["file"] = world.notes["answer"].json()["id"]


async def _post_file_again(world: World) -> None:
    if retried(world):
        await post_file(world)


async def _one_file(world: World) -> AsyncIterator[str]:
    if (n := len(await listed(world, "/v1/files"))) != 1:
        yield f"{n} files after one upload"


async def _file_table(world: World) -> None:
    await post_file(world, TABLE, "table.csv")


async def _file_checked(world: World) -> None:
    await post_file(world)
    await world.settle()


async def delete_file(world: World) -> None:
    """Delete the file."""
    file_id = world.notes["file"]
    world.notes["failed"] = True  # so does what needs the file
    if await send(world, "DELETE", f"/v1/files/{file_id}") in (200, 404):
        world.deleted.add(file_id)


async def _delete_file_again(world: World) -> None:
    if retried(world):
        await delete_file(world)


async def post_job(world: World, key: str | None = None) -> None:
    """Create a job."""
    headers = {} if key is None else {"idempotency-key": key}
    body = {"model": BASE_MODEL, "training_file": world.notes["file"]}
    if await send(world, "POST", JOBS, json=body, headers=headers) == 200:
        world.notes["job"] = world.notes["answer"].json()["id"]


async def post_job_with_key(world: World) -> None:
    """Create a job, as an SDK does that sends an Idempotency-Key."""
    await post_job(world, "the-key")


async def _post_job_again(world: World) -> None:
    if retried(world):
        await post_job_with_key(world)


async def _one_job(world: World) -> AsyncIterator[str]:
    wanted = world.notes["answer"].status_code != 404  # its file is not deleted
    if (n := len(await listed(world, JOBS))) != wanted:
        yield f"{n} jobs for one idempotency key"


def _works(lane: str) -> Step:
    async def run(world: World) -> None:
        with contextlib.suppress(*REDIS_ERRORS):  # a worker goes on with the next round
            await world.work(lane)

    return run


_FILES = (
    Actor("post-file", run=post_file, again=_post_file_again, check=_one_file),
    Actor("delete-file", arrange=_file_checked, run=delete_file, again=_delete_file_again),
    Actor("check-file", arrange=_file_table, run=_works("cpu"), acts={"delete": delete_file}),
)
_JOBS = (
    Actor(
        "post-job",
        arrange=_file_checked,
        run=post_job_with_key,
        again=_post_job_again,
        acts={"delete": delete_file, "same-key": post_job_with_key},
        check=_one_job,
    ),
)
FILE_ACTORS, JOB_ACTORS = ([actor.name for actor in actors] for actors in (_FILES, _JOBS))
BY_NAME: Mapping[str, Actor] = {actor.name: actor for actor in (*_FILES, *_JOBS)}
