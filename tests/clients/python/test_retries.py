"""Tests of the retry policy and of error messages."""

from __future__ import annotations

import asyncio
import contextlib

import finetuned
import httpx2
import openai
import pytest
from finetuned._request import Request
from finetuned._retry import backoff_s, delay_s
from finetuned.errors import ConnectionFailed, NeverSent

from service.projects.records import Role
from tests.clients.python.conftest import Story
from tests.clients.python.relay import answering, relayed
from tests.conftest import BASE_MODEL, Api, upload

GET = Request("GET", "files")
POST = Request("POST", "organization/projects", json={})
KEYED = Request("POST", "fine_tuning/jobs", json={}, idempotent=True)


def answer(status: int, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def delays(request: Request, *outcomes: httpx2.Response | ConnectionFailed) -> list[float | None]:
    """Return the delay after each outcome, with up to three retries. None: no retry."""
    return [delay_s(request, outcome, tries, 3) for tries, outcome in enumerate(outcomes)]


@pytest.mark.parametrize("request_", [GET, KEYED])
def test_safe_requests_are_sent_again(request_):
    first, second = delays(request_, ConnectionFailed("cut"), answer(503))
    assert first is not None
    assert 0 < first <= 0.25
    assert second is not None
    assert 0.25 <= second <= 0.5


def test_unsafe_requests_are_not():
    assert delays(POST, ConnectionFailed("cut")) == [None]
    assert delays(POST, answer(503)) == [None]


@pytest.mark.parametrize(
    "request_",
    [
        Request("PUT", "aliases/a", headers={"if-match": '"1"', "if-none-match": None}),
        Request("PUT", "aliases/a", headers={"if-none-match": "*"}),
        Request("DELETE", "aliases/a", headers={"if-match": '"1"'}),
        # The server ignores the key on routes that are not `idempotent`.
        Request("POST", "organization/projects", json={}, options={"idempotency_key": "k"}),
    ],
)
def test_conditional_changes_and_ignored_keys_are_not_sent_again(request_):
    assert delays(request_, ConnectionFailed("cut")) == [None]
    assert delays(request_, answer(503)) == [None]


def test_changes_without_a_condition_are_sent_again():
    headers = {"if-match": None, "if-none-match": None}
    assert delays(Request("PUT", "aliases/a", headers=headers), answer(503)) != [None]


def test_unsafe_requests_are_where_nothing_arrived_or_a_limit_refused():
    first, second = delays(POST, NeverSent("refused"), answer(429, retry_after="2"))
    assert first is not None
    assert second is not None
    assert 2 <= second <= 2.1


def test_server_decides():
    assert delays(GET, answer(503, x_should_retry="false")) == [None]
    assert delays(GET, answer(409, x_should_retry="true")) != [None]
    assert delays(GET, answer(429, retry_after="3600")) == [None]


def test_it_ends():
    assert [delay is None for delay in delays(GET, *[answer(500)] * 4)] == [False] * 3 + [True]


async def test_lost_answer_makes_one_job(api: Api, key, http, chats):
    file = (await upload(http, chats(12))).json()
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        relay.cut_after_down = relay.down_bytes + 1
        job = await client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file["id"])
        assert relay.connections == 2
        assert [j.id async for j in client.fine_tuning.jobs.list()] == [job.id]


async def test_lost_answer_makes_no_second_project(api: Api):
    key = await api.key(role=Role.ADMIN)
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        relay.cut_after_down = 1
        with pytest.raises(finetuned.ConnectionFailed):
            await client.organization.projects.create(name="once")
        assert relay.connections == 1
        assert "once" in [p.name async for p in client.organization.projects.list()]


@pytest.mark.parametrize(
    ("call", "kind", "status", "code"),
    [
        (lambda c: c.files.retrieve("file-unknown"), finetuned.NotFound, 404, "not_found"),
        (lambda c: c.organization.projects.create(name="x"), finetuned.PermissionDenied, 403, None),
        (
            lambda c: c.aliases.set("Not A Name", model="m"),
            finetuned.BadRequest,
            400,
            "invalid_value",
        ),
        (
            lambda c: c.aliases.set(BASE_MODEL, model="m"),
            finetuned.BadRequest,
            400,
            "name_reserved",
        ),
    ],
)
async def test_errors_carry_what_the_server_said(client, call, kind, status, code):
    with pytest.raises(kind) as caught:
        await call(client)
    error = caught.value
    assert isinstance(error, finetuned.ApiError)
    assert error.status == status
    assert code in (None, error.code)
    assert error.request_id
    assert error.request_id in str(error)
    assert error.type
    assert error.body()["message"] == error.message


