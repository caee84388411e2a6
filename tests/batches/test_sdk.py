"""The unmodified SDK, from the upload of requests to the download of results."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai
import pytest
from aiohttp import web
from openai.types import Batch

from service.core import clock
from service.inference.background.calls import BATCH_PRIORITY, PRIORITY
from service.inference.gateway.request_body import cache_salts
from service.models.records import ModelRecord
from tests.batches.conftest import (
    AT_ONCE,
    CHAT,
    DONE_S,
    answered,
    created,
    ended,
    jsonl,
    replies,
    request,
    requests,
    results,
    shown,
    until,
)
from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import ENGINE_KEY, Engine

pytestmark = pytest.mark.slow


def times(batch: Batch) -> set[str]:
    """The names of the times that a batch has."""
    return {name for name, value in shown(batch).items() if name.endswith("_at") and value}


async def test_requests_are_answered_and_written_to_files(
    sdk: openai.AsyncOpenAI, http: httpx.AsyncClient, engine: Engine, work, api: Api
):
    wrong = [request(20, temperature=3), request(21, stream=True), request(22, vllm_xargs={})]
    batch = await created(
        sdk,
        [*requests(20), *wrong],
        metadata={"team": "support"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (batch.status, batch.object, batch.endpoint) == ("validating", "batch", CHAT)
    assert batch.expires_at == batch.created_at + 24 * 3600
    assert (batch.metadata, batch.errors) == ({"team": "support"}, None)
    async with work("cpu"):
        batch = await ended(sdk, batch)
        project = (await api.app.state.projects.by_name("acme")).id
        async with asyncio.timeout(DONE_S):
            while await api.app.state.storage.keys(f"{project}/batches"):
                await asyncio.sleep(0.05)
    assert (batch.status, batch.model) == ("completed", BASE_MODEL)
    assert times(batch) == {
        *("created_at", "expires_at", "in_progress_at", "finalizing_at", "completed_at")
    }
    assert shown(batch)["request_counts"] == {"total": 23, "completed": 20, "failed": 3}
    assert shown(batch)["usage"] == {
        "input_tokens": 200,
        "input_tokens_details": {"cached_tokens": 80},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 240,
    }
    assert batch.output_file_id
    file = await sdk.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert file.expires_at == file.created_at + 3600
    found = await results(sdk, batch.output_file_id)
    assert found.keys() == {f"request-{n}" for n in range(20)}
    line = found["request-7"]
    assert (line["error"], line["response"]["status_code"]) == (None, 200)
    assert line["response"]["request_id"].startswith("req_")
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "7"
    path, sent = engine.seen[0]
    assert path == CHAT
    assert (sent["priority"], sent["cache_salt"]) == (
        BATCH_PRIORITY,
        cache_salts(ENGINE_KEY)(project),
    )
    assert BATCH_PRIORITY > PRIORITY > 0  # behind evaluations, which are behind users
    assert engine.most_in_flight <= AT_ONCE
    refused = await results(sdk, batch.error_file_id)
    for row in (wrong[0], wrong[2]):  # as the same request gets from the gateway
        answer = await http.post(CHAT, json=row["body"])
        response = refused[row["custom_id"]]["response"]
        assert (response["status_code"], response["body"]) == (answer.status_code, answer.json())
    streamed = refused["request-21"]["response"]
    assert (streamed["status_code"], streamed["body"]["error"]["param"]) == (400, "stream")
    assert len(refused) == 3
    await _is_metered(http, requests=20, input_tokens=200)


async def _is_metered(http: httpx.AsyncClient, requests: int, input_tokens: int) -> None:
    usage = "/v1/organization/usage/completions"
    query: dict[str, Any] = {
        "start_time": clock.now_s() - 3600,
        "bucket_width": "1d",
        "batch": True,
    }
    async with asyncio.timeout(DONE_S):
        while True:
            answer = await http.get(usage, params=query)
            found = [r for bucket in answer.json()["data"] for r in bucket["results"]]
            if found and sum(r["num_model_requests"] for r in found) >= requests:
                break
            await asyncio.sleep(0.05)
    assert sum(r["input_tokens"] for r in found) == input_tokens
    answer = await http.get(usage, params={**query, "batch": False})
    others = [r for bucket in answer.json()["data"] for r in bucket["results"]]
    assert sum(r["input_tokens"] for r in others) == 0
    answer = await http.get(usage, params={**query, "group_by": "batch"})
    assert {r["batch"] for b in answer.json()["data"] for r in b["results"]} == {True}


@pytest.mark.parametrize(
    ("endpoint", "tokens", "name", "expected"),
    [
        ("/v1/completions", 12, "choices", {"index": 0, "text": "1"}),
        ("/v1/responses", 12, "output",
         {"type": "message", "content": [{"type": "output_text", "text": "1"}]}),
        ("/v1/embeddings", 10, "data", {"index": 0, "embedding": [0.5]}),
    ],
)  # fmt: skip
async def test_other_routes_are_answered_too(
    sdk, engine: Engine, work, endpoint, tokens, name, expected
):
    batch = await created(sdk, [request(1, endpoint)], endpoint=endpoint)
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert batch.status == "completed"
    (line,) = (await results(sdk, batch.output_file_id)).values()
    assert line["response"]["body"][name] == [expected]
    assert (shown(batch)["usage"]["total_tokens"], batch.error_file_id) == (tokens, None)
    assert [path for path, _ in engine.seen] == [endpoint]


async def test_a_file_with_faults_fails_and_names_the_lines(sdk, engine: Engine, work):
    rows: list[Any] = [
        request(0),
        request(0),
        {**request(2), "url": "/v1/completions"},
        request(3, model="other"),
        ["no object"],
    ]
    batch = await created(sdk, rows)
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert (batch.status, times(batch)) == ("failed", {"created_at", "expires_at", "failed_at"})
    errors = shown(batch)["errors"]
    assert errors["object"] == "list"
    assert [(e["line"], e["code"], e["param"]) for e in errors["data"]] == [
        (2, "duplicate_custom_id", "custom_id"),
        (3, "invalid_url", "url"),
        (4, "mismatched_model", "body.model"),
        (5, "invalid_json_line", None),
    ]
    assert (batch.output_file_id, batch.error_file_id, engine.seen) == (None, None, [])


@pytest.mark.parametrize("how", ["model", "file"])
async def test_a_batch_without_its_model_or_file_fails(sdk, http, work, how):
    batch = await created(sdk, [request(0, model="gpt-5" if how == "model" else BASE_MODEL)])
    if how == "file":
        deleted = (await http.delete(f"/v1/files/{batch.input_file_id}")).json()
        assert deleted["unfinished_jobs"] == [batch.id]
    async with work("cpu"):
        batch = await ended(sdk, batch)
    (error,) = shown(batch)["errors"]["data"]
    assert (batch.status, error["code"]) == ("failed", f"{how}_not_found")
    assert shown(batch)["request_counts"]["total"] == 0


async def test_a_cancelled_batch_keeps_its_answers(sdk, engine: Engine, work):
    async def reply(http_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(engine.seen) > 10:
            await asyncio.Event().wait()
        return await replies(http_request, body)

    engine.reply = reply
    batch = await created(sdk, requests(30))
    async with work("cpu"):
        await until(sdk, batch, lambda batch: answered(batch) == 10)
        cancelling = await sdk.batches.cancel(batch.id)
        assert (cancelling.status, cancelling.cancelled_at) == ("cancelling", None)
        assert (await sdk.batches.cancel(batch.id)).status in ("cancelling", "cancelled")
        batch = await ended(sdk, batch)
        async with asyncio.timeout(DONE_S):
            while engine.in_flight:
                await asyncio.sleep(0.05)
    assert batch.status == "cancelled"
    assert shown(batch)["cancelling_at"] <= shown(batch)["cancelled_at"]
    assert shown(batch)["request_counts"] == {"total": 30, "completed": 10, "failed": 0}
    output = await results(sdk, batch.output_file_id)
    errors = await results(sdk, batch.error_file_id)
    assert len(output) == 10
    assert output.keys() | errors.keys() == {f"request-{n}" for n in range(30)}
    assert not output.keys() & errors.keys()
    assert {(e["response"], e["error"]["code"]) for e in errors.values()} == {
        (None, "batch_cancelled")
    }
    with pytest.raises(openai.ConflictError) as refused:
        await sdk.batches.cancel(batch.id)
    assert refused.value.code == "invalid_state"


async def test_a_batch_that_waits_is_cancelled_without_files(sdk, engine: Engine, work):
    batch = await created(sdk, requests(3))
    await sdk.batches.cancel(batch.id)
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    assert engine.seen == []


async def test_a_batch_expires_and_keeps_its_answers(sdk, engine: Engine, work, api: Api):
    async def reply(http_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(engine.seen) > 5:
            await asyncio.Event().wait()
        return await replies(http_request, body)

    engine.reply = reply
    batch = await created(sdk, requests(12))
    async with work("cpu"):
        await until(sdk, batch, lambda batch: answered(batch) == 5)
        batches = api.app.state.batches
        project = (await api.app.state.projects.by_name("acme")).id
        record = await batches.get(project, batch.id)
        await batches.change(record, lambda r: r.model_copy(update={"expires_at": clock.now_s()}))
        batch = await ended(sdk, batch)
    assert (batch.status, batch.completed_at) == ("expired", None)
    assert shown(batch)["finalizing_at"] <= shown(batch)["expired_at"]
    assert len(await results(sdk, batch.output_file_id)) == 5
    errors = await results(sdk, batch.error_file_id)
    assert [e["error"]["code"] for e in errors.values()] == ["batch_expired"] * 7


async def test_an_engine_that_is_away_is_waited_for(sdk, engine: Engine, work, settings):
    settings.eval_engine_patience_s = 0.0  # a batch waits for its whole window
    failures = 20

    async def reply(http_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        nonlocal failures
        failures -= 1
        if failures > 0:
            return web.json_response({"error": {"message": "busy", "code": 503}}, status=503)
        return await replies(http_request, body)

    engine.reply = reply
    batch = await created(sdk, requests(AT_ONCE))
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert (batch.status, answered(batch)) == ("completed", AT_ONCE)


async def test_a_model_deleted_on_the_way_is_an_error_of_the_rest(
    sdk, http, engine: Engine, work, api: Api
):
    tuned = f"ft:{BASE_MODEL}:acme:voice:abc123def456"
    project = (await api.app.state.projects.by_name("acme")).id
    await api.app.state.registry.register(
        ModelRecord(
            id=tuned,
            project_id=project,
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            job_id="ftjob-x",
            artifact="x",
            digest="0" * 64,
            step=1,
        )
    )

    deleted = asyncio.Event()

    async def reply(http_request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if len(engine.seen) == AT_ONCE:
            assert (await http.delete(f"/v1/models/{tuned}")).status_code == 200
            deleted.set()
        await deleted.wait()
        return await replies(http_request, body)

    engine.reply = reply
    batch = await created(sdk, [request(n, model=tuned) for n in range(4 * AT_ONCE)])
    async with work("cpu"):
        batch = await ended(sdk, batch)
    assert (batch.status, batch.model) == ("completed", tuned)
    errors = await results(sdk, batch.error_file_id)
    assert (answered(batch), len(errors)) == (AT_ONCE, 3 * AT_ONCE)
    for line in errors.values():
        assert line["response"]["status_code"] == 404
        assert line["response"]["body"]["error"]["code"] == "model_not_found"


async def test_lists_and_refusals(sdk: openai.AsyncOpenAI, api: Api):
    made = [(await created(sdk, [request(n)])).id for n in range(5)]
    first = await sdk.batches.list(limit=2)
    assert [batch.id for batch in first.data] == made[:2:-1]
    assert first.has_more
    assert [batch.id async for batch in sdk.batches.list(limit=2)] == made[::-1]
    with pytest.raises(openai.BadRequestError):
        await sdk.batches.list(after="batch_unknown")
    with pytest.raises(openai.NotFoundError):
        await sdk.batches.retrieve("batch_unknown")
    evals = await sdk.files.create(file=("x.jsonl", jsonl(requests(1))), purpose="evals")
    body: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h"}
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.batches.create(input_file_id=evals.id, **body)
    assert (refused.value.code, refused.value.param) == ("invalid_file_purpose", "input_file_id")
    with pytest.raises(openai.NotFoundError) as unknown:
        await sdk.batches.create(input_file_id="file-unknown", **body)
    assert (unknown.value.code, unknown.value.param) == ("file_not_found", "input_file_id")
    for wrong in ({"endpoint": "/v1/moderations"}, {"completion_window": "1h"}):
        with pytest.raises(openai.BadRequestError) as invalid:
            await created(sdk, requests(1), **wrong)
        assert invalid.value.param == next(iter(wrong))
    key = {"idempotency-key": "nightly"}
    file = await sdk.files.create(file=("x.jsonl", jsonl(requests(1))), purpose="batch")
    twice = [
        await sdk.batches.create(input_file_id=file.id, extra_headers=key, **body) for _ in range(2)
    ]
    assert twice[0].id == twice[1].id
    api.app.state.settings = api.settings.model_copy(
        update={"max_unfinished_batches_per_project": 6}
    )
    with pytest.raises(openai.RateLimitError) as many:
        await created(sdk, requests(1))
    assert many.value.code == "limit_reached"
