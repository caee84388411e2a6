"""Runs on stored chats: which chats they read, how, and what they never keep."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest
from openai.types import EvalCreateResponse
from openai.types.evals import RunRetrieveResponse

from service.core import clock
from service.files.stored_chats.records import StoredChatRecord
from service.projects.records import Role
from service.web import audit_trail
from service.web.audit_events import AuditEvent
from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import (
    DONE_S,
    Engine,
    ended,
    made,
    output_items,
    refused,
    strictly,
    until,
)
from tests.files.stored_chats.support import MODEL, store_chat, store_response

pytestmark = pytest.mark.slow

SAYS: Any = {
    "type": "string_check",
    "name": "says it",
    "input": "{{sample.output_text}}",
    "reference": "A",
    "operation": "ilike",
}
LOGS: dict[str, Any] = {"data_source_config": {"type": "logs"}, "testing_criteria": [SAYS]}
STORED: dict[str, Any] = {"type": "completions", "source": {"type": "stored_completions"}}
ANEW: dict[str, Any] = {
    "model": BASE_MODEL,
    "input_messages": {"type": "item_reference", "item_reference": "item.input"},
}
Add = Callable[..., Awaitable[StoredChatRecord]]


@pytest.fixture
async def add(api: Api) -> Add:
    """Store a chat of a project, acme by default."""

    async def one(number: int, *, project: str = "acme", **more: Any) -> StoredChatRecord:
        await api.key(project)
        found = await api.app.state.projects.by_name(project)
        return await store_chat(api.app.state.stored_chats, found.id, number, **more)

    return one


async def run_of(http: httpx.AsyncClient, source: dict[str, Any] | None = None, **more: Any) -> Any:
    """Create an eval of stored chats and a run of it."""
    eval_id = (await made(http, "/v1/evals", LOGS))["id"]
    data_source = {**STORED, "source": {**STORED["source"], **(source or {})}, **more}
    return await made(http, f"/v1/evals/{eval_id}/runs", {"data_source": data_source})


async def asked(engine: Engine, times: int) -> None:
    """Wait until the engine was asked this often."""
    async with asyncio.timeout(DONE_S):
        while len(engine.seen) < times:
            await asyncio.sleep(0.05)


async def test_stored_chats_are_graded_and_answered_anew_with_the_sdk(api: Api, engine, work):
    """As in OpenAI's cookbook: chats with `store`, an eval, the stored answers, another model."""
    key = await api.key("acme", Role.ADMIN)
    project = await api.app.state.projects.by_name("acme")
    async with openai.AsyncOpenAI(
        api_key=key, admin_api_key=key, base_url=f"{api.base_url}/v1"
    ) as sdk:
        capture = {"capture": {"sampling": 0}}
        await sdk.admin.organization.projects.update(project.id, extra_body=capture)
        for number, version in ((1, "v1"), (2, "v1"), (3, "v2")):
            await sdk.chat.completions.create(
                model=BASE_MODEL,
                messages=[{"role": "user", "content": f"I am ann@example.com: {number}"}],
                store=True,
                metadata={"usecase": "support", "prompt_version": version},
            )
        answered = await sdk.responses.create(
            model=BASE_MODEL, input="7", instructions="Be brief.", store=True, temperature=0.5
        )

        async with asyncio.timeout(DONE_S):
            while len([chat async for chat in sdk.chat.completions.list()]) < 4:
                await asyncio.sleep(0.05)
        evaluation = await sdk.evals.create(
            name="Monitoring",
            data_source_config={"type": "stored_completions", "metadata": {"usecase": "support"}},
            testing_criteria=[SAYS],
        )
        assert evaluation.data_source_config.type == "stored_completions"
        assert evaluation.data_source_config.metadata == {"usecase": "support"}
        assert evaluation.data_source_config.schema_["required"] == ["item", "sample"]
        source: Any = {"type": "stored_completions", "metadata": {"prompt_version": "v1"}}
        graded = await sdk.evals.runs.create(
            evaluation.id, data_source={"type": "completions", "source": source}
        )
        sampled: Any = {"type": "completions", "source": source, **ANEW}
        anew = await sdk.evals.runs.create(evaluation.id, data_source=sampled)
        logs = await sdk.evals.create(
            data_source_config={"type": "logs"},
            testing_criteria=[SAYS],
        )
        search: Any = {"type": "responses", "instructions_search": "BRIEF", "temperature": 0.5}
        responses = await sdk.evals.runs.create(
            logs.id, data_source={"type": "responses", "source": search}
        )
        engine.seen.clear()
        async with work("cpu"):
            for run in (graded, anew, responses):
                async with asyncio.timeout(DONE_S):
                    while (
                        found := await sdk.evals.runs.retrieve(run.id, eval_id=run.eval_id)
                    ).status in ("queued", "in_progress"):
                        await asyncio.sleep(0.05)
                assert found.status == "completed", found.error
        assert len(engine.seen) == 2  # only the second run asks a model
        for run in (graded, anew):
            items = [
                item async for item in sdk.evals.runs.output_items.list(run.id, eval_id=run.eval_id)
            ]
            assert sorted(item.sample.output[0].content or "" for item in items) == ["A1", "A2"]
            asked = [{"role": "user", "content": "I am [EMAIL]: 1"}]
            [first] = [i for i in items if i.datasource_item["input"] == asked]
            assert first.status == "pass"
            assert first.sample.input[0].content == asked[0]["content"]
            assert first.sample.usage.completion_tokens == 2
        [item] = [
            item
            async for item in sdk.evals.runs.output_items.list(
                responses.id, eval_id=responses.eval_id
            )
        ]
        assert item.datasource_item["id"] == answered.id
        assert item.sample.input[0].content == "Be brief."