async def test_wrong_key_is_told_with_the_next_step(api: Api):
    async with finetuned.AsyncClient(api_key="sk-ft-wrong", base_url=api.base_url) as client:
        with pytest.raises(finetuned.NotAuthenticated, match="finetuned login") as caught:
            await client.files.retrieve("file-x")
    assert "sk-ft-wrong" not in f"{caught.value!r} {caught.value} {client!r}"


async def test_no_server_is_told_with_its_address():
    async with finetuned.AsyncClient(
        api_key="k", base_url="http://127.0.0.1:9", max_retries=1
    ) as client:
        with pytest.raises(finetuned.NeverSent, match=r"127\.0\.0\.1:9.*FINETUNED_BASE_URL"):
            await client.files.retrieve("file-x")


async def test_silent_server_is_given_up():
    async with (
        answering(b"") as url,
        finetuned.AsyncClient(api_key="k", base_url=url, timeout=0.3, max_retries=0) as client,
    ):
        with pytest.raises(finetuned.TimedOut):
            await client.files.retrieve("file-x")


async def test_page_of_another_server_is_told():
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>"
    async with (
        answering(page) as url,
        finetuned.AsyncClient(api_key="k", base_url=url) as client,
    ):
        with pytest.raises(finetuned.UnexpectedAnswer, match="FINETUNED_BASE_URL"):
            await client.files.retrieve("file-x")


async def test_proxy_page_is_an_error_of_its_status():
    page = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>"
    async with (
        answering(page) as url,
        finetuned.AsyncClient(api_key="k", base_url=url, max_retries=0) as client,
    ):
        with pytest.raises(finetuned.ServerError, match="502"):
            await client.files.retrieve("file-x")


def test_delays_stay_finite_however_often_a_method_polls():
    assert 4 <= backoff_s(5_000) <= 8


async def test_waiting_survives_a_restart_of_the_server(api: Api, key, story: Story):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url, max_retries=0) as client,
    ):
        relay.refuses = True
        waiting = asyncio.create_task(client.fine_tuning.jobs.wait(story.job.id))
        await asyncio.sleep(1.5)
        assert not waiting.done()
        await story.end()
        relay.refuses = False
        assert (await waiting).status == "succeeded"


async def test_clients_share_an_http_client_without_mixing_their_servers_and_keys(api: Api, chats):
    keys = [await api.key(project) for project in ("first", "second")]
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient())
        relays = [await stack.enter_async_context(relayed(api.base_url)) for _ in keys]
        clients = [
            finetuned.AsyncClient(api_key=key, base_url=relay.url, http_client=http)
            for key, relay in zip(keys, relays, strict=True)
        ]
        file = await clients[0].openai.files.create(
            file=("a.jsonl", chats(12)), purpose="fine-tune"
        )
        assert [f.id async for f in clients[0].files.list()] == [file.id]
        assert [f.id async for f in clients[1].files.list()] == []
        await clients[0].close()
        assert [f.id async for f in clients[1].files.list()] == []
        assert all(relay.connections for relay in relays)


async def test_the_time_limit_of_the_client_holds_for_the_openai_sdk():
    async with (
        answering(b"") as url,
        finetuned.AsyncClient(api_key="k", base_url=url, timeout=0.3, max_retries=0) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            await client.openai.models.list()


async def test_lost_answer_to_the_openai_sdk_makes_one_job(api: Api, key, http, chats):
    file = (await upload(http, chats(12))).json()
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        relay.cut_after_down = relay.down_bytes + 1
        sdk = client.openai.with_options(max_retries=3)
        job = await sdk.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file["id"])
        assert relay.connections == 2
        assert [j.id async for j in client.fine_tuning.jobs.list()] == [job.id]
