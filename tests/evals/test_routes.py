"""Evals and runs over HTTP, without a worker: shapes, pages, limits and refusals."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from openai.types import EvalCreateResponse, EvalListResponse, EvalRetrieveResponse
from openai.types.evals import RunCreateResponse, RunListResponse

from service.core.outbox import OUTBOX
from service.evals.records import DELETED, Evals, RunRecord
from service.evals.tally import Tally
from tests.conftest import BASE_MODEL, Api, upload
from tests.evals.conftest import (
    DONE_S,
    EVAL,
    EXACT,
    ITEM_SCHEMA,
    items,
    made,
    refused,
    sampled,
    strictly,
)

NEVER_EXPIRES = -1  # Redis's answer to TTL
GRADERS: list[dict[str, Any]] = [
    EXACT,
    {
        "type": "text_similarity",
        "name": "similar",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "fuzzy_match",
    },
    {
        "type": "label_model",
        "name": "kind",
        "model": BASE_MODEL,
        "input": [{"role": "user", "content": "{{sample.output_text}}"}],
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
    },
    {
        "type": "score_model",
        "name": "score",
        "model": BASE_MODEL,
        "input": [{"role": "user", "content": {"type": "input_text", "text": "{{item.question}}"}}],
        "range": [1, 5],
        "sampling_params": {"temperature": 0},
    },
    {"type": "python", "name": "code", "source": "def grade(sample, item):\n    return 1.0\n"},
]


async def test_an_eval_has_the_sdks_shape(http):
    body = {**EVAL, "testing_criteria": GRADERS}
    shown = await made(http, "/v1/evals", body)
    strictly(EvalCreateResponse, shown)
    assert shown["object"] == "eval"
    assert (shown["name"], shown["metadata"]) == ("Opening hours", {"team": "support"})
    schema = shown["data_source_config"]["schema"]
    assert schema["properties"]["item"] == ITEM_SCHEMA
    assert schema["required"] == ["item", "sample"]
    assert [g["name"] for g in shown["testing_criteria"]] == [g["name"] for g in GRADERS]
    assert shown["testing_criteria"][0] == EXACT
    assert shown["testing_criteria"][1]["pass_threshold"] == 0.5
    again = (await http.get(f"/v1/evals/{shown['id']}")).json()
    strictly(EvalRetrieveResponse, again)
    assert again == shown


async def test_the_least_that_must_be_said(http):
    body = {
        "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
        "testing_criteria": [{**EXACT, "input": "{{item.a}}", "reference": "b"}],
    }
    shown = await made(http, "/v1/evals", body)
    strictly(EvalCreateResponse, shown)
    assert (shown["name"], shown["metadata"]) == ("", {})
    assert shown["data_source_config"]["schema"]["required"] == ["item"]


async def test_pages_in_either_order(http):
    made_ids = [(await made(http, "/v1/evals", {**EVAL, "name": str(n)}))["id"] for n in range(5)]
    await made(http, f"/v1/evals/{made_ids[1]}", {"name": "renamed"})

    async def listed(**query: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = (await http.get("/v1/evals", params={"limit": 2, **query})).json()
            found += [shown["id"] for shown in page["data"]]
            for shown in page["data"]:
                strictly(EvalListResponse, shown)
            if not page["has_more"]:
                return found
            query["after"] = page["last_id"]

    assert await listed() == made_ids
    assert await listed(order="desc") == made_ids[::-1]
    by_update = [made_ids[0], *made_ids[2:], made_ids[1]]
    assert await listed(order_by="updated_at") == by_update
    assert await listed(order_by="updated_at", order="desc") == by_update[::-1]
    for query in ({"after": "eval_none"}, {"limit": 0}, {"order": "up"}, {"order_by": "name"}):
        assert (await http.get("/v1/evals", params=query)).status_code == 400


async def test_an_update_changes_what_it_names(http, eval_id):
    path = f"/v1/evals/{eval_id}"
    before = (await http.get(path)).json()
    assert await made(http, path, {"name": "New"}) == {**before, "name": "New"}
    changed = await made(http, path, {"metadata": {"a": "b"}})
    assert (changed["name"], changed["metadata"]) == ("New", {"a": "b"})
    assert (await made(http, path, {"metadata": None}))["metadata"] == {}
    status, error = await refused(http, path, {"testing_criteria": []})
    assert (status, error["code"]) == (400, "unknown_parameter")


def changed(path: str, value: Any) -> dict[str, Any]:
    """The eval's body with another value at a path."""
    body = copy.deepcopy(EVAL)
    *parents, last = path.split(".")
    at: Any = body
    for part in parents:
        at = at[int(part)] if part.isdigit() else at[part]
    at[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "param", "words"),
    [
        ("data_source_config", {"type": "logs", "metadata": {"a": 1}}, None, "a string"),
        ("data_source_config", {"type": "stored_completions"},
         "testing_criteria.0.reference", "unknown template variable"),
        ("data_source_config.item_schema", {"type": "objekt"},
         "data_source_config.item_schema", "not valid"),
        ("data_source_config.item_schema", {"$ref": "http://127.0.0.1:9/x"},
         "data_source_config.item_schema", "same schema"),
        ("data_source_config.item_schema", None, "data_source_config.item_schema", "an object"),
        ("data_source_config.include_sample_schema", False,
         "testing_criteria.0.input", "include_sample_schema"),
        ("testing_criteria", [], "testing_criteria", "at least 1"),
        ("testing_criteria.0.reference", "{{item.anwser}}",
         "testing_criteria.0.reference", "unknown template variable"),
        ("testing_criteria.0.reference", "{{item.answer", "testing_criteria.0.reference", "}}"),
        ("testing_criteria.0.type", "vibes", "testing_criteria.0.type", "chrf"),
        ("metadata", {str(n): "" for n in range(17)}, "metadata", "16"),
        ("name", "x" * 300, "name", "256"),
        ("owner", "me", "owner", "Unknown parameter"),
    ],
)  # fmt: skip
async def test_a_refused_eval_says_what_is_wrong(http, path, value, param, words):
    status, error = await refused(http, "/v1/evals", changed(path, value))
    assert status == 400
    assert words in error["message"]
    if param is not None:
        assert error["param"] == param