async def test_a_run_reads_the_chats_that_its_filters_name(http, api: Api, add: Add, work):
    now_s = clock.now_s()
    await add(1, metadata={"q": "good"}, created_at=now_s - 50)
    await add(2, metadata={"q": "good"}, created_at=now_s - 40, finish_reason="length")
    await add(3, metadata={"q": "bad"}, created_at=now_s - 30)
    await add(4, metadata={"q": "good"}, created_at=now_s - 20, model="other")
    await add(5, metadata={"q": "good"}, created_at=now_s - 10)
    await add(6, metadata={"q": "good"}, project="globex")
    wanted: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [1, 2, 3, 4, 5]),
        ({"metadata": {"q": "good"}}, [1, 2, 4, 5]),
        ({"model": MODEL, "limit": 2}, [3, 5]),
        ({"created_after": now_s - 40, "created_before": now_s - 20}, [2, 3, 4]),
    ]
    for source, numbers in wanted:
        run = await run_of(http, source)
        strictly(RunRetrieveResponse, run)
        async with work("cpu"):
            run = await ended(http, run)
        assert (run["status"], run["items"], run["deleted_items"]) == ("completed", len(numbers), 0)
        items = sorted(await output_items(http, run), key=lambda one: one["datasource_item_id"])
        assert [item["datasource_item"]["id"] for item in items] == [
            f"chatcmpl-{number}" for number in numbers
        ]
    assert run["model"] == ""
    assert run["per_model_usage"] == []  # the stored answers cost nothing
    eval_id = (await made(http, "/v1/evals", {**LOGS, "data_source_config": {
        "type": "logs", "metadata": {"q": "good"}}}))["id"]  # fmt: skip
    strictly(EvalCreateResponse, (await http.get(f"/v1/evals/{eval_id}")).json())
    unmatched: list[Any] = [{"metadata": {"q": "bad"}}, {"model": "none"}, {"created_before": 1}]
    for source in unmatched:
        body = {"data_source": {**STORED, "source": {**STORED["source"], **source}}}
        status, error = await refused(http, f"/v1/evals/{eval_id}/runs", body)
        assert (status, error["code"]) == (400, "no_stored_chats")


async def test_responses_are_chosen_by_what_was_asked(http, api: Api, add: Add, work):
    await add(1)  # no response
    project = await api.app.state.projects.by_name("acme")
    tool = {"type": "function", "name": "hours", "parameters": {"type": "object", "properties": {}}}
    asked: list[dict[str, Any]] = [
        {"instructions": "Be brief.", "temperature": 0, "top_p": 0.9},
        {"instructions": "Be polite.", "temperature": 1, "reasoning": {"effort": "low"}},
        {"temperature": 0, "tools": [tool]},
    ]
    for number, more in enumerate(asked):
        await store_response(api.app.state.stored_chats, project.id, number, **more)
    eval_id = (await made(http, "/v1/evals", LOGS))["id"]
    wanted: list[tuple[dict[str, Any], list[int]]] = [
        ({"users": None}, [0, 1, 2]),
        ({"instructions_search": "be POLITE"}, [1]),
        ({"reasoning_effort": "low"}, [1]),
        ({"temperature": 0}, [0, 2]),
        ({"temperature": 0, "limit": 1}, [2]),
        ({"top_p": 0.9}, [0]),
        ({"tools": ["hours"]}, [2]),
    ]
    async with work("cpu"):
        for source, numbers in wanted:
            given = {"type": "responses", "source": {"type": "responses", **source}}
            path = f"/v1/evals/{eval_id}/runs"
            run = await ended(http, await made(http, path, {"data_source": given}))
            found = [one["datasource_item"]["id"] for one in await output_items(http, run)]
            assert sorted(found) == [f"resp_{number}" for number in numbers]
        given["source"] = {"type": "responses", "temperature": 0.3}
        run = await ended(http, await made(http, path, {"data_source": given}))
    assert run["error"]["code"] == "no_stored_chats"


