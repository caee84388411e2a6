"""Generations from the upload of documents to the file of rows, with a scripted model."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from service.core import clock
from service.inference.background.calls import BATCH_PRIORITY
from service.models.records import ModelRecord
from tests.conftest import BASE_MODEL, Api
from tests.datasets.office_documents import pdf
from tests.evals.conftest import Engine
from tests.generation.conftest import (
    DONE_S,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    Model,
    created,
    document,
    ended,
    handbook,
    pair,
    refused,
    rows_of,
    until,
)

pytestmark = pytest.mark.slow


async def test_rows_of_all_kinds_become_a_training_file(
    http: httpx.AsyncClient, model: Model, engine: Engine, work, api: Api
):
    texts = [handbook(1, 2, 3, 4), handbook(5, 6, 7, 8)]
    documents = [await document(http, text) for text in texts]
    made = await created(
        http,
        *documents,
        kinds=["questions", "rewrites", "refusals"],
        n=18,
        seed=7,
        metadata={"team": "support"},
    )
    assert (made["object"], made["status"]) == ("dataset.generation", "queued")
    assert made["id"].startswith("dsgen_")
    assert (made["document_ids"], made["metadata"]) == (documents, {"team": "support"})
    async with work("cpu"):
        made = await ended(http, made)
        file = await _checked(http, made["result"]["output_file_id"])
        project = (await api.app.state.projects.by_name("acme")).id
        async with asyncio.timeout(DONE_S):
            while await api.app.state.storage.keys(f"{project}/generations"):
                await asyncio.sleep(0.05)
    assert (made["status"], made["error"]) == ("completed", None)
    assert made["result"]["incomplete_details"] is None
    assert made["progress"] == {"completed": 18, "total": 18, "step": None}
    assert made["counts"] == {"passages": 8, "asked": 8, "kept": 18, "dropped": {}}
    requests = len(model.asked)
    assert made["usage"] == {
        "input_tokens": requests * INPUT_TOKENS,
        "output_tokens": requests * OUTPUT_TOKENS,
        "total_tokens": requests * (INPUT_TOKENS + OUTPUT_TOKENS),
    }
    assert {body["priority"] for _, body in engine.seen} == {BATCH_PRIORITY}
    await _is_metered(http, requests)
    assert (file["purpose"], file["status"], file["rows"]) == ("fine-tune", "processed", 18)
    assert (file["generation"], file["documents"]) == (made["id"], documents)
    assert (file["warnings"], file["derived_from"]) == (0, None)
    rows = await rows_of(http, made)
    kinds = [row["generated"]["kind"] for row in rows]
    assert [kinds.count(kind) for kind in ("questions", "rewrites", "refusals")] == [8, 8, 2]
    for row in rows:
        source = row["generated"]
        text = texts[documents.index(source["file_id"])]
        assert text[source["start"] : source["end"]] == source["passage"]
        assert source["model"] == BASE_MODEL
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        answered = source["kind"] != "refusals"
        assert source["check"]["verdict"] == ("supported" if answered else "not_answered")
        if answered:
            assert row["messages"][1]["content"] == pair(source["passage"])["answer"]


async def _checked(http: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    async with asyncio.timeout(DONE_S):
        while True:
            file = (await http.get(f"/v1/files/{file_id}")).json()
            if file["status"] != "uploaded":
                return dict(file)
            await asyncio.sleep(0.05)


async def _is_metered(http: httpx.AsyncClient, requests: int) -> None:
    usage = "/v1/organization/usage/completions"
    query: dict[str, Any] = {"start_time": clock.now_s() - 3600, "bucket_width": "1d"}
    async with asyncio.timeout(DONE_S):
        while True:
            answer = await http.get(usage, params=query)
            found = [r for bucket in answer.json()["data"] for r in bucket["results"]]
            if sum(r["num_model_requests"] for r in found) >= requests:
                break
            await asyncio.sleep(0.05)
    assert sum(r["input_tokens"] for r in found) == requests * INPUT_TOKENS


async def test_rows_that_fail_a_check_are_counted_by_reason(http, model: Model, work):
    same = {"question": "Whom do I ask for a key?", "answer": "Ask the porter for a key."}

    def rows(prompt: str) -> Any:
        good = pair(prompt)
        room = good["question"].split()[-2]
        return {
            "1": "no JSON",
            "2": {"rows": [good], "more": 1},
            "3": {"rows": [{**good, "answer": " "}]},
            "4": {"rows": [{**good, "answer": good["question"]}]},
            "5": {"rows": [{**good, "answer": "It opens at 23 o'clock on Monday."}]},
            "7": {"rows": [{**good, "question": "Wann öffnet sich die Tür des Zimmers im Haus?"}]},
            "8": {"rows": [good, {**good, "question": good["question"].upper()}]},
            "9": {"rows": [same]},
            "10": {"rows": [same]},
        }.get(room, {"rows": [good]})

    def verdict(prompt: str) -> Any:
        return {"verdict": "no" if "room 6 " in prompt.rsplit("Question:", 1)[-1] else "yes"}

    model.rows, model.verdict = rows, verdict
    file = await document(http, handbook(*range(1, 11)))
    made = await created(http, file, n=100, language="en")
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["language"]) == ("completed", "en")
    assert made["result"]["incomplete_details"] == {"reason": "no_more_passages"}
    counts = made["counts"]
    assert (counts["passages"], counts["asked"]) == (10, 10)
    assert counts["dropped"] == {
        "malformed": 3,
        "echo": 1,
        "unsupported_fact": 1,
        "unsupported": 1,
        "wrong_language": 1,
        "duplicate": 2,
    }
    assert counts["kept"] == len(await rows_of(http, made)) == 2
    asked = {prompt for name, prompt in model.asked if name == "rows"}
    assert all("5 different questions" in prompt for prompt in asked)
    assert all("Write in English." in prompt for prompt in asked)


async def test_refusals_that_the_documents_answer_and_failures_are_dropped(
    http, model: Model, engine: Engine, work
):
    def verdict(prompt: str) -> Any:
        return {"verdict": "yes" if "Question: Who paints the walls of room 2?" in prompt else "no"}

    reply, refusals = engine.reply, 0
    assert reply is not None
    from aiohttp import web

    async def refusing(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        nonlocal refusals
        if "room 3 opens" in body["messages"][-1]["content"] and not refusals:
            refusals += 1
            return web.json_response({"error": {"message": "too long", "code": 400}}, status=400)
        return await reply(request, body)

    engine.reply, model.verdict = refusing, verdict
    made = await created(http, await document(http, handbook(1, 2, 3)), kinds=["refusals"], n=3)
    async with work("cpu"):
        made = await ended(http, made)
    assert made["counts"]["dropped"] == {"answered": 1, "engine_error": 1}
    (row,) = await rows_of(http, made)
    assert row["generated"]["kind"] == "refusals"


async def test_no_request_begins_after_the_budget_is_used(http, model: Model, work):
    each = INPUT_TOKENS + OUTPUT_TOKENS
    file = await document(http, handbook(*range(1, 21)))
    made = await created(http, file, n=10, max_tokens_total=6 * each)
    async with work("cpu"):
        made = await ended(http, made)
    assert made["status"] == "completed"
    assert made["result"]["incomplete_details"] == {"reason": "max_tokens_total"}
    # Requests that were in progress when the last of the tokens was used are completed.
    assert 6 * each <= made["usage"]["total_tokens"] == len(model.asked) * each < 10 * each
    assert 0 < made["counts"]["kept"] == len(await rows_of(http, made)) < 10


async def test_a_model_deleted_on_the_way_fails_and_keeps_the_rows(
    http, model: Model, work, api: Api
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

    async def wait(_: str) -> None:
        asked = len(model.asked)
        if asked == 16:
            assert (await http.delete(f"/v1/models/{tuned}")).status_code == 200
            deleted.set()
        elif asked > 16:
            await deleted.wait()

    model.wait = wait
    made = await created(http, await document(http, handbook(*range(1, 31))), n=15, model=tuned)
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["error"]["code"]) == ("failed", "model_not_found")
    assert 0 < made["counts"]["kept"] == len(await rows_of(http, made)) < 15


async def test_a_cancelled_generation_keeps_its_rows(http, model: Model, engine: Engine, work):
    async def wait(name: str) -> None:
        if name == "rows" and len(model.rooms("rows")) > 4:
            await asyncio.Event().wait()

    model.wait = wait
    made = await created(http, await document(http, handbook(*range(1, 21))), n=20)
    path = f"/v1/dataset_generations/{made['id']}"
    async with work("cpu"):
        await until(http, made, lambda one: one["counts"]["kept"] == 4)
        assert (await http.delete(path)).status_code == 409
        assert (await http.post(f"{path}/cancel")).json()["status"] == "cancelling"
        made = await ended(http, made)
        async with asyncio.timeout(DONE_S):
            while engine.in_flight:
                await asyncio.sleep(0.05)
    assert (made["status"], len(await rows_of(http, made))) == ("cancelled", 4)
    again = await http.post(f"{path}/cancel")
    assert (again.status_code, again.json()) == (200, made)
    assert (await http.delete(path)).json() == {
        "id": made["id"],
        "object": "dataset.generation.deleted",
        "deleted": True,
    }
    assert (await http.get(path)).status_code == 404
    assert len(await rows_of(http, made)) == 4  # the file is kept


async def test_a_generation_that_waits_is_cancelled_without_a_file(http, model: Model, work):
    made = await created(http, await document(http, handbook(1)))
    await http.post(f"/v1/dataset_generations/{made['id']}/cancel")
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["result"]["output_file_id"], model.asked) == (
        "cancelled",
        None,
        [],
    )


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, "file_not_found", "was deleted"),
        (b"All text \x81\x8d\x8f\x90\x9d " * 100, "unsupported_document", "('rules.md') has no"),
        (b"Too short.", "empty_documents", "no text"),
        (pdf("", ""), "unsupported_document", "text recognition"),
        (b"%PDF-1.7 nonsense", "unsupported_document", "is damaged"),
    ],
)  # fmt: skip
async def test_a_document_that_cannot_be_read_fails_the_generation(
    http, model: Model, work, content, code, said
):
    file = await document(http, handbook(1) if content is None else content)
    made = await created(http, file)
    if content is None:
        deleted = (await http.delete(f"/v1/files/{file}")).json()
        assert deleted["unfinished_jobs"] == [made["id"]]
    async with work("cpu"):
        made = await ended(http, made)
    assert (made["status"], made["error"]["code"]) == ("failed", code)
    assert said in made["error"]["message"]
    assert (made["error"]["param"], made["result"]["output_file_id"]) == ("document_ids", None)


async def test_lists_and_refusals(http: httpx.AsyncClient, api: Api):
    file = await document(http, handbook(1))
    for content, name, said in (
        (b"{\\rtf1 Hi}", "handbook.rtf", "('handbook.rtf') is a rich text"),
        (b"\x00\x01\x02\x03", "a.bin", "a binary file"),
    ):
        status, error = await refused(http, file, await document(http, content, name))
        assert (status, error["code"]) == (400, "unsupported_document")
        assert (error["param"], said in error["message"]) == ("document_ids", True)
        assert "Markdown" in error["message"]
    large = await document(http, b"a" * (20 * 1024 * 1024), "large.txt")
    assert (await refused(http, large, file))[1]["code"] == "input_too_large"
    assert (await refused(http, "file-unknown"))[0] == 404
    assert (await refused(http, file, model="gpt-5"))[1]["code"] == "model_not_found"
    wrong: list[dict[str, Any]] = [
        *({"n": 0}, {"n": 2001}, {"kinds": []}, {"kinds": ["poems"]}),
        *({"more": 1}, {"language": "?"}),
    ]
    for fields in wrong:
        assert (await refused(http, file, **fields))[0] == 400
    key = {"idempotency-key": "once"}
    body = {"document_ids": [file, file], "model": BASE_MODEL}
    twice = [await http.post("/v1/dataset_generations", json=body, headers=key) for _ in range(2)]
    assert twice[0].json() == twice[1].json()
    assert twice[0].json()["document_ids"] == [file]
    made = [twice[0].json()["id"], *[(await created(http, file))["id"] for _ in range(3)]]
    first = (await http.get("/v1/dataset_generations", params={"limit": 3})).json()
    assert [one["id"] for one in first["data"]] == made[:0:-1]
    after = {"after": first["last_id"]}
    rest = (await http.get("/v1/dataset_generations", params=after)).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (made[:1], False)
    assert (await http.get("/v1/dataset_generations/dsgen_none")).status_code == 404
    api.app.state.settings = api.settings.model_copy(
        update={"max_unfinished_generations_per_project": 4}
    )
    status, error = await refused(http, file)
    assert (status, error["code"]) == (429, "limit_reached")