async def test_two_criteria_of_an_eval_cannot_have_one_name(http):
    status, error = await refused(http, "/v1/evals", changed("testing_criteria", [EXACT, EXACT]))
    assert (status, error["code"], error["param"]) == (409, "name_taken", "testing_criteria")


async def test_a_run_has_the_sdks_shape(http, eval_id):
    params = {
        "temperature": 0.5,
        "seed": 7,
        "top_p": 0.9,
        "max_completions_tokens": 8,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": None}}],
    }
    given = [{"item": {"question": "?", "answer": None}}, *items(2)]
    body = sampled(items(2), sampling_params=params)
    run = await made(http, f"/v1/evals/{eval_id}/runs", {**body, "metadata": {"a": "b"}})
    strictly(RunCreateResponse, run)
    assert (run["object"], run["status"], run["eval_id"]) == ("eval.run", "queued", eval_id)
    assert (run["model"], run["name"], run["metadata"]) == (BASE_MODEL, "base", {"a": "b"})
    assert run["error"] is None
    assert run["result_counts"] == {"total": 0, "passed": 0, "failed": 0, "errored": 0}
    assert run["per_model_usage"] == run["per_testing_criteria_results"] == []
    source = run["data_source"]
    assert [row["item"] for row in source["source"]["content"]] == [r["item"] for r in items(2)]
    assert source["sampling_params"]["max_completion_tokens"] == 8
    assert source["sampling_params"]["tools"] == params["tools"]
    assert source["sampling_params"]["response_format"] == params["response_format"]
    assert source["input_messages"]["template"][1]["content"] == "Q: {{item.question}}"
    path = f"/v1/evals/{eval_id}/runs/{run['id']}"
    assert (await http.get(path)).json() == run
    status, error = await refused(http, f"/v1/evals/{eval_id}/runs", sampled(given))
    assert (status, error["param"]) == (400, "data_source.source.content.0")
    assert "line 1" in error["message"]
    assert "'item/answer' is not of the type string" in error["message"]


