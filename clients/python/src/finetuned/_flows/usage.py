"""Inference usage over time, and the API key of the client."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from finetuned._http import Request
from finetuned._steps import Flow, Item, Items, fetch
from finetuned.types import CallerObject, UsageBucket, UsagePage

# As many as OpenAI allows, too: the default pages are a seventh of that for hours.
_BUCKETS_PER_PAGE = {"1m": 1440, "1h": 168, "1d": 31}
Group = Literal["project_id", "api_key_id", "model"]


def completions(
    start_time: int | datetime,
    *,
    end_time: int | datetime | None = None,
    bucket_width: Literal["1m", "1h", "1d"] = "1d",
    group_by: Sequence[Group] = (),
    models: Sequence[str] = (),
    api_key_ids: Sequence[str] = (),
    project_ids: Sequence[str] = (),
    batch: bool | None = None,
) -> Items[UsageBucket]:
    """List requests and tokens by minute, hour or day (UTC), oldest first.

    A key sees its own project; with the role `admin` or `auditor`, it sees all projects. All
    inference routes are counted, or with `batch` only batches, or only what is no batch.
    """
    params: dict[str, Any] = {
        "start_time": _seconds(start_time),
        "end_time": _seconds(end_time),
        "bucket_width": bucket_width,
        "group_by": list(group_by),
        "models": list(models),
        "api_key_ids": list(api_key_ids),
        "project_ids": list(project_ids),
        "batch": batch,
        "limit": _BUCKETS_PER_PAGE[bucket_width],
        "page": None,
    }
    while True:
        page = yield from fetch(
            UsagePage, Request("GET", "organization/usage/completions", params=params)
        )
        for bucket in page.data:
            yield Item(bucket)
        if not page.has_more or page.next_page is None:
            return
        params = {**params, "page": page.next_page}


def whoami() -> Flow[CallerObject]:
    """Return the client's API key, its project, their limits, and what is used of them."""
    return fetch(CallerObject, Request("GET", "whoami"))


def _seconds(time: int | datetime | None) -> int | None:
    return int(time.timestamp()) if isinstance(time, datetime) else time
