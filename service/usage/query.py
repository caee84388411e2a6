"""Reads stored usage: the buckets of a query, their filters and grouping, and pages of results."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from service.core.errors import BadRequest
from service.core.redis import text
from service.usage import keys
from service.usage.schemas import BucketWidth, GroupBy, UsageBucket, UsagePage, UsageResult
from service.usage.sums import WIDTH_S, Counts, Group, Width

BUCKET_S: dict[BucketWidth, int] = {"1m": 60, "1h": 3600, "1d": 24 * 3600}
# Default and maximum number of buckets per page, as in OpenAI's API.
_LIMITS: dict[BucketWidth, tuple[int, int]] = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
_PAGE = re.compile(r"page_([0-9]{1,12})")
_HASHES_AT_ONCE = 50
_KEPT_SPANS_AT_ONCE = 60
# A page ends early, after a complete bucket, once it holds this many results.
_MAX_RESULTS = 5_000


@dataclass(frozen=True)
class Spans:
    """The buckets of one page, and the cursor of the next page."""

    width: BucketWidth
    starts: range
    next_page: str | None

    @property
    def kept_width(self) -> Width:
        """The width of the stored sums."""
        return _kept(self.width)

    @property
    def bucket_s(self) -> int:
        """The length of a bucket in seconds."""
        return BUCKET_S[self.width]

    def kept_starts(self, start_s: int) -> range:
        """The start times of the stored sums that make up the bucket starting at `start_s`."""
        return range(start_s, start_s + BUCKET_S[self.width], WIDTH_S[self.kept_width])


def spans(
    width: BucketWidth,
    start_s: int,
    end_s: int | None,
    *,
    limit: int | None,
    page: str | None,
    now_s: int,
) -> Spans:
    """The requested buckets, aligned and limited to the retention period and the present.

    Raises BadRequest for invalid parameters.
    """
    bucket_s = BUCKET_S[width]
    if end_s is not None and end_s <= start_s:
        raise BadRequest("end_time must be after start_time.", param="end_time")
    default, most = _LIMITS[width]
    if limit is not None and limit > most:
        raise BadRequest(f"With {width} buckets, limit is at most {most}.", param="limit")
    oldest_s = now_s - keys.KEPT_S[_kept(width)]
    first_s = max(start_s, oldest_s)
    if page is not None:
        first_s = max(first_s, _page_start(page))
    stop_s = min(now_s + 1, end_s if end_s is not None else now_s + 1)
    first_s -= first_s % bucket_s
    whole = range(first_s, stop_s, bucket_s)
    shown = whole[: limit or default]
    more = len(whole) > len(shown)
    return Spans(width, shown, page_at(shown.stop) if more else None)


def _kept(width: BucketWidth) -> Width:
    """The width of the stored sums behind a bucket. Days are summed from hours."""
    return "1m" if width == "1m" else "1h"


def page_at(start_s: int) -> str:
    """The cursor of the page that starts with this bucket."""
    return f"page_{start_s}"


def _page_start(page: str) -> int:
    match = _PAGE.fullmatch(page)
    if match is None:
        raise BadRequest(
            "page must be the next_page of an earlier response.",
            param="page",
            code="invalid_cursor",
        )
    return int(match[1])


@dataclass(frozen=True)
class Filters:
    """Filters (None for no filter) and grouping of a usage query."""

    key_ids: Collection[str] | None
    models: Collection[str] | None
    group_by: Collection[GroupBy]
    batch: bool | None = None

    def passes(self, group: Group) -> bool:
        """Whether this group matches the filters."""
        return (
            (self.key_ids is None or group.key_id in self.key_ids)
            and (self.models is None or group.model in self.models)
            and self.batch in (None, group.batch)
        )


class BucketSums:
    """The sums of one bucket, by the requested grouping."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._sums: dict[tuple[str | None, str | None, str | None, bool | None], Counts] = {}

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, group: Group, counts: Counts) -> None:
        """Add stored sums to those of their group."""
        if not self._filters.passes(group):
            return
        by = self._filters.group_by
        place = (
            group.project_id if "project_id" in by else None,
            group.key_id if "api_key_id" in by else None,
            group.model if "model" in by else None,
            group.batch if "batch" in by else None,
        )
        found = self._sums.get(place)
        if found is None:
            found = self._sums[place] = Counts()
        found.add(counts)

    def bucket(self, start_s: int, end_s: int) -> UsageBucket:
        """The API object for the bucket."""
        return UsageBucket(start_time=start_s, end_time=end_s, results=list(self._results()))

    def _results(self) -> Iterator[UsageResult]:
        ordered = sorted(self._sums.items(), key=lambda item: [str(part or "") for part in item[0]])
        for (project_id, key_id, model, batch), sums in ordered:
            yield UsageResult(
                input_tokens=sums.input_tokens,
                output_tokens=sums.output_tokens,
                input_cached_tokens=sums.cached_tokens,
                num_model_requests=sums.requests,
                num_failed_requests=sums.failed,
                project_id=project_id,
                api_key_id=key_id,
                model=model,
                batch=batch,
                mean_time_to_first_token_ms=_mean_ms(sums.first_token_us, sums.streams),
                mean_time_per_output_token_ms=_mean_ms(sums.later_tokens_us, sums.later_tokens),
            )