async def test_runs_of_responses_and_of_given_answers(http, eval_id):
    content = [{"item": {"question": "?", "x": [None]}, "sample": {"output_text": "A", "y": None}}]
    source = {"type": "file_content", "content": content}
    body = {"data_source": {"type": "jsonl", "source": source}}
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    strictly(RunCreateResponse, run)
    assert run["data_source"]["source"] == source
    assert run["model"] == ""
    function = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    params = {"text": {"format": {"type": "json_object"}}, "tools": [function]}
    body = sampled(items(1), type="responses", sampling_params=params)
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    strictly(RunCreateResponse, run)
    listed = (await http.get(f"/v1/evals/{eval_id}/runs")).json()
    assert [r["data_source"]["type"] for r in listed["data"]] == ["jsonl", "responses"]
    for shown in listed["data"]:
        strictly(RunListResponse, shown)
    queued = (await http.get(f"/v1/evals/{eval_id}/runs?status=queued&order=desc&limit=1")).json()
    assert (queued["data"][0]["id"], queued["has_more"]) == (run["id"], True)
    assert (await http.get(f"/v1/evals/{eval_id}/runs?status=failed")).json()["data"] == []


def run_with(**changes: Any) -> dict[str, Any]:
    return sampled(items(1), **changes)


@pytest.mark.parametrize(
    ("changes", "status", "param", "words"),
    [
        ({"model": "gpt-4o"}, 404, "data_source.model", "does not exist"),
        ({"model": None}, 400, "data_source.model", "Missing required parameter"),
        ({"input_messages": None}, 400, "data_source.input_messages", "Missing required"),
        ({"input_messages": {"type": "item_reference", "item_reference": "item.chat"}}, 400,
         "data_source.input_messages.item_reference", "unknown template variable"),
        ({"input_messages": {"type": "template", "template": [
            {"role": "user", "content": "{{item.quetsion}}"}]}}, 400,
         "data_source.input_messages.template.0.content", "unknown template variable"),
        ({"input_messages": {"type": "template", "template": [
            {"role": "user", "content": "{{sample.output_text}}"}]}}, 400,
         "data_source.input_messages.template.0.content", "what the model answers"),
        ({"input_messages": {"type": "template", "template": [
            {"role": "user", "content": {"type": "input_image", "image_url": "x"}}]}}, 400,
         None, "input_image"),
        ({"source": {"type": "stored_completions"}}, 400, "data_source.source.type", "'logs'"),
        ({"source": {"type": "responses"}, "type": "responses"}, 400,
         "data_source.source.type", "'logs'"),
        ({"source": {"type": "responses"}}, 400, None, "stored_completions"),
        ({"source": {"type": "responses", "users": ["ann"]}, "type": "responses"}, 400,
         None, "without 'user'"),
        ({"source": {"type": {}}}, 400, None, "expected one of"),
        ({"source": {"type": "file_content", "content": []}}, 400, None, "at least 1"),
        ({"source": {"type": "file_id", "id": "file-" + "z" * 24}}, 404,
         "data_source.source.id", "No such File"),
        ({"source": {"type": "file_content",
                     "content": [*items(3), {"item": {"question": "x" * 70_000}}]}}, 400,
         "data_source.source.content.3", "line 4"),
        ({"sampling_params": {"tools": [{"type": "function", "function": {
            "name": "x", "description": "x" * 70_000}}]}}, 400, "data_source", "65536"),
        ({"sampling_params": {"tools": [{"type": "function", "function": {"name": "a b"}}]}}, 400,
         "data_source.sampling_params.tools[0].function.name", "pattern"),
        ({"sampling_params": {"response_format": {"type": "xml"}}}, 400,
         "data_source.sampling_params.response_format.type", "Supported values"),
        ({"sampling_params": {"temperature": 3}}, 400, None, "a value <= 2"),
        ({"type": "responses", "sampling_params": {"tools": [{"type": "web_search"}]}}, 400,
         None, "functions only"),
        ({"type": "logs"}, 400, None, "jsonl"),
    ],
)  # fmt: skip
async def test_a_refused_run_says_what_is_wrong(http, eval_id, changes, status, param, words):
    found, error = await refused(http, f"/v1/evals/{eval_id}/runs", run_with(**changes))
    assert found == status, error
    assert words in error["message"]
    if param is not None:
        assert error["param"] == param


