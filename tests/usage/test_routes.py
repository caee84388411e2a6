"""Tests of the Usage API with the unmodified OpenAI SDK."""

from __future__ import annotations

import time
from typing import Any

import pytest
from openai import AsyncOpenAI

from service.projects.records import Projects, Role
from service.usage.meter import Meter
from service.usage.query import Filters, UsageRecords, read_page, spans
from service.usage.schemas import UsagePage
from tests.conftest import Api
from tests.usage.conftest import Clock, Replica, caller

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600


class Usage:
    """Two projects with usage at chosen times before now."""

    def __init__(self, api: Api, redis) -> None:
        self.api, self.redis = api, redis
        self.now_s = time.time()
        self.projects: Projects = api.app.state.projects
        self.ids: dict[str, str] = {}

    async def project(self, name: str) -> str:
        found = await self.projects.by_name(name) or await self.projects.create(name)
        self.ids[name] = found.id
        return found.id

    async def add(self, project: str, key="key_1", *, ago_s=0, count=1, **answer) -> None:
        clock = Clock(self.now_s - ago_s)
        one = Replica(Meter(self.redis, clock=clock))
        for _ in range(count):
            one.serve(caller(key, await self.project(project)), **answer)
        await one.flush()

    async def sdk(self, project="root", role=Role.ADMIN) -> AsyncOpenAI:
        key = await self.api.key(project, role)
        return AsyncOpenAI(
            base_url=f"{self.api.base_url}/v1", api_key=key, admin_api_key=key, max_retries=0
        )


@pytest.fixture
async def usage(api: Api):
    return Usage(api, api.app.state.redis)


async def test_openai_sdk_reads_usage(usage):
    await usage.add("acme", tokens=(10, 5), cached=4, count=2)
    await usage.add("acme", "key_2", tokens=(1, 1), model="tiny")
    await usage.add("other", tokens=(100, 50))
    await usage.add("acme", tokens=(0, 0), status=503)
    start = int(usage.now_s) - 2 * DAY
    async with await usage.sdk() as client:
        completions = client.admin.organization.usage.completions
        page = await completions(start_time=start, bucket_width="1h", limit=168)
        assert page.object == "page"
        assert page.has_more is False
        assert page.next_page is None
        assert len(page.data) in (49, 50)  # an hour may begin during the test
        for before, after in zip(page.data, page.data[1:], strict=False):
            assert before.end_time == after.start_time
        assert page.data[0].start_time == start - start % HOUR
        (whole,) = [r for bucket in page.data for r in bucket.results]
        assert whole.object == "organization.usage.completions.result"
        assert (whole.input_tokens, whole.output_tokens) == (121, 61)
        assert (whole.input_cached_tokens, whole.num_model_requests) == (8, 4)
        assert whole.project_id is whole.api_key_id is whole.model is whole.user_id is None
        assert whole.model_extra["num_failed_requests"] == 1

        page = await completions(
            start_time=start, bucket_width="1h", limit=168,
            group_by=["project_id", "api_key_id", "model"],
        )  # fmt: skip
        groups = {
            (r.project_id, r.api_key_id, r.model): (r.input_tokens, r.num_model_requests)
            for bucket in page.data
            for r in bucket.results
        }
        acme, other = usage.ids["acme"], usage.ids["other"]
        assert groups == {
            (acme, "key_1", "ft:m"): (20, 2),
            (acme, "key_2", "tiny"): (1, 1),
            (other, "key_1", "ft:m"): (100, 1),
        }
        for only, tokens in (
            ({"project_ids": [acme]}, 21),
            ({"project_ids": [acme, other]}, 121),
            ({"api_key_ids": ["key_1"]}, 120),
            ({"models": ["tiny", "unknown"]}, 1),
            ({"project_ids": [other], "models": ["tiny"]}, 0),
            ({"project_ids": ["*", "proj_*"]}, 0),
            ({"user_ids": ["user_1"]}, 0),
            ({"batch": True}, 0),
            ({"batch": False}, 121),
        ):
            page = await completions(start_time=start, bucket_width="1h", limit=168, **only)
            found = sum(r.input_tokens for bucket in page.data for r in bucket.results)
            assert found == tokens, only


async def test_members_see_only_their_own_project(usage):
    await usage.add("acme", tokens=(10, 5))
    await usage.add("other", tokens=(100, 50))
    start = int(usage.now_s) - HOUR
    async with await usage.sdk("acme", Role.MEMBER) as client:
        completions = client.admin.organization.usage.completions
        for asked, tokens in (
            (None, 10),
            ([usage.ids["acme"], usage.ids["other"]], 10),
            ([usage.ids["other"]], 0),
        ):
            more = {} if asked is None else {"project_ids": asked}
            page = await completions(start_time=start, group_by=["project_id"], **more)
            results = [r for bucket in page.data for r in bucket.results]
            assert sum(r.input_tokens for r in results) == tokens
            assert {r.project_id for r in results} <= {usage.ids["acme"]}


