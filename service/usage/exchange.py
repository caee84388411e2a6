"""Exchange with Redis: sends sums in numbered batches and reads totals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from redis.asyncio import Redis

from service.core import ids
from service.core.redis import reply
from service.usage import keys, scripts
from service.usage.buckets import MAX_DEBT, Bucket
from service.usage.rows import PendingRow, PendingRows
from service.usage.scripts import (
    Batch,
    InFlight,
    Observed,
    Presence,
    Spend,
    Sums,
    Watched,
)
from service.usage.subjects import Subject

# A script blocks Redis for about 10 µs per row, so for about a millisecond per batch.
_ROWS_AT_ONCE = 100
_SPENDS_AT_ONCE = 100
_SUBJECTS_AT_ONCE = 200
_ACTIVE_S = 120.0  # subjects with a request within this time are exchanged

# Redis keeps numbers as text.
_observed = msgspec.json.Decoder(dict[str, Observed], strict=False)


class UsageExchange:
    """One replica's side of the exchange. Not safe for concurrent use."""

    def __init__(
        self,
        redis: Redis,
        *,
        clock: Callable[[], float],
        in_flight_ttl_s: float,
        replica: str | None = None,
    ) -> None:
        self.replica = replica or ids.random_part(16)
        self.rows = PendingRows()
        self.last_s = clock()
        self._redis = redis
        self._clock = clock
        self._ttl_ms = max(1, round(in_flight_ttl_s * 1000))
        self._settle = redis.register_script(scripts.SETTLE)
        self._observe = redis.register_script(scripts.OBSERVE)
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
