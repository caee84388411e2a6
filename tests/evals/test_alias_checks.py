"""Suites of aliases: checks before a move, overrides, schedules, and what gets in between."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from service.core import clock, outbox
from service.evals.alias_checks.advance import CheckRunner
from service.evals.alias_checks.records import MAX_UNFINISHED
from service.models.aliases.suites import SCHEDULES, ScheduleInvalid, next_time
from service.projects.records import Role
from tests.audit.test_operator import entries as written
from tests.conftest import BASE_MODEL, Api
from tests.evals.conftest import DONE_S, ended, made, refused, sampled, says
from tests.evidence.test_evidence import members, parts
from tests.models.aliases.conftest import register
from tests.models.test_approvals import require

ALIAS = "/v1/aliases/voice"
ITEMS = [{"item": {"question": str(n), "answer": f"A{n}"}} for n in range(30)]


async def new_model(api: Api, suffix: str) -> str:
    return await register(api, name=f"ft:{BASE_MODEL}:acme:{suffix}:{secrets.token_hex(6)}")


async def answer_by_model(request: web.Request, body: dict[str, Any]) -> web.Response:
    """A model with "bad" in its name answers a third of the questions wrong."""
    number = body["messages"][-1]["content"].split()[-1]
    is_wrong = ":bad:" in body["model"] and int(number) % 3 == 0
    if ":broken:" in body["model"] and number == "7":
        return web.json_response({"error": {"message": "no", "type": "x"}}, status=400)
    return says(request, body, "?" if is_wrong else f"A{number}")


@pytest.fixture
async def suite(http, eval_id, engine, work) -> dict[str, Any]:
    """A suite that forbids a loss of a fifth, of the alias "voice" of the base model."""
    engine.reply = answer_by_model
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(ITEMS))
    async with work("cpu"):
        await ended(http, run)
    suite = {"eval_id": eval_id, "run_id": run["id"], "min_difference": -0.2, "min_score": 0.8}
    answer = await http.put(ALIAS, json={"model": BASE_MODEL, "suites": [suite]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["suites"] == [{**suite, "metric": "passed"}]
    return suite


async def check(http, model: str | None = None, **more: Any) -> dict[str, Any]:
    given = {} if model is None else {"model": model}
    return await made(http, "/v1/alias_checks", {"alias": "voice", **given, **more})


async def finished(http, one: dict[str, Any]) -> dict[str, Any]:
    async with asyncio.timeout(DONE_S):
        while (found := await http.get(f"/v1/alias_checks/{one['id']}?wait=5")).json()[
            "finished_at"
        ] is None:
            pass
    return found.json()


async def targets(http) -> list[str]:
    return [one["model"] for one in (await http.get(ALIAS)).json()["targets"]]


async def events(api: Api) -> dict[str, int]:
    found = await api.app.state.redis.hgetall(outbox.PROCESSED)
    return {key.decode(): int(count) for key, count in found.items() if b"alias" in key}


@pytest.mark.slow
async def test_an_alias_moves_only_to_models_that_pass_its_suites(http, api, suite, work):
    good, bad = await new_model(api, "good"), await new_model(api, "bad")
    answer = await http.put(ALIAS, json={"model": good})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "gate_failed")
    assert "POST /v1/alias_checks" in answer.json()["error"]["message"]

    async with work("cpu"):
        of_good = await finished(http, await check(http, good, move=True))
        of_bad = await finished(http, await check(http, bad, move=True))
        async with asyncio.timeout(DONE_S):
            while "alias.worsened" not in await events(api):
                await asyncio.sleep(0.05)
    assert of_good["result"] == {"passed": True, "moved": True}
    assert (of_bad["status"], of_bad["result"]) == ("completed", {"passed": False, "moved": False})
    assert await targets(http) == [good]
    run = of_bad["runs"][0]
    assert (run["model"], run["passed"]) == (bad, False)
    assert run["difference_low"] < -0.2
    compared = await http.get(
        f"/v1/evals/{suite['eval_id']}/compare?runs={suite['run_id']},{run['run_id']}"
    )
    passed = compared.json()["runs"][1]["differences"][0]
    assert [passed[limit] for limit in ("low", "mean", "high")] == [
        run[f"difference_{limit}"] for limit in ("low", "mean", "high")
    ]
    assert await events(api) == {"alias.check.completed": 2, "alias.worsened": 1}

    refusal = await http.put(ALIAS, json={"model": bad})
    message = refusal.json()["error"]["message"]
    assert f"{bad} does not meet the suites:" in message
    assert "difference_low is -0." in message
    unexplained = await http.put(ALIAS, json={"model": bad, "force": True})
    assert (unexplained.status_code, unexplained.json()["error"]["param"]) == (400, "reason")
    both = await http.put(ALIAS, json={"model": bad, "suites": []})  # removes no suite on its way
    assert both.status_code == 409
    assert await targets(http) == [good]
    body = {"model": bad, "force": True, "reason": "The shop opens today."}
    assert (await http.put(ALIAS, json=body)).status_code == 200
    newest = (await http.get(f"{ALIAS}/history")).json()["data"][0]
    assert (newest["reason"], newest["forced"]) == ("The shop opens today.", True)
    assert {one["gate"] for one in newest["failed_conditions"]} == {"suite"}
    # A model that is behind the alias may stay, whatever its share.
    split = [{"model": bad, "weight": 50}, {"model": good, "weight": 50}]
    assert (await http.put(ALIAS, json={"targets": split})).status_code == 200
    logged = await recorded(api)
    assert ("alias.updated", "The shop opens today.") in [(e["type"], e["reason"]) for e in logged]
    moved = next(e for e in logged if of_good["id"] in e["objects"] and e["type"].endswith("dated"))
    assert moved["actor"]["session"]["user"]["id"] == "finetuned"
    assert "voice" in moved["objects"]
    async with await api.client(role=Role.PROJECT_ADMIN) as manager:
        archive = await manager.get(f"/v1/models/{bad}/evidence")
    have = parts(archive.content)
    assert [one["id"] for one in have["evaluation"]["suites"]] == [of_bad["id"]]
    entries = [json.loads(line) for line in have["audit"]["not_sealed_yet"]]
    assert [one["counts"]["passed"] for one in entries if of_bad["id"] in one["objects"]
            and one["type"] == "alias.check.ended"] == [0]  # fmt: skip
    page = members(archive.content)["index.html"].decode()
    assert "not passed" in page
    assert "The shop opens today." in page


async def recorded(api: Api) -> list[dict[str, Any]]:
    async with await api.client(role=Role.ADMIN) as admin:
        answer = await admin.get("/v1/organization/audit_logs?limit=100")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@pytest.mark.slow
async def test_the_first_model_is_checked_too(http, api, suite):
    """That of a suite's own run needs no check: it is measured, and does not differ from itself."""
    model = await new_model(api, "good")
    new = "/v1/aliases/new"
    body = {"model": model, "suites": [suite]}
    answer = await http.put(new, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "gate_failed")
    both = await http.put(ALIAS, json={**body, "suites": [suite, {**suite, "min_score": 0.1}]})
    assert both.json()["error"]["code"] == "gate_failed"
    unexplained = await http.put(new, json={**body, "force": True})
    assert (unexplained.status_code, unexplained.json()["error"]["param"]) == (400, "reason")
    forced = await http.put(new, json={**body, "force": True, "reason": "There is no other."})
    assert forced.status_code == 200, forced.text
    first = (await http.get(f"{new}/history")).json()["data"][0]
    assert (first["reason"], first["suites"][0]["run_id"]) == (
        "There is no other.",
        suite["run_id"],
    )
    assert [one["key"].rpartition(".")[2] for one in first["failed_conditions"]] == [
        "difference_low",
        "score_low",
    ]
    too_high = {**suite, "min_difference": 0.1}
    answer = await http.put("/v1/aliases/own", json={"model": BASE_MODEL, "suites": [too_high]})
    assert "difference_low is 0" in answer.json()["error"]["message"]
    answer = await http.put("/v1/aliases/own", json={"model": BASE_MODEL, "suites": [suite]})
    assert answer.status_code == 200


