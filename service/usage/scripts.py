"""The two Lua scripts of the exchange, and the messages that they read and return as JSON.

Each script runs atomically in Redis. They access keys that are not in KEYS, so they do not work on
a Redis Cluster. Neither does the rest of this service, whose transactions span the keys of several
projects.
"""

from __future__ import annotations

import msgspec


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
