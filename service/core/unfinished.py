"""Sets of unfinished records of all projects, by which the reconciler finds lost work.

A member is "project/…/id". It is added with the record, and removed with its final status.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from service.core.errors import RateLimited
from service.core.records import R, Unreadable
from service.core.redis import Client, reply, text


async def count_unfinished(redis: Client, key: str, project_id: str) -> int:
    """Return the number of the project's members of the set at `key`."""
    members = await reply(redis.smembers(key))
    return sum(text(member).startswith(f"{project_id}/") for member in members)


def check_room(
    unfinished: int, most: int, noun: str, *, code: str, retry_after_s: int = 30
) -> None:
    """Raise RateLimited if the project has as much unfinished work as it may have.

    This is not atomic with the write that follows, so concurrent requests may exceed the limit by
    their number. `noun` names the work in the plural.
    """
    if unfinished >= most:
        raise RateLimited(
            f"The project has {unfinished} {noun} in progress, and the limit is {most}. Try again "
            "when some have ended.",
            code=code,
            headers={"retry-after": str(retry_after_s)},
        )


async def read_unfinished(
    redis: Client,
    key: str,
    find: Callable[[list[str]], Awaitable[R | None]],
    is_unfinished: Callable[[R], bool],
) -> list[R]:
    """Return all readable unfinished records in the set at `key`.

    `find` gets the parts of a member. Members of finished or deleted records are removed, and those
    that only a newer version can read are left to it.
    """
    found = []
    for member in await reply(redis.smembers(key)):
        try:
            record = await find(text(member).split("/"))
        except Unreadable:
            continue
        if record is None or not is_unfinished(record):
            await reply(redis.srem(key, member))
        else:
            found.append(record)
    return found