@pytest.mark.slow
async def test_suites_are_removed_and_loosened_with_a_reason_only(http, api, suite):
    """Also on the way to another model, and by deleting the alias."""
    model = await new_model(api, "good")
    tighter = {**suite, "min_score": 0.9}
    looser: list[list[dict[str, Any]]] = [
        [],
        [{**suite, "min_difference": -0.3}],
        [{key: value for key, value in suite.items() if key != "min_score"}],
        [{**tighter, "min_difference": -0.9}],
    ]
    for suites in looser:
        answer = await http.put(ALIAS, json={"model": BASE_MODEL, "suites": suites})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "reason"), suites
        forced = {"model": BASE_MODEL, "suites": suites, "force": True}
        assert (await http.put(ALIAS, json=forced)).status_code == 400
    assert (await http.delete(ALIAS)).status_code == 409
    for suites in ([tighter], [tighter, suite]):
        answer = await http.put(ALIAS, json={"model": BASE_MODEL, "suites": suites})
        assert answer.status_code == 200, answer.text
    answer = await http.put(ALIAS, json={"model": BASE_MODEL, "suites": [suite]})
    assert answer.status_code == 400
    reason = "The eval asks for the old hours."
    both = {"model": model, "suites": [], "reason": reason}
    assert (await http.put(ALIAS, json=both)).status_code == 409  # the model was not checked
    removed = await http.put(ALIAS, json={"model": BASE_MODEL, "suites": [], "reason": reason})
    assert removed.json()["suites"] == []
    newest = (await http.get(f"{ALIAS}/history")).json()["data"][0]
    assert (newest["loosened"], newest["reason"], newest["forced"]) == (True, reason, False)
    logged = await recorded(api)
    assert ("alias.updated", reason) in [(entry["type"], entry["reason"]) for entry in logged]
    assert (await http.put(ALIAS, json={"model": model})).status_code == 200
    assert (await http.delete(ALIAS)).status_code == 200