async def test_erased_and_expired_chats_are_in_no_run(http, api: Api, add: Add, work, engine):
    """One is gone before a worker begins, one while the model answers, and one between attempts."""
    for number in (1, 2, 3, 4):
        await add(number)
    expiring = await add(5)
    engine.go.clear()
    run = await run_of(http, **ANEW)
    await http.delete("/v1/chat/completions/chatcmpl-1")
    chats = api.app.state.stored_chats.records
    await chats.update(
        expiring.project_id, expiring.id, lambda now: now.model_copy(update={"expires_at": 1})
    )
    async with work("cpu"):
        run = await until(http, run, lambda run: run["items"] is not None)
        assert (run["items"], run["deleted_items"]) == (5, 2)
        await asked(engine, 3)
    # The worker stopped, and another one takes over.
    await http.delete("/v1/chat/completions/chatcmpl-3")
    async with work("cpu"):
        await asked(engine, 3 + 2)
        await http.delete("/v1/chat/completions/chatcmpl-2")
        engine.go.set()
        run = await ended(http, run)
    assert (run["status"], run["items"], run["deleted_items"]) == ("completed", 5, 4)
    assert run["result_counts"]["total"] == 1
    [item] = await output_items(http, run)
    assert item["datasource_item"]["id"] == "chatcmpl-4"


async def test_a_run_whose_chats_are_all_gone_fails(http, add: Add, work):
    await add(1)
    run = await run_of(http)
    assert (await http.delete("/v1/chat/completions/chatcmpl-1")).status_code == 200
    async with work("cpu"):
        run = await ended(http, run)
    assert (run["status"], run["error"]["code"]) == ("failed", "no_stored_chats")


async def test_masked_chats_reach_neither_model_nor_storage(http, api: Api, add: Add, work, engine):
    """A word that became personal data only after the chat was stored."""
    added = await add(1, text="Ann Smith has the badge ZQ-1182.", metadata={"badge": "ZQ-1182"})
    project = added.project_id
    answer = await http.put("/v1/recognizers/badge", json={"pattern": "ZQ-[0-9]{4}|Question 1"})
    assert answer.status_code == 200, answer.text
    run = await run_of(http, {"personal_data": "mask"})
    anew = await run_of(http, {"personal_data": "mask"}, **ANEW)
    plain = await run_of(http)
    async with work("cpu"):
        run, plain = await ended(http, run), await ended(http, plain)
        await ended(http, anew)
    [(_, sent)] = engine.seen
    assert sent["messages"][-1]["content"] == "[BADGE]?"
    [item] = await output_items(http, run)
    assert item["sample"]["output"][0]["content"] == "[PERSON_NAME] has the badge [BADGE]."
    assert item["datasource_item"]["metadata"] == {"badge": "[BADGE]"}
    assert item["datasource_item"]["id"] == added.id
    [kept] = await output_items(http, plain)
    assert kept["sample"]["output"][0]["content"] == "[PERSON_NAME] has the badge ZQ-1182."
    folder = f"{project}/evals/{run['eval_id']}/{run['id']}"
    storage = api.app.state.files.storage
    names = [one.key for one in await storage.objects() if one.key.startswith(folder)]
    assert len(names) == 2
    assert not [name for name in names if b"ZQ-1182" in await storage.get_bytes(name)]


async def test_the_audit_log_says_how_many_chats_a_run_reads(http, api: Api, add: Add):
    for number in range(3):
        await add(number)
    redis = api.app.state.stored_chats.redis
    await redis.delete(audit_trail.STREAM)
    await run_of(http)
    raw = [fields[b"entry"] for _, fields in await redis.xrange(audit_trail.STREAM)]
    [entry] = [e for e in map(audit_trail.decode, raw) if e.type == AuditEvent.EVAL_RUN_CREATED]
    assert entry.counts == {"chat_completions": 3}
    assert b"Question" not in b"".join(raw)


async def test_stored_answers_need_no_model_and_new_ones_need_a_prompt(http, add: Add):
    await add(1)
    eval_id = (await made(http, "/v1/evals", LOGS))["id"]
    for given, missing in (
        ({"model": BASE_MODEL}, "input_messages"),
        ({"input_messages": ANEW["input_messages"]}, "model"),
        ({"sampling_params": {"seed": 1}}, "model"),
    ):
        body = {"data_source": {**STORED, **given}}
        status, error = await refused(http, f"/v1/evals/{eval_id}/runs", body)
        assert (status, error["param"]) == (400, f"data_source.{missing}")


async def test_a_suite_of_stored_chats_reads_those_that_are_left(http, add: Add, work):
    for number in (1, 2, 3):
        await add(number)
    run = await run_of(http, **ANEW)
    async with work("cpu"):
        await ended(http, run)
        await http.delete("/v1/chat/completions/chatcmpl-2")
        suite = {"eval_id": run["eval_id"], "run_id": run["id"], "min_score": 0.1}
        alias = {"model": BASE_MODEL, "suites": [suite]}
        answer = await http.put("/v1/aliases/voice", json=alias)
        assert answer.status_code == 200, answer.text
        check = await made(http, "/v1/alias_checks", {"alias": "voice"})
        async with asyncio.timeout(DONE_S):
            while check["status"] not in ("completed", "failed"):
                check = (await http.get(f"/v1/alias_checks/{check['id']}?wait=5")).json()
    assert check["status"] == "completed", check["error"]
    checked = {"eval_id": run["eval_id"], "id": check["runs"][0]["run_id"]}
    checked = (await http.get(f"/v1/evals/{checked['eval_id']}/runs/{checked['id']}")).json()
    assert (checked["items"], checked["deleted_items"]) == (3, 1)
    assert checked["result_counts"]["total"] == 2
