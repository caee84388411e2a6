"""`GET /v1/organization/usage/completions`."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query

from service.core import ids
from service.usage.query import Filters, UsageRecords, read_page, spans
from service.usage.schemas import BucketWidth, GroupBy, UsagePage
from service.web.deps import Caller, RedisClient
from service.web.permissions import Permission, needs

router = APIRouter(prefix="/v1/organization/usage", tags=["Usage"])

T = TypeVar("T")
Text = Annotated[str, Query(max_length=256)]
# SDKs encode lists as `models[]=a&models[]=b`; curl and others as `models=a&models=b`.
Texts = Annotated[list[Text], Query(max_length=100)]
Time = Annotated[int, Query(ge=0, le=253_402_300_799)]


def _filters(
    group_by: Annotated[
        list[GroupBy], Query(max_length=7, description="Fields to group the results by.")
    ] = [],  # noqa: B006 - never changed
    api_key_ids: Annotated[Texts, Query(description="API keys to filter by.")] = [],  # noqa: B006
    models: Annotated[Texts, Query(description="Models to filter by.")] = [],  # noqa: B006
    group_by_: Annotated[
        list[GroupBy], Query(alias="group_by[]", max_length=7, include_in_schema=False)
    ] = [],  # noqa: B006
    api_key_ids_: Annotated[
        list[Text], Query(alias="api_key_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
    models_: Annotated[
        list[Text], Query(alias="models[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
    batch: Annotated[
        bool | None,
        Query(description="Whether to return only the usage of batches, or only the other usage."),
    ] = None,
) -> Filters:
    return Filters(
        batch=batch,
        group_by=frozenset([*group_by, *group_by_]),
        key_ids=_given(api_key_ids, api_key_ids_),
        models=_given(models, models_),
    )


def _projects(
    caller: Caller,
    project_ids: Annotated[Texts, Query(description="Projects to filter by.")] = [],  # noqa: B006
    project_ids_: Annotated[
        list[Text], Query(alias="project_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> frozenset[str] | None:
    """The requested projects that the caller may see; None for all."""
    requested = _given(project_ids, project_ids_)
    if caller.may(Permission.ORGANIZATION_READ):
        known = (
            None if requested is None else {p for p in requested if ids.is_valid(p, ids.PROJECT)}
        )
        return None if known is None else frozenset(known)
    own = frozenset([caller.project_id])
    return own if requested is None else own & requested


def _matches_nothing(
    user_ids: Annotated[Texts, Query(description="Users to filter by. There are no users.")] = [],  # noqa: B006
    user_ids_: Annotated[
        list[Text], Query(alias="user_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> bool:
    """Whether the request filters by users, which this service does not have."""
    return bool(user_ids or user_ids_)


@router.get(
    "/completions",
    operation_id="getUsageCompletions",
    summary="Retrieve inference usage over time",
    openapi_extra=needs(Permission.USAGE_READ),
)
async def usage_completions(
    redis: RedisClient,
    start_time: Annotated[
        Time, Query(description="Start time (inclusive), as a Unix timestamp in seconds.")
    ],
    filters: Annotated[Filters, Depends(_filters)],
    projects: Annotated[frozenset[str] | None, Depends(_projects)],
    matches_nothing: Annotated[bool, Depends(_matches_nothing)],
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
    requested = spans(bucket_width, start_time, end_time, limit=limit, page=page, now_s=ids.now_s())
    if matches_nothing:
        projects = frozenset()
    return await read_page(UsageRecords(redis), requested, filters, projects)


def _given(*lists: list[str]) -> frozenset[str] | None:
    """The values of a parameter in either encoding; None if it was not given."""
    values = frozenset(value for values in lists for value in values)
    return values or None
