"""The outbox: webhook events that have not been assigned to endpoints yet.

    finetuned:webhook-outbox    events as JSON, by time

An event is added in the same transaction as the change that it reports. A worker then replaces the
event by one delivery per endpoint in a single step, so no event is lost if a process dies.
"""

from __future__ import annotations

import json

from redis.asyncio.client import Pipeline

from service.core.records import PREFIX, Unreadable, parse
from service.core.redis import reply
from service.webhooks.events import Event
from service.webhooks.records import Delivery, Endpoint, Webhooks
from service.webhooks.schedule import DUE

OUTBOX = f"{PREFIX}:webhook-outbox"
_BATCH = 100

# Moves an event from the outbox to its endpoints, at most once.
#   KEYS[1]  the outbox; KEYS[2] endpoints by due time
#   ARGV     the event in the outbox, the current time, the deliveries as JSON:
#            {endpoint, key of its due events, event id, record's key, record, index of records}
_FAN_OUT = """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
for _, delivery in ipairs(cjson.decode(ARGV[3])) do
  local endpoint, due, id, key, record, index = unpack(delivery)
  redis.call('SET', key, record)
  redis.call('ZADD', index, ARGV[2], id)
  redis.call('ZADD', due, ARGV[2], id)
  local known = redis.call('ZSCORE', KEYS[2], endpoint)
  if not known or tonumber(known) > tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[2], ARGV[2], endpoint)
  end
end
return 1
"""


def add(pipe: Pipeline, event: Event) -> None:
    """Add an event to the outbox as part of a transaction."""
    pipe.zadd(OUTBOX, {event.model_dump_json(): event.created_at})


async def fan_out(webhooks: Webhooks, now_s: float) -> int:
    """Create deliveries for the oldest events. Returns the number of events handled."""
    members = await webhooks.redis.zrange(OUTBOX, 0, _BATCH - 1)
    for member in members:
        try:
            event = parse(Event, member, "of the outbox")
        except Unreadable:
            await webhooks.redis.zrem(OUTBOX, member)
            continue
        endpoints = await webhooks.subscribed(event.project_id, event.type)
        deliveries = [_delivery(webhooks, endpoint, event) for endpoint in endpoints]
        await reply(
            webhooks.redis.eval(
                _FAN_OUT, 2, OUTBOX, DUE, member, str(now_s), json.dumps(deliveries)
            )
        )
    return len(members)


def _delivery(webhooks: Webhooks, endpoint: Endpoint, event: Event) -> list[str]:
    """The arguments of `_FAN_OUT` for one endpoint."""
    project_id, address = endpoint.project_id, endpoint.address
    deliveries = webhooks.deliveries(endpoint.id)
    record = Delivery(id=event.id, project_id=project_id, created_at=event.created_at, event=event)
    return [
        address.member,
        address.due_key,
        event.id,
        deliveries.key(project_id, event.id),
        record.model_dump_json(),
        deliveries.index(project_id),
    ]
