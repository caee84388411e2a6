"""Synchronizes usage and requests in flight among replicas, through Redis.

Each replica sends its sums in numbered batches, and reads the totals of all replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from redis.asyncio import Redis

from service.core import ids
from service.core.redis import reply
from service.usage import keys
from service.usage.limits import MAX_DEBT, Bucket, Subject
from service.usage.sums import PendingRow, PendingRows

# Adds one replica's sums to the totals exactly once. A batch whose response was lost is sent again
# with the same number, and a number that was already applied is skipped.
#   KEYS[1]  the last number applied for this replica
#   ARGV     number, lifetime of KEYS[1] in seconds, Batch
SETTLE = """
local number = tonumber(ARGV[1])
if number <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
local batch = cjson.decode(ARGV[3])
for _, row in ipairs(batch.sums) do
  local hash, field, counts = row.hash, row.field, row.counts
  if row.audited ~= '' then redis.call('HINCRBY', batch.audit, row.audited, counts[1]) end
  local known, size = redis.call('HGET', hash, field), nil
  if not known then
    size = redis.call('HLEN', hash)
    if size >= batch.max_fields then
      field = batch.overflow
      known = redis.call('HGET', hash, field)
    end
  end
  if known then
    local place = 0
    for n in string.gmatch(known, '%d+') do
      place = place + 1
      counts[place] = (counts[place] or 0) + tonumber(n)
    end
  end
  for place, n in ipairs(counts) do counts[place] = string.format('%.0f', n) end
  redis.call('HSET', hash, field, table.concat(counts, ' '))
  if size == 0 then
    redis.call('EXPIRE', hash, row.kept_s)
    redis.call('SADD', row.index, row.project)
    redis.call('EXPIRE', row.index, row.kept_s)
  end
end
local now = batch.now_s
for _, spend in ipairs(batch.spends) do
  local hash, dimension, capacity = spend.hash, spend.dimension, spend.capacity
  local used_at = redis.call('HMGET', hash, dimension .. '_used', dimension .. '_at_s')
  local used, at = tonumber(used_at[1] or '0'), tonumber(used_at[2] or now)
  used = math.max(0, used - math.max(0, now - at) * capacity / 60)
  used = math.min(math.max(0, used + spend.amount), batch.max_debt * capacity)
  redis.call('HSET', hash,
    dimension .. '_used', string.format('%.3f', used),
    dimension .. '_at_s', string.format('%.3f', math.max(at, now)))
  redis.call('EXPIRE', hash, batch.limits_kept_s)
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""
# Publishes this replica's requests in flight, and reads the total usage and the other replicas'
# requests in flight. A replica that stops reporting is forgotten when its hash expires, by Redis's
# own clock.
#   KEYS[1]  set of replicas; KEYS[2] this replica's hash of requests in flight
#   ARGV     replica, prefix of these hashes, lifetime in milliseconds, Presence
#   returns  Observed, by subject
OBSERVE = """
local me, prefix = ARGV[1], ARGV[2]
local presence = cjson.decode(ARGV[4])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], '-', '')
for _, row in ipairs(presence.in_flight) do
  redis.call('HSET', KEYS[2], row.subject, row.requests .. ' ' .. row.streams)
end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SADD', KEYS[1], me)
redis.call('EXPIRE', KEYS[1], 86400)
local others = {}
for _, replica in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if replica ~= me then
    if redis.call('EXISTS', prefix .. replica) == 1 then
      others[#others + 1] = prefix .. replica
    else
      redis.call('SREM', KEYS[1], replica)
    end
  end
end
local observed = {}
for _, row in ipairs(presence.subjects) do
  local found = redis.call('HMGET', row.hash, 'requests_used', 'requests_at_s',
    'tokens_used', 'tokens_at_s')
  local requests, streams = 0, 0
  for _, other in ipairs(others) do
    local counts = redis.call('HGET', other, row.subject)
    if counts then
      local r, s = string.match(counts, '^(%d+) (%d+)$')
      requests, streams = requests + tonumber(r), streams + tonumber(s)
    end
  end
  observed[row.subject] = {
    requests_used = found[1] or nil,
    requests_at_s = found[2] or nil,
    tokens_used = found[3] or nil,
    tokens_at_s = found[4] or nil,
    requests_elsewhere = requests > 0 and requests or nil,
    streams_elsewhere = streams > 0 and streams or nil,
  }
end
return cjson.encode(observed)
"""
# A script blocks Redis for about 10 µs per row, so for about a millisecond per batch.
_ROWS_AT_ONCE = 100
_SPENDS_AT_ONCE = 100
_SUBJECTS_AT_ONCE = 200
_ACTIVE_S = 120.0  # subjects with a request within this time are synchronized


