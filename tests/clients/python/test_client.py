"""Tests of the options of requests, raw responses, request IDs, pages, logs and pickling."""

from __future__ import annotations

import logging
import pickle

import finetuned
import httpx2
import openai
import pytest

from tests.clients.python.relay import answering
from tests.conftest import BASE_MODEL, Api

pytestmark = pytest.mark.slow


async def test_options_of_one_request(api: Api, client: finetuned.AsyncClient):
    headers = {"x-request-id": "req_of_the_caller"}
    found = await client.models.retrieve(BASE_MODEL, extra_headers=headers)
    assert found._request_id == "req_of_the_caller"
    async with answering(b"") as url:
        silent = finetuned.AsyncClient(api_key="k", base_url=url)
        with pytest.raises(finetuned.TimedOut):
            await silent.models.retrieve("m", timeout=0.2, max_retries=0)
        with pytest.raises(finetuned.TimedOut):
            await silent.with_options(timeout=0.2, max_retries=0).models.retrieve("m")


async def test_with_options_shares_the_connections(client: finetuned.AsyncClient):
    named = client.with_options(extra_headers={"x-request-id": "req_of_all"})
    assert (await named.models.retrieve(BASE_MODEL))._request_id == "req_of_all"
    assert (await client.models.retrieve(BASE_MODEL))._request_id != "req_of_all"
    await named.close()
    assert (await client.models.retrieve(BASE_MODEL)).id == BASE_MODEL


async def test_raw_responses_have_status_and_headers(client: finetuned.AsyncClient):
    raw = await client.models.with_raw_response.retrieve(BASE_MODEL)
    assert (raw.status_code, raw.headers["content-type"]) == (200, "application/json")
    found = raw.parse()
    assert found.id == BASE_MODEL
    assert raw.request_id == found._request_id == raw.headers["x-request-id"]
    page = (await client.models.with_raw_response.list(limit=1)).parse()
    assert [model.id async for model in page] == [BASE_MODEL]
    assert BASE_MODEL.encode() in raw.content


async def test_request_ids_are_no_part_of_objects(client: finetuned.AsyncClient):
    first, second = [await client.models.retrieve(BASE_MODEL) for _ in range(2)]
    assert first._request_id != second._request_id
    assert first == second
    assert "_request_id" not in first.model_dump()
    assert finetuned.types.AliasTarget(model="m", weight=1)._request_id is None


async def test_logs_name_requests_without_keys_and_bodies(
    client: finetuned.AsyncClient, key: str, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG, "finetuned"):
        await client.aliases.set("secret-name", model=BASE_MODEL, gate={"chrf_gain": ">=5"})
    (record,) = [r for r in caplog.records if r.name == "finetuned"]
    assert record.getMessage().startswith("PUT aliases/secret-name: 200 in ")
    assert "(request req_" in record.getMessage()
    assert key not in caplog.text
    assert "chrf_gain" not in caplog.text


async def test_clients_can_be_pickled(client: finetuned.AsyncClient, key: str):
    copy = pickle.loads(pickle.dumps(client.with_options(max_retries=1)))
    async with copy:
        assert copy.base_url == client.base_url
        assert (await copy.models.retrieve(BASE_MODEL)).id == BASE_MODEL
    with httpx2.Client() as http:
        own = finetuned.Client(api_key=key, http_client=http)
        with pytest.raises(TypeError, match="http_client"):
            pickle.dumps(own)


async def test_a_wait_is_told_of_changes_alone(client: finetuned.AsyncClient, story):
    seen: list[str] = []
    await story.end()
    found = await client.fine_tuning.jobs.wait(
        story.job.id, on_change=lambda job: seen.append(job.status)
    )
    assert found.status == "succeeded"
    assert seen == ["succeeded"]


async def test_the_openai_sdk_has_the_options_of_the_client(client: finetuned.AsyncClient):
    sdk = client.with_options(timeout=7, extra_headers={"x-team": "search"}).openai
    assert isinstance(sdk, openai.AsyncOpenAI)
    assert (sdk.timeout, sdk.default_headers["x-team"]) == (7, "search")