@pytest.mark.slow
async def test_of_two_moves_at_once_one_is_made(http, api, suite, work):
    models = [await new_model(api, "good") for _ in range(2)]
    checks = [await check(http, model, move=True) for model in models]
    async with work("cpu"):
        ends = [await finished(http, one) for one in checks]
    assert sorted(end["status"] for end in ends) == ["completed", "failed"]
    failed = next(end for end in ends if end["status"] == "failed")
    assert failed["error"]["code"] == "alias_changed"
    winner = next(end for end in ends if end["status"] == "completed")
    assert await targets(http) == [winner["runs"][0]["model"]]
    # The loser passed its suites, so that the next request may move the alias to it.
    loser = failed["runs"][0]["model"]
    assert (await http.put(ALIAS, json={"model": loser})).status_code == 200


@pytest.mark.slow
async def test_items_without_an_answer_do_not_pass(http, api, suite, work):
    broken = await new_model(api, "broken")
    async with work("cpu"):
        end = await finished(http, await check(http, broken, move=True))
    assert (end["result"]["passed"], end["runs"][0]["difference_low"]) == (False, None)
    assert await targets(http) == [BASE_MODEL]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["eval", "baseline", "model", "alias"])
async def test_what_was_deleted_fails_the_check(http, api, suite, work, what):
    model = await new_model(api, "good")
    one = await check(http, model, move=True)
    path = f"/v1/evals/{suite['eval_id']}"
    paths = {"eval": path, "baseline": f"{path}/runs/{suite['run_id']}", "alias": ALIAS}
    if what == "alias":
        body = {"model": BASE_MODEL, "suites": [], "reason": "It is deleted."}
        assert (await http.put(ALIAS, json=body)).status_code == 200
    answer = await http.delete(paths.get(what, f"/v1/models/{model}"))
    assert answer.status_code == 200, answer.text
    async with work("cpu"):
        end = await finished(http, one)
    codes = {"model": "suite_run_failed", "alias": "alias_not_found"}
    assert end["status"] == "failed"
    assert end["error"]["code"] == codes.get(what, "suite_not_found")
    if what != "alias":
        assert await targets(http) == [BASE_MODEL]


@pytest.mark.slow
async def test_a_check_does_not_move_to_a_model_without_an_approval(http, api, suite, work):
    model = await new_model(api, "good")
    assert (await require(api)).status_code == 200
    async with work("cpu"):
        end = await finished(http, await check(http, model, move=True))
    assert (end["status"], end["error"]["code"]) == ("failed", "approval_required")
    assert await targets(http) == [BASE_MODEL]
    async with await api.client() as second:
        assert (await second.post(f"/v1/models/{model}/approvals", json={})).status_code == 200
    assert (await http.put(ALIAS, json={"model": model})).status_code == 200  # it was checked


