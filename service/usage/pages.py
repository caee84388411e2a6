"""Build pages of the usage API from stored sums."""

from __future__ import annotations

from collections.abc import Collection

from service.usage.query import BucketSums, Filters, Spans, page_at
from service.usage.records import UsageRecords
from service.usage.schemas import UsageBucket, UsagePage

# A page ends early, after a complete bucket, once it holds this many results.
_MAX_RESULTS = 5_000
_KEPT_SPANS_AT_ONCE = 60


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
