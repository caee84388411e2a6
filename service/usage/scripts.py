"""The two Lua scripts of the exchange. Each runs atomically in Redis.

They access keys that are not in KEYS, so they do not work on a Redis Cluster. Neither does the
rest of this service, whose transactions span the keys of several projects.
"""

from __future__ import annotations

# Adds one replica's sums to the totals exactly once. A batch whose response was lost is sent again
# with the same number, and a number that was already applied is skipped.
#   KEYS[1]  the last number applied for this replica
#   ARGV     number, lifetime of KEYS[1] in seconds, JSON of {rows, spends}
#   rows     {index, hash, project, field, overflow field, max fields, lifetime_s, {sums}}
#   spends   {hash, dimension, amount, capacity, max used, now_s, lifetime_s}
SETTLE = """
local number = tonumber(ARGV[1])
if number <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
local batch = cjson.decode(ARGV[3])
for _, row in ipairs(batch.rows) do
  local index, hash, project, field, overflow, most, lifetime, sums = unpack(row)
  local known, size = redis.call('HGET', hash, field), nil
  if not known then
    size = redis.call('HLEN', hash)
    if size >= most then
      field = overflow
      known = redis.call('HGET', hash, field)
    end
  end
  if known then
    local place = 0
    for n in string.gmatch(known, '%d+') do
      place = place + 1
      sums[place] = (sums[place] or 0) + tonumber(n)
    end
  end
  for place, n in ipairs(sums) do sums[place] = string.format('%.0f', n) end
  redis.call('HSET', hash, field, table.concat(sums, ' '))
  if size == 0 then
    redis.call('EXPIRE', hash, lifetime)
    redis.call('SADD', index, project)
    redis.call('EXPIRE', index, lifetime)
  end
end
for _, spend in ipairs(batch.spends) do
  local hash, dimension, amount, capacity, most, now, lifetime = unpack(spend)
  local used_at = redis.call('HMGET', hash, dimension .. '_used', dimension .. '_at_s')
  local used, at = tonumber(used_at[1] or '0'), tonumber(used_at[2] or now)
  used = math.max(0, used - math.max(0, now - at) * capacity / 60)
  used = math.min(math.max(0, used + amount), most)
  redis.call('HSET', hash,
    dimension .. '_used', string.format('%.3f', used),
    dimension .. '_at_s', string.format('%.3f', math.max(at, now)))
  redis.call('EXPIRE', hash, lifetime)
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""

# Publishes this replica's requests in flight, and reads the total usage and the other replicas'
# requests in flight. A replica that stops reporting is forgotten when its hash expires, by Redis's
# own clock.
#   KEYS[1]  set of replicas; KEYS[2] this replica's hash of requests in flight
#   ARGV     replica, prefix of these hashes, lifetime in milliseconds, JSON of
#            {in_flight: {{subject, requests, streams}}, subjects: {{subject, bucket hash}}}
#   returns  for each subject {requests used, at, tokens used, at, requests, streams elsewhere}
OBSERVE = """
local me, prefix = ARGV[1], ARGV[2]
local query = cjson.decode(ARGV[4])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], '-', '')
for _, row in ipairs(query.in_flight) do
  redis.call('HSET', KEYS[2], row[1], row[2] .. ' ' .. row[3])
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
local answer = {}
for _, row in ipairs(query.subjects) do
  local subject, hash = unpack(row)
  local found = redis.call('HMGET', hash, 'requests_used', 'requests_at_s',
    'tokens_used', 'tokens_at_s')
  local requests, streams = 0, 0
  for _, other in ipairs(others) do
    local counts = redis.call('HGET', other, subject)
    if counts then
      local r, s = string.match(counts, '^(%d+) (%d+)$')
      requests, streams = requests + tonumber(r), streams + tonumber(s)
    end
  end
  answer[#answer + 1] = {
    found[1] or '0', found[2] or '0', found[3] or '0', found[4] or '0', requests, streams,
  }
end
return answer
"""