@pytest.mark.slow
async def test_a_canceled_check_cancels_its_runs(http, api, suite, engine, work):
    engine.go.clear()
    one = await check(http, await new_model(api, "good"), move=True)
    runs = f"/v1/evals/{suite['eval_id']}/runs"
    async with work("cpu"):
        async with asyncio.timeout(DONE_S):
            while (await http.get(f"{runs}/{one['runs'][0]['run_id']}")).status_code == 404:
                await asyncio.sleep(0.05)
        await http.post(f"/v1/alias_checks/{one['id']}/cancel")
        run = await ended(http, (await http.get(f"{runs}/{one['runs'][0]['run_id']}")).json())
        engine.go.set()
    assert run["status"] == "canceled"
    assert (await finished(http, one))["status"] == "cancelled"
    assert await targets(http) == [BASE_MODEL]


def runner(api: Api) -> CheckRunner:
    state = api.app.state
    return CheckRunner(state.evals, state.aliases, state.storage, api.settings)


@pytest.mark.slow
async def test_a_schedule_checks_the_alias_once_each_time(http, api, suite, work):
    bad = await new_model(api, "bad")
    body = {"model": bad, "schedule": "0 3 * * *", "force": True, "reason": "Try it."}
    answer = await http.put(ALIAS, json=body)
    assert answer.json()["schedule"] == "0 3 * * *"
    redis = api.app.state.redis
    [(member, due_s)] = await redis.zrange(SCHEDULES, 0, -1, withscores=True)
    assert due_s == next_time("0 3 * * *", clock.now_s()) == answer.json()["next_check_at"]
    for _ in range(2):  # a second time while the first check is unfinished
        await redis.zadd(SCHEDULES, {member: 1})
        await runner(api).continue_all(lambda _: nullcontext())
        await runner(api).continue_all(lambda _: nullcontext())
        assert await redis.zscore(SCHEDULES, member) == due_s
    found = (await http.get("/v1/alias_checks?alias=voice")).json()["data"]
    assert [(one["scheduled"], one["runs"][0]["model"]) for one in found] == [(True, bad)]
    async with work("cpu"):
        end = await finished(http, found[0])
        async with asyncio.timeout(DONE_S):
            while "alias.worsened" not in await events(api):
                await asyncio.sleep(0.05)
    assert end["result"] == {"passed": False, "moved": False}
    key_id = (await http.get("/v1/whoami")).json()["api_key"]["id"]
    entries = [
        (one.type, one.counts)
        for one in await written(redis)
        if {end["id"], "voice"} <= set(one.objects) and one.actor.kind == "system"
    ]
    assert [kind for kind, _ in entries] == ["alias.check.created", "alias.check.ended"]
    assert entries[1][1] == {"runs": 1, "passed": 0, "moved": 0}
    assert any(key_id in one.objects for one in await written(redis) if one.actor.kind == "system")
    removed = await http.put(ALIAS, json={"model": bad, "schedule": None})
    assert removed.json()["schedule"] is None
    assert await redis.zcard(SCHEDULES) == 0
    body = {"model": bad, "schedule": "* * * * *", "suites": [], "reason": "It is deleted."}
    await http.put(ALIAS, json=body)
    await http.delete(ALIAS)
    assert await redis.zcard(SCHEDULES) == 0


@pytest.mark.slow
async def test_a_process_that_dies_anywhere_loses_and_repeats_nothing(
    http, api, suite, work, monkeypatch
):
    """Each step is done, and then the process dies before the next one."""
    model = await new_model(api, "good")
    one = await check(http, model, move=True)
    path = f"/v1/evals/{suite['eval_id']}/runs"
    for _ in range(3):  # the run is created once
        await runner(api).continue_all(lambda _: nullcontext())
    assert (await http.get(path)).json()["data"][1]["id"] == one["runs"][0]["run_id"]
    assert len((await http.get(path)).json()["data"]) == 2
    stored = api.app.state.alias_checks
    record = await stored.get((await api.app.state.projects.by_name("acme")).id, one["id"])
    with monkeypatch.context() as dying:

        async def dies(*_: Any, **__: Any) -> None:
            raise ConnectionError

        dying.setattr(CheckRunner, "_end", dies)
        async with work("cpu"):
            await ended(http, (await http.get(f"{path}/{record.runs[0].run_id}")).json())
            async with asyncio.timeout(DONE_S):
                while await targets(http) != [model]:
                    await asyncio.sleep(0.05)
    assert (await stored.get(record.project_id, one["id"])).finished_at is None
    await runner(api).continue_all(lambda _: nullcontext())
    end = await finished(http, one)
    assert end["result"] == {"passed": True, "moved": True}
    assert len((await http.get(f"{ALIAS}/history")).json()["data"]) == 2