async def test_a_run_needs_a_file_of_its_purpose(http, eval_id):
    notes = (await upload(http, b'{"item": {}}', "user_data")).json()["id"]
    body = run_with(source={"type": "file_id", "id": notes})
    status, error = await refused(http, f"/v1/evals/{eval_id}/runs", body)
    assert (status, error["code"]) == (400, "invalid_file_purpose")
    good = (await upload(http, b'{"item": {"question": "?"}}', "evals")).json()["id"]
    source = {"type": "file_id", "id": good}
    run = await made(http, f"/v1/evals/{eval_id}/runs", run_with(source=source))
    strictly(RunCreateResponse, run)
    assert run["data_source"]["source"] == source


async def test_items_of_requests_are_bounded_by_the_body(http, eval_id, api: Api):
    body = sampled([{"item": {"question": "x" * 60_000}}] * 20)
    status, error = await refused(http, f"/v1/evals/{eval_id}/runs", body)
    assert (status, error["code"]) == (413, "request_too_large")


async def test_a_page_of_runs_ends_early_where_their_items_are_many(http, eval_id, monkeypatch):
    monkeypatch.setattr("service.evals.routes._MAX_PAGE_BYTES", 1000)
    for _ in range(3):
        await made(http, f"/v1/evals/{eval_id}/runs", sampled([{"item": {"question": "x" * 600}}]))
    page = (await http.get(f"/v1/evals/{eval_id}/runs")).json()
    assert (len(page["data"]), page["has_more"]) == (1, True)
    rest = (await http.get(f"/v1/evals/{eval_id}/runs?after={page['last_id']}")).json()
    assert (len(rest["data"]), rest["has_more"]) == (1, True)


async def test_idempotency_keys(http, eval_id):
    headers = {"idempotency-key": "once"}
    for path, body in (("/v1/evals", EVAL), (f"/v1/evals/{eval_id}/runs", sampled(items(1)))):
        first = await http.post(path, json=body, headers=headers | {"idempotency-key": path})
        again = await http.post(path, json=body, headers=headers | {"idempotency-key": path})
        assert first.json() == again.json()
        other = await http.post(
            path, json={**body, "name": "other"}, headers={"idempotency-key": path}
        )
        assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert len((await http.get(f"/v1/evals/{eval_id}/runs")).json()["data"]) == 1


async def test_limits_of_a_project(http, eval_id, api: Api):
    api.app.state.settings = api.settings.model_copy(
        update={"max_evals_per_project": 1, "max_unfinished_eval_runs_per_project": 1}
    )
    status, error = await refused(http, "/v1/evals", EVAL)
    assert (status, error["code"]) == (409, "limit_reached")
    runs = f"/v1/evals/{eval_id}/runs"
    run = await made(http, runs, sampled(items(1)))
    status, error = await refused(http, runs, sampled(items(1)))
    assert (status, error["code"]) == (429, "limit_reached")
    await made(http, f"{runs}/{run['id']}/cancel", {})
    api.app.state.settings = api.settings.model_copy(update={"max_runs_per_eval": 1})
    status, error = await refused(http, runs, sampled(items(1)))
    assert (status, error["code"]) == (409, "limit_reached")