class Sums(msgspec.Struct, frozen=True):
    """Sums of one key and model in one interval, for one field of the interval's hash.

    `index` is the set of projects with usage in the interval. `counts` are in the order in which
    Redis keeps them (`Counts`). `audited` is the field of the requests that the audit log has no
    entry about yet, or empty.
    """

    index: str
    hash: str
    project: str
    field: str
    kept_s: int
    counts: tuple[int, ...]
    audited: str = ""


class Spend(msgspec.Struct, frozen=True):
    """Usage of one dimension of a limit, kept in `hash`."""

    hash: str
    dimension: str
    amount: int
    capacity: int


class Batch(msgspec.Struct, frozen=True):
    """What SETTLE adds to the totals.

    A hash with `max_fields` fields takes further sums in the field `overflow`. The usage of a
    limit is at most `max_debt` times its capacity, and is kept for `limits_kept_s` after `now_s`.
    """

    sums: list[Sums]
    spends: list[Spend]
    overflow: str
    max_fields: int
    max_debt: float
    limits_kept_s: int
    now_s: float
    audit: str
    """The hash of the requests that the audit log has no entry about yet."""


class InFlight(msgspec.Struct, frozen=True):
    """Requests that this replica is answering for a subject, and how many of them are streams."""

    subject: str
    requests: int
    streams: int


class Watched(msgspec.Struct, frozen=True):
    """A subject to read the total usage of, and the hash that it is kept in."""

    subject: str
    hash: str


class Presence(msgspec.Struct, frozen=True):
    """What OBSERVE publishes for this replica, and the subjects to read."""

    in_flight: list[InFlight]
    subjects: list[Watched]


class Observed(msgspec.Struct, frozen=True):
    """The usage of a subject by all replicas, and the other replicas' requests in flight.

    OBSERVE leaves out what is zero.
    """

    requests_used: float = 0.0
    requests_at_s: float = 0.0
    tokens_used: float = 0.0
    tokens_at_s: float = 0.0
    requests_elsewhere: int = 0
    streams_elsewhere: int = 0


# Redis keeps numbers as text.
_observed = msgspec.json.Decoder(dict[str, Observed], strict=False)


