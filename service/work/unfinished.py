"""Sets of the unfinished records of all projects, in which the reconciler finds lost work.

A member is "project/…/id". It is added in the transaction that creates the record, and removed in
the one that writes a final status.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from service.core.errors import RateLimited
from service.core.records import Collection, R, Unreadable, parse
from service.core.redis import Client, batched, reply, text
from service.core.redis.transactions import Write, commit

_BATCH = 500


async def count_unfinished(redis: Client, key: str, project_id: str) -> int:
    """Return the number of the project's members of the set at `key`."""
    members = await reply(redis.smembers(key))
    return sum(text(member).startswith(f"{project_id}/") for member in members)


def check_room(unfinished: int, most: int, noun: str, *, retry_after_s: int = 30) -> None:
    """Raise RateLimited if the project has as much unfinished work as it may have.

    The check is not atomic with the write that follows, so concurrent requests may exceed the limit
    by their number. `noun` is the work in the plural.
    """
    if unfinished >= most:
        raise RateLimited(
            f"The project has {unfinished} {noun} in progress, and the limit is {most}. Try again "
            "when some have ended.",
            code="limit_reached",
            headers={"retry-after": str(retry_after_s)},
        )


async def read_unfinished(
    redis: Client,
    key: str,
    collection_of: Callable[[list[str]], Collection[R]],
    is_unfinished: Callable[[R], bool],
) -> list[R]:
    """Return all readable unfinished records in the set at `key`.

    `collection_of` gets the parts of a member, and returns the record's collection. Members of
    ended and deleted records are removed. Those that only a newer version can read are kept for it.
    """
    members = [text(member) for member in await reply(redis.smembers(key))]
    found: list[R] = []
    for some in batched(members, _BATCH):
        read, ended = await _read(redis, some, collection_of, is_unfinished)
        found += read
        if ended:
            await _remove_ended(redis, key, ended, collection_of, is_unfinished)
    return found


async def _remove_ended(
    redis: Client,
    key: str,
    members: Sequence[str],
    collection_of: Callable[[list[str]], Collection[R]],
    is_unfinished: Callable[[R], bool],
) -> None:
    """Remove members from the set, except those whose work was restarted in the meantime."""

    async def decide(pipe: Pipeline) -> tuple[None, Write | None]:
        _, ended = await _read(pipe, members, collection_of, is_unfinished)
        return None, (lambda pipe: pipe.srem(key, *ended)) if ended else None

    await commit(redis, _keys(members, collection_of), decide)


def _keys(members: Sequence[str], collection_of: Callable[[list[str]], Collection[R]]) -> list[str]:
    split = (member.split("/") for member in members)
    return [collection_of(parts).key(parts[0], parts[-1]) for parts in split]


async def _read(
    redis: Redis,
    members: Sequence[str],
    collection_of: Callable[[list[str]], Collection[R]],
    is_unfinished: Callable[[R], bool],
) -> tuple[list[R], list[str]]:
    """Return the unfinished records among the members, and the members of ended ones."""
    found: list[R] = []
    ended: list[str] = []
    values = await redis.mget(_keys(members, collection_of))
    for member, raw in zip(members, values, strict=True):
        parts = member.split("/")
        try:
            record = None if raw is None else parse(collection_of(parts).model, raw, parts[-1])
        except Unreadable:
            continue
        if record is None or not is_unfinished(record):
            ended.append(member)
        else:
            found.append(record)
    return found, ended
