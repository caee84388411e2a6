"""Sorted sets of records that expire: "project/id", scored by the expiration time."""

from __future__ import annotations

from service.core.records import Collection, R, Unreadable
from service.core.redis import Client, reply, text


async def read_expired(redis: Client, key: str, records: Collection[R], now_s: int) -> list[R]:
    """Return the records in the sorted set at `key` that have expired.

    Members without a record are removed, and those that only a newer version can read are left to
    it.
    """
    found: list[R] = []
    for member in await reply(redis.zrangebyscore(key, "-inf", now_s)):
        project_id, record_id = text(member).split("/", 1)
        try:
            record = await records.get(project_id, record_id)
        except Unreadable:
            continue
        if record is None:
            await reply(redis.zrem(key, member))
        else:
            found.append(record)
    return found
