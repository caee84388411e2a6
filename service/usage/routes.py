"""`GET /v1/organization/usage/completions`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Query

from service.core import clock, ids
from service.usage.query import Filters, UsageRecords, read_page, spans
from service.usage.schemas import BucketWidth, GroupBy, UsagePage
from service.web.deps import Caller, RedisClient, list_query
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/organization/usage", tags=["Usage"])

Text = Annotated[str, Query(max_length=256)]
Time = Annotated[int, Query(ge=0, le=253_402_300_799)]
Texts: TypeAlias = frozenset[str] | None


async def _filters(
    group_by: Annotated[
        frozenset[GroupBy] | None,
        list_query(GroupBy, "group_by", "Fields to group the results by.", most=7),
    ],
    api_key_ids: Annotated[Texts, list_query(Text, "api_key_ids", "API keys to filter by.")],
    models: Annotated[Texts, list_query(Text, "models", "Models to filter by.")],
    batch: Annotated[
        bool | None,
        Query(description="Whether to return only the usage of batches, or only the other usage."),
    ] = None,
) -> Filters:
    return Filters(
        batch=batch, group_by=group_by or frozenset(), key_ids=api_key_ids, models=models
    )


async def _projects(
    caller: Caller,
    requested: Annotated[Texts, list_query(Text, "project_ids", "Projects to filter by.")],
) -> Texts:
    """Return the requested projects that the caller may see; None for all."""
    if not caller.may(Permission.ORGANIZATION_READ):
        own = frozenset([caller.project_id])
        return own if requested is None else own & requested
    return requested and frozenset(p for p in requested if ids.is_valid(p, ids.PROJECT))


Users = Annotated[
    Texts, list_query(Text, "user_ids", "Users to filter by. The service has no users.")
]


@router.get(
    "/completions",
    operation_id="getCompletionsUsage",
    summary="Retrieve inference usage over time",
    openapi_extra=needs(Permission.USAGE_READ),
)
async def usage_completions(
    redis: RedisClient,
    start_time: Annotated[
        Time, Query(description="Start time (inclusive), as a Unix timestamp in seconds.")
    ],
    filters: Annotated[Filters, Depends(_filters)],
    projects: Annotated[Texts, Depends(_projects)],
    users: Users,
    end_time: Annotated[
        Time | None,
        Query(description="End time (exclusive), as a Unix timestamp in seconds. Defaults to now."),
    ] = None,
    bucket_width: Annotated[
        BucketWidth, Query(description="Width of a bucket: one minute, hour or day.")
    ] = "1d",
    limit: Annotated[
        int | None, Query(ge=1, le=1440, description="Maximum number of buckets per page.")
    ] = None,
    page: Annotated[
        str | None,
        Query(max_length=32, description="Pagination cursor: `next_page` of the previous page."),
    ] = None,
) -> UsagePage:
    """Retrieve request and token counts by minute (kept for 2 days), hour or day (kept for 400
    days), in UTC.

    Keys with the role `admin` or `auditor` see all projects; other keys see their own project. The
    last few seconds may be missing. Buckets are aligned: `start_time` is rounded down to the start
    of its bucket. All inference routes are included, also embeddings.
    """
    requested = spans(
        bucket_width, start_time, end_time, limit=limit, page=page, now_s=clock.now_s()
    )
    if users:
        projects = frozenset()
    return await read_page(UsageRecords(redis), requested, filters, projects)
