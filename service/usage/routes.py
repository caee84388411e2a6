"""`GET /v1/organization/usage/completions`."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Query, Request

from service.core import ids
from service.usage.pages import read_page
from service.usage.query import Wanted, spans
from service.usage.records import UsageRecords
from service.usage.schemas import BucketWidth, GroupBy, UsagePage
from service.web.deps import Caller

router = APIRouter(prefix="/v1/organization/usage", tags=["Usage"])

T = TypeVar("T")
Text = Annotated[str, Query(max_length=256)]
# The SDKs write lists as `models[]=a&models[]=b`; curl and others as `models=a&models=b`.
Texts = Annotated[list[Text], Query(max_length=100)]
Time = Annotated[int, Query(ge=0, le=253_402_300_799)]


def _wanted(
    group_by: Annotated[
        list[GroupBy], Query(max_length=7, description="A result for each value of these.")
    ] = [],  # noqa: B006 - never changed
    api_key_ids: Annotated[Texts, Query(description="Only of these keys.")] = [],  # noqa: B006
    models: Annotated[Texts, Query(description="Only of these models.")] = [],  # noqa: B006
    group_by_: Annotated[
        list[GroupBy], Query(alias="group_by[]", max_length=7, include_in_schema=False)
    ] = [],  # noqa: B006
    api_key_ids_: Annotated[
        list[Text], Query(alias="api_key_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
    models_: Annotated[
        list[Text], Query(alias="models[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> Wanted:
    return Wanted(
        group_by=frozenset([*group_by, *group_by_]),
        key_ids=_given(api_key_ids, api_key_ids_),
        models=_given(models, models_),
    )


def _projects(
    caller: Caller,
    project_ids: Annotated[Texts, Query(description="Only of these projects.")] = [],  # noqa: B006
    project_ids_: Annotated[
        list[Text], Query(alias="project_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> frozenset[str] | None:
    """The projects that the caller may see of those it asks for; None is all."""
    asked = _given(project_ids, project_ids_)
    if caller.is_admin:
        known = None if asked is None else {p for p in asked if ids.is_valid(p, ids.PROJECT)}
        return None if known is None else frozenset(known)
    own = frozenset([caller.project_id])
    return own if asked is None else own & asked


def _nobody(
    batch: Annotated[
        bool | None, Query(description="Only of batches: there are none here.")
    ] = None,
    user_ids: Annotated[Texts, Query(description="Only of these users: there are none here.")] = [],  # noqa: B006
    user_ids_: Annotated[
        list[Text], Query(alias="user_ids[]", max_length=100, include_in_schema=False)
    ] = [],  # noqa: B006
) -> bool:
    """Whether it is asked for what we do not have: batches, users."""
    return bool(batch or user_ids or user_ids_)


@router.get(
    "/completions", operation_id="getUsageCompletions", summary="Usage of inference over time"
)
async def usage_completions(
    request: Request,
    start_time: Annotated[Time, Query(description="The first second that counts.")],
    wanted: Annotated[Wanted, Depends(_wanted)],
    projects: Annotated[frozenset[str] | None, Depends(_projects)],
    asks_for_nobody: Annotated[bool, Depends(_nobody)],
    end_time: Annotated[
        Time | None, Query(description="The first second that does not; now, where left out.")
    ] = None,
    bucket_width: Annotated[BucketWidth, Query(description="Minutes, hours or days.")] = "1d",
    limit: Annotated[
        int | None, Query(ge=1, le=1440, description="The most buckets that a page holds.")
    ] = None,
    page: Annotated[
        str | None, Query(max_length=32, description="`next_page` of the page before.")
    ] = None,
) -> UsagePage:
    """Requests and tokens by minute (kept 2 days), hour or day (400 days), in UTC.

    Admin keys see all projects, other keys their own. The last seconds may be missing. Buckets
    are whole: a start within one begins with it. All inference routes count, embeddings too.
    """
    asked = spans(bucket_width, start_time, end_time, limit=limit, page=page, now_s=ids.now_s())
    if asks_for_nobody:
        projects = frozenset()
    return await read_page(UsageRecords(request.app.state.redis), asked, wanted, projects)


def _given(*lists: list[str]) -> frozenset[str] | None:
    """The values of a parameter in either spelling; None where it was not given."""
    values = frozenset(value for values in lists for value in values)
    return values or None