def _mean_ms(total_us: int, count: int) -> float | None:
    return round(total_us / 1000 / count, 3) if count else None


class UsageRecords:
    """Usage sums by project, key and model, per minute and hour."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(
        self, width: Width, starts: Sequence[int], projects: Collection[str] | None
    ) -> AsyncIterator[tuple[Group, Counts]]:
        """Yield the sums in these intervals for these projects, or for all if None."""
        places = await self._places(width, starts, projects)
        for at in range(0, len(places), _HASHES_AT_ONCE):
            some = places[at : at + _HASHES_AT_ONCE]
            async with self._redis.pipeline(transaction=False) as pipe:
                for project_id, start_s in some:
                    pipe.hgetall(keys.usage(project_id, width, start_s))
                hashes = await pipe.execute()
            for (project_id, start_s), fields in zip(some, hashes, strict=True):
                for field, line in fields.items():
                    key_id, _, rest = text(field).partition(" ")
                    model = rest.removesuffix(keys.OF_BATCHES)
                    group = Group(start_s, project_id, key_id, model, model != rest)
                    yield group, Counts.parse(text(line))

    async def _places(
        self, width: Width, starts: Sequence[int], projects: Collection[str] | None
    ) -> list[tuple[str, int]]:
        """The hashes to read. For a single project, an index lookup is not worthwhile."""
        if projects is not None and len(projects) < 2:
            return [(project_id, start_s) for start_s in starts for project_id in projects]
        async with self._redis.pipeline(transaction=False) as pipe:
            for start_s in starts:
                pipe.smembers(keys.usage_index(width, start_s))
            members = await pipe.execute()
        return [
            (text(project_id), start_s)
            for start_s, known in zip(starts, members, strict=True)
            for project_id in known
            if projects is None or text(project_id) in projects
        ]


async def read_page(
    records: UsageRecords,
    spans: Spans,
    filters: Filters,
    projects: Collection[str] | None,
    *,
    max_results: int = _MAX_RESULTS,
) -> UsagePage:
    """The page with the requested buckets, for these projects or for all if None."""
    data: list[UsageBucket] = []
    starts, bucket_s, results = spans.starts, spans.bucket_s, 0
    at_once = max(1, _KEPT_SPANS_AT_ONCE // len(spans.kept_starts(0)))
    for at in range(0, len(starts), at_once):
        sums = {start_s: BucketSums(filters) for start_s in starts[at : at + at_once]}
        kept = [kept_s for start_s in sums for kept_s in spans.kept_starts(start_s)]
        async for group, counts in records.read(spans.kept_width, kept, projects):
            sums[group.start_s - group.start_s % bucket_s].add(group, counts)
        for start_s, bucket in sums.items():
            results += len(bucket)
            data.append(bucket.bucket(start_s, start_s + bucket_s))
            if results >= max_results and start_s != starts[-1]:
                return UsagePage(data=data, has_more=True, next_page=page_at(start_s + bucket_s))
    return UsagePage(data=data, has_more=spans.next_page is not None, next_page=spans.next_page)
