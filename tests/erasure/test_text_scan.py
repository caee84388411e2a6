"""Tests of the scan for a text in all records and objects of a project."""

from __future__ import annotations

import html
import json
from typing import Any

import httpx
import pytest

from service.core import ids
from service.projects.records import Role
from tests.conftest import BASE_MODEL, Api, chat_line, checked, upload
from tests.erasure.test_erasure import EVAL, EVAL_RUN
from tests.erasure.test_rows import erased

pytestmark = pytest.mark.slow
PERSON = "O'Hara & ผู้ป่วย"
OCTETS = {"content-type": "application/octet-stream"}


async def posted(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    """The ID of what a request makes."""
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def made_with_requests(http: httpx.AsyncClient, file_id: str) -> dict[str, str]:
    """Objects whose requests have the text, by what has it."""
    told = {"metadata": {"who": PERSON}}
    whole = {"filename": "f", "purpose": "user_data", "bytes": 99, "mime_type": "text/plain"}
    upload_id = await posted(http, "/v1/uploads", whole)
    part = await http.post(
        f"/v1/uploads/{upload_id}/parts", content=PERSON.encode(), headers=OCTETS
    )
    assert part.status_code == 200
    job = {"model": BASE_MODEL, "training_file": file_id}
    eval_id = await posted(http, "/v1/evals", EVAL)
    data = json.loads(json.dumps(EVAL_RUN))
    data["data_source"]["source"]["content"][0]["item"]["a"] = PERSON
    recognizer = await http.put("/v1/recognizers/customer", json={"terms": [PERSON]})
    assert recognizer.status_code == 200, recognizer.text
    return {
        "upload": upload_id,
        "fine_tuning.job": await posted(http, "/v1/fine_tuning/jobs", job | told),
        "eval.run": await posted(http, f"/v1/evals/{eval_id}/runs", data),
        "eval": await posted(http, "/v1/evals", EVAL | {"name": PERSON}),
        "recognizers": "customer",
    }


async def made_by_tasks(api: Api, project_id: str) -> dict[str, str]:
    """Objects of tasks that wrote the text, as JSON and HTML have it."""
    job, batch, generation = (ids.new(p) for p in (ids.JOB, ids.BATCH, ids.GENERATION))
    run, evaluation = ids.new(ids.EVAL_RUN), ids.new(ids.EVAL)
    line = json.dumps({"answer": f"It is {PERSON}."}).encode()
    page = f"<p>{html.escape(PERSON)}</p>".encode()
    for path, data in {
        f"jobs/{job}/a1/adapter/evaluation/report.html": page,
        f"batches/{batch}/1.output": line,
        f"generations/{generation}/1.jsonl": line,
        f"evals/{evaluation}/{run}/1.jsonl": bytes(4 * 2**20 - 9) + line,  # across two reads
        f"jobs/{ids.new(ids.JOB)}/a1/adapter/adapter_model.safetensors": line,
    }.items():
        await api.app.state.storage.put_bytes(f"{project_id}/{path}", data)
    redis, own = api.app.state.redis, f"finetuned:{project_id}"
    advice, webhook = ids.new(ids.ADVICE), ids.new(ids.WEBHOOK)
    await redis.xadd(f"{own}:events:{advice}", {"event": line})
    await redis.hset(f"{own}:hash:{advice}", "1", line)
    await redis.zadd(f"{own}:webhook-due:{webhook}", {line: 1})
    return {
        "fine_tuning.job": job,
        "batch": batch,
        "dataset.generation": generation,
        "eval.run": run,
        "fine_tuning.advice": advice,
        "webhook_endpoint": webhook,
    }


async def test_a_text_is_found_in_all_that_a_project_has(api: Api, chats, work):
    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):
        file = (await upload(http, chats(12))).json()
        await checked(http, file["id"])
        project_id = (await http.get("/v1/whoami")).json()["project"]["id"]
        of_requests = await made_with_requests(http, file["id"])
        of_tasks = await made_by_tasks(api, project_id)
        named = (await upload(http, b"x", "user_data", name=f"{PERSON}.txt")).json()
        found = await erased(http, "substring", PERSON)

        places = {(one["object"], one["id"]): one for one in found["result"]["places"]}
        assert places.keys() == {*of_requests.items(), *of_tasks.items(), ("file", named["id"])}
        for kind, name in of_tasks.items():
            of_redis = kind in ("fine_tuning.advice", "webhook_endpoint")
            assert places[kind, name]["is_in_records"] == of_redis
            assert places[kind, name]["is_in_storage"] != of_redis
        for kind in ("upload", "eval.run"):
            assert places[kind, of_requests[kind]]["is_in_storage"]
        for kind in ("fine_tuning.job", "eval", "recognizers"):
            assert places[kind, of_requests[kind]]["is_in_records"]
        assert PERSON not in json.dumps(found, ensure_ascii=False)

        async with await api.client("other", Role.PROJECT_ADMIN) as other:
            assert (await erased(other, "substring", PERSON))["result"]["places"] == []


async def test_an_erasure_leaves_the_text_neither_in_names_nor_in_reports(api: Api, work):
    rows = [chat_line(f"Question {i}?", f"Answer {i}.") for i in range(12)]
    data = "\n".join([*rows, chat_line("Who?", f"It is {PERSON}.")]).encode()
    async with await api.client("acme", Role.PROJECT_ADMIN) as http, work("cpu"):
        file = (await upload(http, data, name=f"{PERSON}.jsonl")).json()
        await checked(http, file["id"])
        storage = api.app.state.storage
        project_id = (await http.get("/v1/whoami")).json()["project"]["id"]
        preview = f"{project_id}/files/{file['id']}/tasks/filepreview-a/preview.json"
        await storage.put_bytes(preview, json.dumps({"text": PERSON}).encode())
        found = await erased(http, "substring", PERSON, apply=True)
        [one] = found["result"]["files"]
        assert one["is_erased"]
        new = (await http.get(f"/v1/files/{one['new_file']}")).json()
        assert new["filename"] == f"{file['id']}.erased.jsonl"
        assert found["result"]["places"] == []
        assert PERSON not in json.dumps(found, ensure_ascii=False)
        for key in await storage.keys(""):
            assert PERSON.encode() not in await storage.get_bytes(key)
