"""Runs that a worker works on: sampled, graded, counted; and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from openai.types import EvalCreateResponse
from openai.types.evals import RunRetrieveResponse
from openai.types.evals.runs import OutputItemListResponse, OutputItemRetrieveResponse

from service.core import clock
from service.inference.background.calls import PRIORITY
from service.inference.gateway.request_body import cache_salts
from service.inference.headers import ADAPTER
from service.models.records import ModelRecord
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api, upload
from tests.evals.conftest import (
    DONE_S,
    ENGINE_KEY,
    EVAL,
    EXACT,
    Engine,
    ended,
    items,
    made,
    output_items,
    sampled,
    says,
    strictly,
    until,
)
from tests.quota import leave_room

pytestmark = pytest.mark.slow


async def test_answers_are_sampled_graded_and_counted(http, eval_id, engine: Engine, work, api):
    body = sampled(items(30), sampling_params={"temperature": 0, "max_completion_tokens": 8})
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    async with work("cpu"):
        run = await ended(http, run)
    strictly(RunRetrieveResponse, run)
    assert (run["status"], run["error"], run["items"]) == ("completed", None, 30)
    assert run["result_counts"] == {"total": 30, "passed": 20, "failed": 10, "errored": 0}
    assert run["per_testing_criteria_results"] == [
        {"testing_criteria": "exact", "passed": 20, "failed": 10, "errored": 0,
         "mean_score": pytest.approx(20 / 30), "confusion": None}
    ]  # fmt: skip
    assert run["per_model_usage"] == [
        {"model_name": BASE_MODEL, "invocation_count": 30, "prompt_tokens": 300,
         "completion_tokens": 60, "total_tokens": 360, "cached_tokens": 120}
    ]  # fmt: skip
    assert run["started_at"] <= run["finished_at"]
    assert sorted(map(int, engine.questions)) == list(range(30))
    assert engine.most_in_flight <= 16
    path, sent = engine.seen[0]
    project = (await api.app.state.projects.by_name("acme")).id
    assert path == "/v1/chat/completions"
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    del sent["messages"]
    assert sent == {
        "model": BASE_MODEL,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": 42,
        "max_completion_tokens": 8,
        "priority": PRIORITY,
        "cache_salt": cache_salts(ENGINE_KEY)(project),
    }


async def test_a_run_shows_how_often_a_judge_agrees_with_people(http, engine, work):
    """The judge calls the first two of five answers good; people call the first and the last so."""
    judge = {
        "type": "label_model",
        "name": "judge",
        "model": BASE_MODEL,
        "input": [{"role": "user", "content": "Judge {{sample.output_text}}"}],
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
        "human_label": "{{item.human}}",
    }
    scorer = {
        "type": "score_model",
        "name": "scorer",
        "model": BASE_MODEL,
        "input": [{"role": "user", "content": "Score {{sample.output_text}}"}],
        "human_label": "{{item.human_score}}",
    }
    expected = {"type": "label", "name": "label", "reference": "{{item.answer}}"}
    properties = {
        **EVAL["data_source_config"]["item_schema"]["properties"],
        "human": {"type": "string"},
        "human_score": {"type": "number"},
    }
    schema = {"type": "object", "properties": properties}
    config = {**EVAL["data_source_config"], "item_schema": schema}
    body = {"data_source_config": config, "testing_criteria": [judge, scorer, expected]}
    made_eval = await made(http, "/v1/evals", body)
    judges = made_eval["testing_criteria"][:2]
    strictly(EvalCreateResponse, {**made_eval, "testing_criteria": judges})
    assert judges[0]["human_label"] == "{{item.human}}"

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        asked = body["messages"][-1]["content"]
        good = asked.endswith(("A0", "A1"))
        if asked.startswith("Judge"):
            return says(request, body, json.dumps({"result": "good" if good else "bad"}))
        if asked.startswith("Score"):
            return says(request, body, json.dumps({"steps": [], "result": 0.9 if good else 0.1}))
        return says(request, body, "A" + asked.split()[-1])

    engine.reply = reply
    people = ["good", "bad", "bad", "bad", "good"]
    content = items(6)
    for row, human in zip(content, people, strict=False):  # nobody judged the last item
        row["item"] |= {"human": human, "human_score": 1.0 if human == "good" else 0.0}
    run = await made(http, f"/v1/evals/{made_eval['id']}/runs", sampled(content))
    async with work("cpu"):
        run = await ended(http, run)
    strictly(RunRetrieveResponse, run)
    by_label, by_score, answers = (r["confusion"] for r in run["per_testing_criteria_results"])
    assert by_label == {
        "labels": ["bad", "good"],
        "counts": {"bad": {"bad": 2, "good": 1}, "good": {"bad": 1, "good": 1}},
        "n": 5,
        "accuracy": 0.6,
        "kappa": pytest.approx((0.6 - 0.52) / 0.48),
    }
    assert (by_score["labels"], by_score["accuracy"]) == (["fail", "pass"], 0.6)
    assert (answers["n"], answers["accuracy"]) == (6, pytest.approx(4 / 6))
    shown = await output_items(http, run)
    strictly(OutputItemListResponse, shown[0])
    first = next(one for one in shown if one["datasource_item_id"] == 1)
    assert first["results"][0]["label"] == {"expected": "bad", "given": "good"}


async def test_items_are_paged_in_the_order_of_their_outcomes(http, eval_id, work):
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(30)))
    async with work("cpu"):
        run = await ended(http, run)
    found = await output_items(http, run)
    for shown in found:
        strictly(OutputItemListResponse, shown)
    assert sorted(shown["datasource_item_id"] for shown in found) == list(range(30))
    assert found[::-1] == await output_items(http, run, order="desc")
    passed, failed = [await output_items(http, run, status=s) for s in ("pass", "fail")]
    assert (len(passed), len(failed)) == (20, 10)
    assert failed == await output_items(http, run, status="failed")
    assert await output_items(http, run, status="error") == []
    shown = next(shown for shown in found if shown["datasource_item_id"] == 4)
    assert shown["datasource_item"] == {"question": "4", "answer": "A4"}
    assert shown["results"] == [
        {"name": "exact", "type": "string_check", "passed": True, "score": 1.0, "sample": None,
         "errors": None, "sub_scores": None, "label": None}
    ]  # fmt: skip
    assert shown["sample"] == {
        "error": None,
        "finish_reason": "stop",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Q: 4"},
        ],
        "output": [{"role": "assistant", "content": "A4"}],
        "model": BASE_MODEL,
        "max_completion_tokens": 2048,  # the model's context
        "seed": 42,
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": {"total_tokens": 12, "completion_tokens": 2, "prompt_tokens": 10,
                  "cached_tokens": 4},
    }  # fmt: skip
    path = f"/v1/evals/{eval_id}/runs/{run['id']}/output_items"
    one = (await http.get(f"{path}/{shown['id']}")).json()
    strictly(OutputItemRetrieveResponse, one)
    assert one == shown
    for unknown in ("outputitem_x", shown["id"][:-5] + "00031", shown["id"][:-5] + "00٣31"):
        assert (await http.get(f"{path}/{unknown}")).status_code == 404
        assert (await http.get(path, params={"after": unknown})).status_code == 400


async def test_output_items_are_masked_until_they_are_revealed(api: Api, http, eval_id, work):
    """An item is the same in each run, whatever the answers to it name."""
    rows = [{"item": {"question": "I am ann.lee@example.com.", "answer": "A"},
             "sample": {"output_text": "Write to bob@example.com.", "model": "m"}}]  # fmt: skip
    file = (await upload(http, "\n".join(map(json.dumps, rows)).encode(), "evals")).json()["id"]
    body = {"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": file}}}
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    async with work("cpu"):
        await ended(http, run)
    [masked] = await output_items(http, run, personal_data="mask")
    assert masked["datasource_item"] == {"question": "I am [EMAIL].", "answer": "A"}
    assert masked["sample"]["output"][0]["content"] == "Write to [EMAIL]."
    assert masked["masked_values"] == 2
    path = f"/v1/evals/{eval_id}/runs/{run['id']}/output_items/{masked['id']}"
    assert (await http.get(path, params={"personal_data": "mask"})).json() == masked
    shown = (await http.get(path)).json()
    assert shown["datasource_item"] == rows[0]["item"]
    assert shown["masked_values"] is None
    async with await api.client(role=Role.PROJECT_ADMIN) as admin:
        query = {"event_types[]": "eval.run.output_items.revealed"}
        logs = (await admin.get("/v1/organization/audit_logs", params=query)).json()["data"]
    assert len(logs) == 1


async def test_responses_are_sampled_with_their_own_parameters(http, eval_id, engine, work):
    function = {"type": "function", "name": "open", "parameters": {}, "strict": False}
    params = {
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "text": {"format": {"type": "text"}},
        "tools": [function],
    }

    async def calls(request: web.Request, body: dict[str, Any]) -> web.Response:
        call = {"type": "function_call", "name": "open", "arguments": "{}", "call_id": "c1"}
        return web.json_response({"status": "completed", "output": [call], "usage": {}})

    engine.reply = calls
    body = sampled(items(1), type="responses", sampling_params=params)
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    async with work("cpu"):
        run = await ended(http, run)
    assert run["status"] == "completed"
    path, sent = engine.seen[0]
    assert path == "/v1/responses"
    assert sent["input"][1] == {"role": "user", "content": "Q: 0"}
    assert (sent["max_output_tokens"], sent["store"], sent["priority"]) == (9, False, PRIORITY)
    assert (sent["tools"], sent["text"]) == ([function], params["text"])
    assert sent["reasoning"] == {"effort": "low"}
    (item,) = await output_items(http, run)
    assert item["sample"]["finish_reason"] == "tool_calls"
    (message,) = item["sample"]["output"]
    assert message["tool_calls"][0]["function"] == {"name": "open", "arguments": "{}"}


async def test_given_answers_are_graded_as_they_are(http, eval_id, engine, work):
    rows = [
        {"item": {"question": "1", "answer": "A"}, "sample": {"output_text": "A", "model": "m"}},
        {"item": {"question": "2", "answer": "A"},
         "sample": {"choices": [{"message": {"content": "B"}, "finish_reason": "stop"}]}},
        {"item": {"question": "3", "answer": '{"a": 1}'}, "sample": {"output_json": {"a": 1}}},
        {"item": {"question": "4", "answer": "A"}},
    ]  # fmt: skip
    file = (await upload(http, "\n".join(map(json.dumps, rows)).encode(), "evals")).json()["id"]
    source = {"type": "file_id", "id": file}
    body = {"data_source": {"type": "jsonl", "source": source}}
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    async with work("cpu"):
        run = await ended(http, run)
    assert (run["status"], run["per_model_usage"]) == ("completed", [])
    found = {shown["datasource_item_id"]: shown for shown in await output_items(http, run)}
    assert [found[n]["status"] for n in range(4)] == ["pass", "fail", "pass", "error"]
    assert found[0]["sample"]["model"] == "m"
    assert found[3]["results"][0]["errors"][0]["code"] == "invalid_variable_error"
    for shown in found.values():
        strictly(OutputItemListResponse, shown)
    assert engine.seen == []


async def test_an_item_can_hold_its_prompt(http, engine, work):
    schema = {"type": "object", "properties": {"chat": {}}, "required": ["chat"]}
    config = {**EVAL["data_source_config"], "item_schema": schema}
    grader = {**EXACT, "reference": "Aevening"}
    body = {"data_source_config": config, "testing_criteria": [grader]}
    made_eval = await made(http, "/v1/evals", body)
    chats = [
        [{"role": "developer", "content": "Be brief."},
         {"role": "user", "content": [{"type": "input_text", "text": "Good evening"}]}],
        "Good evening",
        [{"role": "narrator", "content": "?"}],
        [],
        7,
        [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}],
    ]  # fmt: skip
    reference = {"type": "item_reference", "item_reference": "item.chat"}
    body = sampled([{"item": {"chat": chat}} for chat in chats], input_messages=reference)
    run = await made(http, f"/v1/evals/{made_eval['id']}/runs", body)
    async with work("cpu"):
        run = await ended(http, run)
    found = {shown["datasource_item_id"]: shown for shown in await output_items(http, run)}
    assert [found[n]["status"] for n in range(6)] == ["pass", "pass", *["error"] * 4]
    assert {found[n]["sample"]["error"]["code"] for n in range(2, 6)} == {"invalid_prompt"}
    assert sorted(len(body["messages"]) for _, body in engine.seen) == [1, 2]
    assert engine.seen[0][1]["messages"][0]["role"] in ("system", "user")
    assert run["result_counts"]["errored"] == 4


async def registered(api: Api, name: str) -> None:
    """A trained model of acme."""
    project = await api.app.state.projects.by_name("acme")
    await api.app.state.registry.register(
        ModelRecord(
            id=name,
            project_id=project.id,
            created_at=clock.now_s(),
            base_model=BASE_MODEL,
            job_id="ftjob-a",
            artifact="a",
            digest="0" * 64,
            step=1,
        )
    )


async def test_models_are_resolved_as_by_the_gateway(http, eval_id, engine, work, api: Api):
    tuned = f"ft:{BASE_MODEL}:acme:voice:abc123def456"
    await registered(api, tuned)
    await made(http, "/v1/evals", EVAL)
    assert (await http.put("/v1/aliases/prod", json={"model": tuned})).status_code == 200
    held: list[str | None] = []

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        held.append(request.headers.get(ADAPTER))
        return says(request, body, "A1")

    engine.reply = reply
    runs = [
        await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(1), model=name))
        for name in (tuned, "prod")
    ]
    async with work("cpu"):
        for run in runs:
            run = await ended(http, run)
            assert run["per_model_usage"][0]["model_name"] == tuned
            (item,) = await output_items(http, run)
            assert item["sample"]["model"] == tuned
    assert [body["model"] for _, body in engine.seen] == [tuned, tuned]
    assert None not in held


async def test_usage_counts_for_the_project_and_its_key(http, eval_id, work, api: Api):
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(5)))
    async with work("cpu"):
        await ended(http, run)
    query = {"start_time": 0, "bucket_width": "1d", "limit": 31, "group_by[]": "api_key_id"}
    start = clock.now_s() - 3600
    answer = await http.get(
        "/v1/organization/usage/completions", params={**query, "start_time": start}
    )
    (result,) = [r for bucket in answer.json()["data"] for r in bucket["results"]]
    assert (result["input_tokens"], result["output_tokens"]) == (50, 10)
    assert (result["num_model_requests"], result["input_cached_tokens"]) == (5, 20)
    project = await api.app.state.projects.by_name("acme")
    assert await api.app.state.projects.keys.get(project.id, result["api_key_id"])


async def test_the_limits_of_a_project_hold_a_run_up(http, eval_id, engine, work, api: Api):
    project = await api.app.state.projects.by_name("acme")
    limits = type(project.limits)(requests_per_minute=600, concurrent_requests=1)
    await api.app.state.projects.limit(project.id, limits)
    large = type(project.limits)(tokens_per_minute=100)

    async def slowly(request: web.Request, body: dict[str, Any]) -> web.Response:
        await asyncio.sleep(0.1)
        return says(request, body, "A1")

    engine.reply = slowly
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(20)))
    async with work("cpu"):
        run = await ended(http, run)
        assert run["result_counts"]["errored"] == 0
        assert engine.most_in_flight > 1  # a run takes no place of a user's request
        await api.app.state.projects.limit(project.id, large)
        body = sampled(items(1), sampling_params={"max_completion_tokens": 1000})
        refused = await ended(http, await made(http, f"/v1/evals/{eval_id}/runs", body))
    (item,) = await output_items(http, refused)
    assert item["sample"]["error"]["code"] == "rate_limit_exceeded"


async def test_progress_and_its_estimate_are_shown(http, eval_id, engine, work):
    engine.go.clear()
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(40)))
    async with work("cpu"):
        run = await until(http, run, lambda run: run["status"] == "in_progress")
        assert run["estimated_finish"] is None

        async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
            if len(engine.seen) > 24:
                await asyncio.sleep(DONE_S)
            return says(request, body, "A1")

        engine.reply = reply
        engine.go.set()
        run = await until(http, run, lambda run: run["result_counts"]["total"] > 0)
        assert run["items"] == 40
        assert run["estimated_finish"] >= run["started_at"]
        found = await output_items(http, run)
        assert 0 < len(found) < 40
        await made(http, f"/v1/evals/{eval_id}/runs/{run['id']}", {})


@pytest.mark.parametrize("how", ["cancel", "delete", "delete the eval"])
async def test_a_run_in_progress_stops(http, eval_id, engine, work, api: Api, how):
    engine.go.clear()
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(40)))
    path = f"/v1/evals/{eval_id}/runs/{run['id']}"
    async with work("cpu"):
        async with asyncio.timeout(DONE_S):
            while engine.in_flight < 16:
                await asyncio.sleep(0.05)
        if how == "cancel":
            assert (await http.post(f"{path}/cancel")).json()["status"] == "canceled"
        else:
            await http.delete(path if how == "delete" else f"/v1/evals/{eval_id}")
        async with asyncio.timeout(DONE_S):
            while engine.in_flight:  # its requests are dropped, so that the engine stops
                await asyncio.sleep(0.05)
    if how == "cancel":
        assert (await http.get(path)).json()["status"] == "canceled"
    else:
        assert (await http.get(path)).status_code == 404
    assert len(engine.seen) == 16


async def test_an_engine_that_is_away_is_waited_for(http, eval_id, engine, work):
    failures = 20

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        nonlocal failures
        failures -= 1
        if failures > 0:
            return web.json_response({"error": {"message": "busy", "code": 503}}, status=503)
        return says(request, body, "A1")

    engine.reply = reply
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(20)))
    async with work("cpu"):
        run = await ended(http, run)
    assert run["status"] == "completed"
    assert run["result_counts"]["errored"] == 0


async def test_an_engine_that_stays_away_fails_its_items(http, eval_id, engine, work, settings):
    settings.eval_engine_patience_s = 0.5

    async def reply(*_: Any) -> web.Response:
        return web.json_response({"error": {"message": "busy", "code": 503}}, status=503)

    engine.reply = reply
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(3)))
    async with work("cpu"):
        run = await ended(http, run)
    assert (run["status"], run["result_counts"]["errored"]) == ("completed", 3)
    found = await output_items(http, run, status="error")
    assert {shown["sample"]["error"]["code"] for shown in found} == {"engine_unavailable"}


@pytest.mark.parametrize(
    ("status", "error", "code", "requests"),
    [
        (400, {"message": "This model's maximum context length is 9 tokens.", "code": 400},
         "invalid_value", 1),
        (500, {"message": "boom", "code": 500}, "engine_error", 3),
        (500, {"message": "x", "code": "model_not_loadable"}, "model_not_loadable", 1),
    ],
)  # fmt: skip
async def test_what_the_engine_refuses_is_an_error_of_the_item(
    http, eval_id, engine, work, status, error, code, requests
):
    async def reply(*_: Any) -> web.Response:
        return web.json_response({"error": error}, status=status)

    engine.reply = reply
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(1)))
    async with work("cpu"):
        run = await ended(http, run)
    (item,) = await output_items(http, run)
    assert (item["status"], item["sample"]["error"]["code"]) == ("error", code)
    assert len(engine.seen) == requests


async def test_a_model_deleted_on_the_way_fails_the_run_and_keeps_its_items(
    http, eval_id, engine, work, api: Api
):
    tuned = f"ft:{BASE_MODEL}:acme:voice:abc123def456"
    await registered(api, tuned)

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        if len(engine.seen) == 20:
            assert (await http.delete(f"/v1/models/{tuned}")).status_code == 200
        return says(request, body, "A1")

    engine.reply = reply
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(200), model=tuned))
    async with work("cpu"):
        run = await ended(http, run)
    strictly(RunRetrieveResponse, run)
    assert (run["status"], run["error"]["code"]) == ("failed", "model_not_found")
    assert tuned in run["error"]["message"]
    total = run["result_counts"]["total"]
    assert 0 < total < 200
    assert len(await output_items(http, run)) == total


async def test_a_file_deleted_before_the_run_fails_it(http, eval_id, work):
    file = (await upload(http, b'{"item": {"question": "?"}}', "evals")).json()["id"]
    source = {"type": "file_id", "id": file}
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled([], source=source))
    assert (await http.delete(f"/v1/files/{file}")).status_code == 200
    async with work("cpu"):
        run = await ended(http, run)
    assert (run["status"], run["error"]["code"]) == ("failed", "file_not_found")
    assert file in run["error"]["message"]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b'{"item": {"question": "S3CRET"}}\n\n{"item": {"question": 5}}', "invalid_item",
         "Line 3: 'item/question' is not of the type string."),
        (b'{"item": {"question": "S3CRET"}}\n{"S3CRET', "invalid_file", "Line 2"),
    ],
)  # fmt: skip
async def test_a_bad_line_of_a_file_fails_the_run(http, eval_id, work, caplog, data, code, words):
    file = (await upload(http, data, "evals")).json()["id"]
    source = {"type": "file_id", "id": file}
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled([], source=source))
    async with work("cpu"):
        run = await ended(http, run)
    assert (run["status"], run["error"]["code"]) == ("failed", code)
    assert words in run["error"]["message"]
    assert "S3CRET" not in run["error"]["message"] + caplog.text


async def test_a_judge_of_the_project_grades_and_is_counted(http, engine, work):
    grader = {
        "type": "label_model",
        "name": "kind",
        "model": BASE_MODEL,
        "input": [{"role": "user", "content": "Judge {{sample.output_text}}"}],
        "labels": ["good", "bad"],
        "passing_labels": ["good"],
    }

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        is_judged = "Judge" in str(body["messages"])
        return says(request, body, '{"result": "good"}' if is_judged else "A1")

    engine.reply = reply
    made_eval = await made(http, "/v1/evals", {**EVAL, "testing_criteria": [grader]})
    run = await made(http, f"/v1/evals/{made_eval['id']}/runs", sampled(items(4)))
    async with work("cpu"):
        run = await ended(http, run)
    assert run["result_counts"]["passed"] == 4
    (usage,) = run["per_model_usage"]
    assert (usage["invocation_count"], usage["prompt_tokens"]) == (8, 80)
    assert {body["priority"] for _, body in engine.seen} == {PRIORITY}


async def test_a_model_of_the_project_embeds_and_is_counted(http, engine, work):
    grader = {
        "type": "text_similarity",
        "name": "close",
        "evaluation_metric": "cosine",
        "model": BASE_MODEL,
        "input": "{{sample.output_text}}",
        "reference": "nine",
    }

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        if request.path != "/v1/embeddings":
            return says(request, body, "A1")
        assert body["input"] == ["A1", "nine"]
        data = [{"index": 0, "embedding": [1, 0]}, {"index": 1, "embedding": [3, 4]}]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return web.json_response({"model": body["model"], "data": data, "usage": usage})

    engine.reply = reply
    made_eval = await made(http, "/v1/evals", {**EVAL, "testing_criteria": [grader]})
    run = await made(http, f"/v1/evals/{made_eval['id']}/runs", sampled(items(4)))
    async with work("cpu"):
        run = await ended(http, run)
    (criterion,) = run["per_testing_criteria_results"]
    assert (criterion["passed"], criterion["mean_score"]) == (4, pytest.approx(0.6))
    (usage,) = run["per_model_usage"]
    assert (usage["invocation_count"], usage["prompt_tokens"]) == (8, 60)


async def test_a_worker_that_shuts_down_hands_the_run_back(http, eval_id, engine, work):
    held = asyncio.Event()

    async def reply(request: web.Request, body: dict[str, Any]) -> web.Response:
        if len(engine.seen) > 20:
            await held.wait()
        return says(request, body, "A1")

    engine.reply = reply
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(items(40)))
    async with work("cpu"):
        await until(http, run, lambda run: run["result_counts"]["total"] >= 4)
        async with asyncio.timeout(DONE_S):
            while engine.in_flight < 16:
                await asyncio.sleep(0.01)
    stopped = await until(http, run, lambda run: True)
    assert stopped["status"] == "in_progress"
    done = {item["id"]: item for item in await output_items(http, run)}
    asked = len(engine.seen)
    held.set()
    async with work("cpu"):
        run = await ended(http, run)
    assert run["result_counts"]["total"] == 40
    found = {item["id"]: item for item in await output_items(http, run)}
    assert len(found) == 40
    assert {id_: found[id_] for id_ in done} == done
    assert len(engine.seen) == asked + 40 - len(done)  # what was done is not asked again


@pytest.mark.parametrize(
    ("kind", "words"), [("storage_bytes", "storage quota"), ("record_bytes", "in Redis")]
)
async def test_a_run_beyond_a_quota_fails_and_keeps_its_outcomes(
    http, eval_id, engine: Engine, work, api, kind, words
):
    path = f"/v1/evals/{eval_id}/runs"
    run = await made(http, path, sampled(items(400)))
    await leave_room(api, 30_000, kind=kind)
    async with work("cpu"):
        run = await ended(http, run)
    assert (run["status"], run["error"]["code"]) == ("failed", "quota_exceeded")
    assert words in run["error"]["message"]
    total = run["result_counts"]["total"]
    answer = await http.get(f"{path}/{run['id']}/output_items", params={"limit": 100})
    assert 0 < total < 400
    assert len(answer.json()["data"]) == min(total, 100)

    await leave_room(api, 100, kind=kind)
    refused = await http.post(path, json=sampled(items(400)))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "quota_exceeded")


async def test_calls_of_tools_are_items_of_the_input_of_a_response(http, engine: Engine, work):
    function = {"name": "hours", "arguments": "{}"}
    messages = [
        {"role": "user", "content": "When do you open?"},
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "nine"},
        {"role": "user", "content": "On which days 7"},
    ]  # fmt: skip
    schema = {"type": "object", "properties": {"messages": {"type": "array"}}}
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    grader = {**EXACT, "reference": "A7"}
    body = {"data_source_config": config, "testing_criteria": [grader]}
    eval_id = (await made(http, "/v1/evals", body))["id"]
    asked = {"type": "item_reference", "item_reference": "item.messages"}
    source = sampled([{"item": {"messages": messages}}], type="responses", input_messages=asked)
    run = await made(http, f"/v1/evals/{eval_id}/runs", source)
    async with work("cpu"):
        run = await ended(http, run)
    assert run["result_counts"]["passed"] == 1
    assert engine.seen[0][1]["input"] == [
        messages[0],
        {"type": "function_call", "call_id": "call_1", **function},
        {"type": "function_call_output", "call_id": "call_1", "output": "nine"},
        messages[3],
    ]