class ReplicaSync:
    """Synchronizes one replica with the others. Not safe for concurrent use."""

    def __init__(
        self,
        redis: Redis,
        *,
        clock: Callable[[], float],
        in_flight_ttl_s: float,
    ) -> None:
        self.replica = ids.random_part(16)
        self.rows = PendingRows()
        self.last_s = clock()
        self._redis = redis
        self._clock = clock
        self._ttl_ms = max(1, round(in_flight_ttl_s * 1000))
        self._settle = redis.register_script(SETTLE)
        self._observe = redis.register_script(OBSERVE)
        self._published = False  # whether requests in flight here are currently published
        self._number = 0
        # A batch sent without a response. It may or may not have been applied, so it is sent
        # again under the same number before any other.
        self._sealed: bytes | None = None

    async def run(self, limited: Sequence[Subject]) -> None:
        """Send all pending usage, then read totals. On RedisError or OSError, nothing is lost."""
        while (batch := self._seal(limited)) is not None:
            await self._settle(
                keys=[keys.settled(self.replica)],
                args=[self._number, keys.SETTLED_KEPT_S, batch],
            )
            self._sealed = None
        now_s = self._clock()
        active: list[Subject] = []
        for subject in limited:
            if subject.in_flight or now_s - subject.touched_s < _ACTIVE_S:
                active.append(subject)
            else:
                subject.forget_elsewhere()
        in_flight = [
            InFlight(s.id, s.in_flight, s.streams)
            for s in active
            if s.in_flight and (s.concurrent_requests or s.concurrent_streams)
        ]
        for start in range(0, len(active), _SUBJECTS_AT_ONCE):
            await self._learn(active[start : start + _SUBJECTS_AT_ONCE], in_flight)
        if not active and self._published:
            await self._learn([], [])  # the published requests have ended
        self._published = bool(in_flight)
        self.last_s = now_s

    async def leave(self) -> None:
        """Remove this replica immediately. Call after its last batch was applied."""
        await self._redis.delete(keys.IN_FLIGHT + self.replica, keys.settled(self.replica))
        await reply(self._redis.srem(keys.REPLICAS, self.replica))

    def _seal(self, limited: Sequence[Subject]) -> bytes | None:
        """The batch to send; None if nothing is pending."""
        if self._sealed is None:
            sums = [_sums(row) for row in self.rows.take(_ROWS_AT_ONCE)]
            spends = self._spends(limited)
            if not sums and not spends:
                return None
            self._number += 1
            batch = Batch(
                sums,
                spends,
                overflow=keys.OVERFLOW,
                max_fields=keys.MAX_GROUPS,
                max_debt=MAX_DEBT,
                limits_kept_s=keys.LIMITS_KEPT_S,
                now_s=self._clock(),
                audit=keys.AUDITED,
            )
            self._sealed = msgspec.json.encode(batch)
        return self._sealed

    def _spends(self, limited: Sequence[Subject]) -> list[Spend]:
        spends: list[Spend] = []
        for subject in limited:
            if len(spends) >= _SPENDS_AT_ONCE:
                break
            spends += [
                Spend(keys.limits(subject.id), dimension, bucket.settle(), bucket.capacity)
                for dimension, bucket in _buckets(subject)
                if bucket.unsent
            ]
        return spends

    async def _learn(self, subjects: Sequence[Subject], in_flight: list[InFlight]) -> None:
        watched = [Watched(s.id, keys.limits(s.id)) for s in subjects]
        answer = await self._observe(
            keys=[keys.REPLICAS, keys.IN_FLIGHT + self.replica],
            args=[
                self.replica,
                keys.IN_FLIGHT,
                self._ttl_ms,
                msgspec.json.encode(Presence(in_flight, watched)),
            ],
        )
        observed = _observed.decode(answer)
        now_s = self._clock()
        for subject in subjects:
            found = observed[subject.id]
            if subject.requests is not None:
                subject.requests.learn(found.requests_used, found.requests_at_s, now_s)
            if subject.tokens is not None:
                subject.tokens.learn(found.tokens_used, found.tokens_at_s, now_s)
            subject.requests_elsewhere = found.requests_elsewhere
            subject.streams_elsewhere = found.streams_elsewhere


def _sums(row: PendingRow) -> Sums:
    width, group = row.width, row.group
    audited = keys.audited(group.project_id, group.key_id, group.start_s, batch=group.batch)
    return Sums(
        index=keys.usage_index(width, group.start_s),
        hash=keys.usage(group.project_id, width, group.start_s),
        project=group.project_id,
        field=f"{group.key_id} {group.model}{keys.OF_BATCHES if group.batch else ''}",
        kept_s=keys.KEPT_S[width],
        counts=row.counts.numbers(),
        audited=audited if width == "1m" else "",
    )


def _buckets(subject: Subject) -> list[tuple[str, Bucket]]:
    pairs = (("requests", subject.requests), ("tokens", subject.tokens))
    return [(dimension, bucket) for dimension, bucket in pairs if bucket is not None]
