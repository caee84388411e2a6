"""The outbox: events such as the end of a job, written in its transaction and processed once.

    finetuned:webhook-outbox    events that no worker has processed yet, as JSON, by time
    finetuned:events-processed  the number of processed events, by type

An event is added in the same transaction as the change that it reports. Later, one script removes
it, counts it, and runs the commands of its readers, such as adding webhook deliveries. So each
event is counted and handed to each reader exactly once, no matter which process dies, or when.

An event that this version cannot parse, because a newer one wrote it, stays for a newer worker.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel, ConfigDict
from redis.asyncio.client import Pipeline

from service.core.records import PREFIX, Unreadable, parse
from service.core.redis import Client, reply, text

OUTBOX = f"{PREFIX}:webhook-outbox"  # named when only webhooks read it
PROCESSED = f"{PREFIX}:events-processed"
_BATCH = 100

# Processes an event at most once.
#   KEYS[1]  the outbox; KEYS[2] the numbers of processed events
#   ARGV     the event in the outbox, its type, the commands of the readers as JSON
_PROCESS = """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], ARGV[2], 1)
for _, command in ipairs(cjson.decode(ARGV[3])) do redis.call(unpack(command)) end
return 1
"""


class Event(BaseModel):
    """An event in a project. `type` is a string so that older versions can read new types."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    project_id: str
    created_at: int
    type: str
    subject_id: str


Command = Sequence[str]
"""A command for Redis: its name and arguments."""

Reader = Callable[[Event], Awaitable[Sequence[Command]]]
"""Returns the commands to run for an event, in the step that removes the event."""


def add(pipe: Pipeline, event: Event) -> None:
    """Add an event to the outbox as part of a transaction."""
    pipe.zadd(OUTBOX, {event.model_dump_json(): event.created_at})


async def process(redis: Client, readers: Sequence[Reader]) -> int:
    """Process all events that this version can parse, oldest first. Returns their number.

    Several workers may do this at once.
    """
    processed = unreadable = 0
    while members := await redis.zrange(OUTBOX, unreadable, unreadable + _BATCH - 1):
        for member in members:
            try:
                event = parse(Event, member, "of the outbox")
            except Unreadable:
                unreadable += 1
                continue
            commands = [command for reader in readers for command in await reader(event)]
            arguments = (member, event.type, json.dumps(commands))
            processed += int(await reply(redis.eval(_PROCESS, 2, OUTBOX, PROCESSED, *arguments)))
    return processed


async def processed_by_type(redis: Client) -> dict[str, int]:
    """Return the number of processed events of each type, since the installation began."""
    found = await reply(redis.hgetall(PROCESSED))
    return {text(event_type): int(number) for event_type, number in found.items()}