async def test_refused_suites_and_checks(http, api, eval_id, engine):
    run = await made(http, f"/v1/evals/{eval_id}/runs", sampled(ITEMS[:1]))
    suite = {"eval_id": eval_id, "run_id": run["id"], "min_score": 0.5}

    async def put(**body: Any) -> tuple[int, str]:
        answer = await http.put(ALIAS, json={"model": BASE_MODEL, **body})
        return answer.status_code, answer.json()["error"]["message"]

    assert (await put(suites=[suite]))[0] == 409  # the run has not ended
    assert (await put(suites=[{**suite, "run_id": "evalrun_x"}]))[0] == 404
    assert (await put(suites=[{**suite, "eval_id": "eval_x"}]))[0] == 404
    assert (await put(suites=[{"eval_id": eval_id, "run_id": run["id"]}]))[0] == 400
    for cron in ("* * * *", "61 * * * *", "0 3 31 2 *", "a * * * *", "1-0 * * * *", "*/0 * * * *"):
        assert (await put(schedule=cron))[0] == 400, cron
    await http.put(ALIAS, json={"model": BASE_MODEL})
    assert (await refused(http, "/v1/alias_checks", {"alias": "none"}))[0] == 404
    code, error = await refused(http, "/v1/alias_checks", {"alias": "voice"})
    assert (code, error["param"]) == (400, "alias")
    assert (await refused(http, "/v1/alias_checks", {"alias": "voice", "move": True}))[0] == 400


@pytest.mark.slow
async def test_checks_are_bounded_and_name_models_only(http, api, suite):
    for _ in range(MAX_UNFINISHED):
        await check(http)
    assert (await refused(http, "/v1/alias_checks", {"alias": "voice"}))[0] == 429
    for model in ("voice", "gpt-4o"):
        body = {"alias": "voice", "model": model}
        assert (await refused(http, "/v1/alias_checks", body))[0] == 404


@pytest.mark.slow
async def test_a_suite_of_given_answers_is_refused(http, api, eval_id, work):
    rows = [{"item": {"question": "q"}, "sample": {"output_text": "a"}}]
    source = {"type": "file_content", "content": rows}
    body = {"data_source": {"type": "jsonl", "source": source}}
    run = await made(http, f"/v1/evals/{eval_id}/runs", body)
    async with work("cpu"):
        await ended(http, run)
    suite = {"eval_id": eval_id, "run_id": run["id"], "min_score": 0.5}
    answer = await http.put(ALIAS, json={"model": BASE_MODEL, "suites": [suite]})
    assert answer.status_code == 400
    assert "given" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("* * * * *", "2026-03-01 10:00", "2026-03-01 10:01"),
        ("0 3 * * *", "2026-03-01 03:00", "2026-03-02 03:00"),
        ("*/15 8-17 * * 1-5", "2026-03-06 17:45", "2026-03-09 08:00"),
        ("0 0 29 2 *", "2026-01-01 00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
        ("30 4 1,15 * 5", "2026-03-02 00:00", "2026-03-06 04:30"),  # either field of days
        ("0 12 * * 7", "2026-03-01 12:00", "2026-03-08 12:00"),
        ("0 12 * * sun", "2026-03-01 12:00", "2026-03-08 12:00"),
        ("5/20 23 31 12 *", "2026-12-31 23:45", "2027-12-31 23:05"),
    ],
)
def test_cron_expressions(cron, after, expected):
    def seconds(text: str) -> int:
        return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp())

    assert next_time(cron, seconds(after)) == seconds(expected)


@pytest.mark.parametrize(
    "cron", ["", "0 3 * *", "0 24 * * *", "0 3 0 * *", "-1 * * * *", "0 0 30 2 *"]
)
def test_broken_cron_expressions(cron):
    with pytest.raises(ScheduleInvalid):
        next_time(cron, 0)