@pytest.mark.parametrize(("width", "seconds"), [("1m", MINUTE), ("1h", HOUR), ("1d", DAY)])
async def test_pages_follow_one_another(usage, width, seconds):
    for number in range(6):
        await usage.add("acme", ago_s=number * seconds, tokens=(10**number, 0))
    start = int(usage.now_s) - 5 * seconds
    async with await usage.sdk() as client:
        completions = client.admin.organization.usage.completions
        seen, cursor, pages = [], None, 0
        while True:
            more: dict[str, Any] = {"page": cursor} if cursor else {}
            page = await completions(start_time=start, bucket_width=width, limit=2, **more)
            assert len(page.data) <= 2
            seen += page.data
            pages += 1
            cursor = page.next_page
            if not page.has_more:
                break
        assert pages == 3 + (len(seen) > 6)
        assert [b.end_time - b.start_time for b in seen] == [seconds] * len(seen)
        assert [b.start_time for b in seen] == sorted({b.start_time for b in seen})
        tokens = [r.input_tokens for b in seen for r in b.results]
        assert tokens == [10**n for n in reversed(range(6))]


async def test_a_day_is_the_sum_of_its_hours_and_the_end_is_exclusive(usage):
    now = int(usage.now_s)
    midnight = now - now % DAY - DAY
    for at in (midnight - 1, midnight, midnight + DAY - 1, midnight + DAY):
        await usage.add("acme", ago_s=usage.now_s - at)
    async with await usage.sdk() as client:
        page = await client.admin.organization.usage.completions(
            start_time=midnight, end_time=midnight + DAY
        )
        (day,) = page.data
        assert (day.start_time, day.end_time) == (midnight, midnight + DAY)
        assert [r.num_model_requests for r in day.results] == [2]


async def test_times_to_first_and_per_token(usage):
    for first_s, tokens, seconds in ((0.1, 11, 0.3), (0.3, 1, 0.3)):
        await usage.add(
            "acme", tokens=(5, tokens), first_byte_s=first_s, seconds=seconds, streamed=True
        )
    await usage.add("acme", tokens=(5, 10), first_byte_s=5.0, seconds=5.0)
    async with await usage.sdk() as client:
        page = await client.admin.organization.usage.completions(start_time=int(usage.now_s) - 60)
    (result,) = [r for bucket in page.data for r in bucket.results]
    assert result.model_extra["mean_time_to_first_token_ms"] == 200
    assert result.model_extra["mean_time_per_output_token_ms"] == 20


async def test_a_page_with_very_many_results_ends_early(usage):
    for ago_s in (0, 60, 120):
        for key in ("key_1", "key_2"):
            await usage.add("acme", key, ago_s=ago_s)
    filters = Filters(key_ids=None, models=None, group_by={"api_key_id"})
    now_s = int(usage.now_s)

    async def read(page=None) -> UsagePage:
        asked = spans("1m", now_s - 120, None, limit=None, page=page, now_s=now_s)
        return await read_page(UsageRecords(usage.redis), asked, filters, None, max_results=3)

    page = await read()
    assert [len(b.results) for b in page.data] == [2, 2]
    assert page.has_more
    rest = await read(page.next_page)
    assert [len(b.results) for b in rest.data] == [2]
    assert rest.data[0].start_time == page.data[-1].end_time
    assert not rest.has_more


async def test_lists_without_brackets_are_read_too(usage, api):
    await usage.add("acme", model="a")
    await usage.add("acme", model="b")
    async with await api.client("root", Role.ADMIN) as http:
        answer = await http.get(
            "/v1/organization/usage/completions",
            params={"start_time": int(usage.now_s) - 60, "group_by": "model", "models": ["a", "c"]},
        )
    results = [r for bucket in answer.json()["data"] for r in bucket["results"]]
    assert [r["model"] for r in results] == ["a"]


async def test_old_start_times_are_limited_to_the_retention(api: Api):
    async with await api.client("root", Role.ADMIN) as http:
        for width, kept in (("1m", 2 * DAY), ("1h", 400 * DAY), ("1d", 400 * DAY)):
            answer = await http.get(
                "/v1/organization/usage/completions",
                params={"start_time": 0, "bucket_width": width},
            )
            page = answer.json()
            assert abs(page["data"][0]["start_time"] - (time.time() - kept)) <= DAY
            assert page["has_more"] is True


BAD_QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "start_time"),
    ({"start_time": "soon"}, "start_time"),
    ({"start_time": -1}, "start_time"),
    ({"start_time": 10**15}, "start_time"),
    ({"start_time": 100, "end_time": 100}, "end_time"),
    ({"start_time": 100, "bucket_width": "1y"}, "bucket_width"),
    ({"start_time": 100, "group_by[]": "colour"}, "group_by[].0"),
    ({"start_time": 100, "limit": 32}, "limit"),
    ({"start_time": 100, "limit": 169, "bucket_width": "1h"}, "limit"),
    ({"start_time": 100, "limit": 0}, "limit"),
    ({"start_time": 100, "page": "page_x"}, "page"),
    ({"start_time": 100, "page": "page_" + "9" * 13}, "page"),
    ({"start_time": 100, "models[]": ["m" * 257]}, "models[].0"),
    ({"start_time": 100, "project_ids": ["p"] * 101}, "project_ids"),
]


async def test_bad_queries_are_400_with_the_parameter(api: Api):
    async with await api.client("root", Role.ADMIN) as http:
        for params, param in BAD_QUESTIONS:
            answer = await http.get("/v1/organization/usage/completions", params=params)
            assert answer.status_code == 400, params
            assert answer.json()["error"]["param"] == param