@pytest.mark.parametrize("suffix", ["", "/cancel"])
async def test_a_run_is_canceled_once_by_either_path(http, eval_id, suffix):
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(1)))
    path = f"/v1/evals/{eval_id}/runs/{run['id']}{suffix}"
    canceled = await made(http, path, {})
    assert (canceled["status"], canceled["estimated_finish"]) == ("canceled", None)
    answer = await http.post(path)
    assert answer.status_code == 409
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "invalid_state"


async def test_nothing_is_left_of_what_is_deleted(http, eval_id, api: Api, work):
    runs = f"/v1/evals/{eval_id}/runs"
    first, second = [await made(http, runs, sampled(items(2))) for _ in range(2)]
    deleted = await http.delete(f"{runs}/{first['id']}")
    gone = deleted.json()
    assert gone.pop("receipt").startswith("receipt-")
    assert gone == {"object": "eval.run.deleted", "deleted": True, "run_id": first["id"]}
    assert (await http.get(f"{runs}/{first['id']}")).status_code == 404
    deleted = await http.delete(f"/v1/evals/{eval_id}")
    gone = deleted.json()
    assert gone.pop("receipt").startswith("receipt-")
    assert gone == {"object": "eval.deleted", "deleted": True, "eval_id": eval_id}
    for path in (f"/v1/evals/{eval_id}", runs, f"{runs}/{second['id']}"):
        assert (await http.get(path)).status_code == 404
    assert (await http.get("/v1/evals")).json()["data"] == []
    redis, storage = api.app.state.redis, api.app.state.storage
    async with work("cpu"):
        async with asyncio.timeout(DONE_S):
            while await redis.exists(DELETED, RunRecord.work.unfinished_key):
                await asyncio.sleep(0.05)
    project = (await api.app.state.projects.by_name("acme")).id
    assert await storage.keys(f"{project}/evals") == []
    # A mark of the reconciler, in case it looked before the work began, expires by itself.
    left = [key for key in await redis.keys("*eval*") if b"queue" not in key]
    assert [key for key in left if await redis.ttl(key) == NEVER_EXPIRES] == []
    assert not await redis.exists(DELETED)


def complete(run: RunRecord) -> RunRecord:
    counted = run.model_copy(update={"items": 1}).advance(Tally(passed=1))
    return counted.complete(7)


@pytest.mark.parametrize(
    ("end", "event_type"),
    [
        (complete, "eval.run.succeeded"),
        (lambda run: run.give_up("invalid_item", "Line 1", 7), "eval.run.failed"),
        (lambda run: run.cancel(7), "eval.run.canceled"),
    ],
)
async def test_the_end_of_a_run_is_one_event(http, eval_id, api: Api, end, event_type):
    shown = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(1)))
    project = await api.app.state.projects.by_name("acme")
    evals: Evals = api.app.state.evals
    run = await evals.runs.get_run(project.id, eval_id, shown["id"])
    assert run is not None
    await evals.runs.change(run, lambda r: r.start(1))
    redis = api.app.state.redis
    assert not await redis.exists(OUTBOX)
    await evals.runs.change(run, end)
    await evals.runs.change(run, lambda r: r.model_copy(update={"name": "again"}))
    (event,) = [json.loads(member) for member in await redis.zrange(OUTBOX, 0, -1)]
    assert (event["type"], event["subject_id"]) == (event_type, run.id)
    assert (event["project_id"], event["created_at"]) == (project.id, 7)
    assert event["id"] == "evt_" + run.id.removeprefix("evalrun_")
    assert await evals.runs.unfinished() == []
