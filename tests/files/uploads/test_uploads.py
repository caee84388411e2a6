"""Tests of multipart uploads: the SDK's workflow, resuming, limits, races and leftovers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import subprocess
from typing import Any

import httpx
import openai
import pytest

from service.core import clock, ids
from service.files.records import Purpose
from service.files.uploads.records import MAX_PARTS, UploadRecord, Uploads
from tests.conftest import Api, checked
from tests.files_below import files_below

MIB = 1024 * 1024


@pytest.fixture
async def sdk(api: Api):
    """OpenAI's own client, unmodified."""
    async with openai.AsyncOpenAI(
        base_url=f"{api.base_url}/v1", api_key=await api.key(), max_retries=0
    ) as client:
        yield client


async def create(http: httpx.AsyncClient, size: int, **more) -> dict[str, Any]:
    body = {"filename": "a.jsonl", "purpose": "user_data", "bytes": size, "mime_type": "x/y"}
    answer = await http.post("/v1/uploads", json=body | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(http: httpx.AsyncClient, upload_id: str, data: bytes) -> httpx.Response:
    return await http.post(
        f"/v1/uploads/{upload_id}/parts",
        content=data,
        headers={"content-type": "application/octet-stream"},
    )


async def sent(http: httpx.AsyncClient, upload_id: str, *parts: bytes) -> list[str]:
    return [(await send(http, upload_id, data)).json()["id"] for data in parts]


async def complete(
    http: httpx.AsyncClient, upload_id: str, part_ids: list[str], **more
) -> httpx.Response:
    return await http.post(f"/v1/uploads/{upload_id}/complete", json={"part_ids": part_ids, **more})


async def content(http: httpx.AsyncClient, file_id: str) -> bytes:
    return (await http.get(f"/v1/files/{file_id}/content")).content


def stored(api: Api) -> list[str]:
    """Return all objects in storage including staged files, except the probe's .health."""
    folder = api.settings.data_dir / "storage"
    names = (path.relative_to(folder).as_posix() for path in files_below(folder))
    return [n for n in names if n != ".health"]


@pytest.mark.slow
async def test_sdk_sends_parts_in_parallel_and_orders_them_at_the_end(sdk, http, work, chats):
    data = chats(400)
    cuts = [data[i : i + 1000] for i in range(0, len(data), 1000)]
    upload = await sdk.uploads.create(
        filename="chats.jsonl", purpose="fine-tune", bytes=len(data), mime_type="text/jsonl"
    )
    assert (upload.object, upload.status, upload.file) == ("upload", "pending", None)
    assert upload.expires_at == upload.created_at + 3600
    order = list(range(len(cuts)))
    random.Random(7).shuffle(order)
    parts = await asyncio.gather(
        *(sdk.uploads.parts.create(upload.id, data=cuts[i]) for i in order)
    )
    by_place = dict(zip(order, parts, strict=True))
    done = await sdk.uploads.complete(
        upload.id,
        part_ids=[by_place[i].id for i in range(len(cuts))],
        md5=hashlib.md5(data).hexdigest(),
    )
    assert done.status == "completed"
    assert (done.file.object, done.file.bytes) == ("file", len(data))
    assert done.file.filename == "chats.jsonl"
    assert await content(http, done.file.id) == data
    async with work("cpu"):
        file = await checked(http, done.file.id)
    assert (file["status"], file["rows"]) == ("processed", 400)


async def test_sdk_cancels(sdk, api: Api, http):
    upload = await sdk.uploads.create(
        filename="a", purpose="user_data", bytes=10, mime_type="text/plain"
    )
    part = await sdk.uploads.parts.create(upload.id, data=b"12345")
    assert len(stored(api)) == 1
    assert (await sdk.uploads.cancel(upload.id)).status == "cancelled"
    assert stored(api) == []
    assert (await sdk.uploads.cancel(upload.id)).status == "cancelled"
    for answer in (
        await send(http, upload.id, b"67890"),
        await complete(http, upload.id, [part.id]),
    ):
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "invalid_state"
        assert answer.headers["x-should-retry"] == "false"
    assert stored(api) == []


async def test_an_interrupted_client_lists_the_parts_and_sends_the_rest(http):
    pieces = [b"one", b"two", b"three"]
    upload_id = (await create(http, 11))["id"]
    await sent(http, upload_id, pieces[2], pieces[0])
    # After its crash, the client knows only the id of the upload and its own file.
    assert (await http.get(f"/v1/uploads/{upload_id}")).json()["status"] == "pending"
    listed = (await http.get(f"/v1/uploads/{upload_id}/parts")).json()
    assert [p["bytes"] for p in listed["data"]] == [5, 3]
    assert {p["object"] for p in listed["data"]} == {"upload.part"}
    known = {p["md5"]: p["id"] for p in listed["data"]}
    wanted = [hashlib.md5(piece).hexdigest() for piece in pieces]
    for md5, piece in zip(wanted, pieces, strict=True):
        if md5 not in known:
            known[md5] = (await sent(http, upload_id, piece))[0]
    done = await complete(http, upload_id, [known[md5] for md5 in wanted])
    assert await content(http, done.json()["file"]["id"]) == b"onetwothree"


async def test_a_wrong_md5_leaves_no_file_and_can_be_retried(api: Api, http):
    upload_id = (await create(http, 6))["id"]
    parts = await sent(http, upload_id, b"abc", b"def")
    md5 = hashlib.md5(b"abcdef").hexdigest()
    wrong = await complete(http, upload_id, parts[::-1], md5=md5)
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "md5"
    assert len(stored(api)) == 2  # the parts
    assert (await http.get("/v1/files")).json()["data"] == []
    assert (await http.get(f"/v1/uploads/{upload_id}")).json()["status"] == "pending"
    right = await complete(http, upload_id, parts, md5=md5.upper())
    assert await content(http, right.json()["file"]["id"]) == b"abcdef"


async def test_parts_that_do_not_make_the_file_are_refused(http):
    upload_id = (await create(http, 6))["id"]
    parts = await sent(http, upload_id, b"abc", b"def", b"g")
    other = await sent(http, (await create(http, 6))["id"], b"abc")
    for part_ids, param in (
        (parts, "part_ids"),
        (parts[:1], "part_ids"),
        ([], "part_ids"),
        ([parts[0], parts[0]], "part_ids"),
        ([parts[0], other[0]], "part_ids.1"),
        ([parts[0], "part_" + "z" * 24], "part_ids.1"),
    ):
        answer = await complete(http, upload_id, part_ids)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param
    assert "7 bytes" in (await complete(http, upload_id, parts)).json()["error"]["message"]
    assert (await complete(http, upload_id, parts[:2])).status_code == 200


async def test_complete_is_idempotent(api: Api, http):
    upload_id = (await create(http, 6))["id"]
    parts = await sent(http, upload_id, b"abc", b"def")
    first = await complete(http, upload_id, parts)
    assert (await complete(http, upload_id, parts)).json() == first.json()
    assert (await http.get(f"/v1/uploads/{upload_id}")).json() == first.json()
    other = await complete(http, upload_id, parts[::-1])
    assert other.status_code == 409
    assert other.headers["x-should-retry"] == "false"
    cancel = await http.post(f"/v1/uploads/{upload_id}/cancel")
    assert cancel.status_code == 409
    assert len(stored(api)) == 2  # content and manifest
    await http.delete(f"/v1/files/{first.json()['file']['id']}")
    assert (await http.get(f"/v1/uploads/{upload_id}")).json()["file"] is None


async def test_racing_completes_make_one_file(api: Api, http):
    data = os.urandom(3 * MIB)
    upload_id = (await create(http, len(data), purpose="fine-tune"))["id"]
    parts = await sent(http, upload_id, data[:MIB], data[MIB:])
    answers = await asyncio.gather(*(complete(http, upload_id, parts) for _ in range(12)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["file"]["id"] for a in answers}) == 1
    files = (await http.get("/v1/files")).json()["data"]
    assert [f["id"] for f in files] == [answers[0].json()["file"]["id"]]
    assert await content(http, files[0]["id"]) == data
    left = {n.split("/", 1)[1] for n in stored(api)}
    assert left == {f"files/{files[0]['id']}/{n}" for n in ("content", "manifest.json")}


async def test_upload_expires_and_is_forgotten_a_day_later(api: Api, http):
    uploads: Uploads = api.app.state.uploads
    upload = await create(http, 6)
    part = (await sent(http, upload["id"], b"abcdef"))[0]
    kept = await create(http, 6)
    assert await uploads.sweep(upload["expires_at"] - 1) == 0
    await _age(api, upload["id"], 3600)
    # Before any sweep: only its time decides.
    assert (await http.get(f"/v1/uploads/{upload['id']}")).json()["status"] == "expired"
    for answer in (
        await send(http, upload["id"], b"x"),
        await complete(http, upload["id"], [part]),
        await http.post(f"/v1/uploads/{upload['id']}/cancel"),
    ):
        assert answer.status_code == 409
        assert "expired" in answer.json()["error"]["message"]
    now_s = clock.now_s()
    assert await uploads.sweep(now_s) == 1
    assert stored(api) == []
    assert await uploads.sweep(now_s) == 0
    assert (await http.get(f"/v1/uploads/{upload['id']}")).json()["status"] == "expired"
    # The other one expires in this round too.
    assert await uploads.sweep(now_s + 24 * 3600) == 2
    assert (await http.get(f"/v1/uploads/{upload['id']}")).status_code == 404
    assert (await http.get(f"/v1/uploads/{kept['id']}")).json()["status"] == "expired"


async def test_the_file_of_a_complete_that_died_is_deleted_with_the_upload(api: Api, http):
    uploads: Uploads = api.app.state.uploads
    created = await create(http, 6)
    project = await api.app.state.projects.by_name("acme")
    upload = await uploads.records.get(project.id, created["id"])
    assert upload is not None
    # The state left by a process that is killed before its transaction.
    await uploads.begin_file(upload, "file-dead")
    await uploads.storage.put_bytes(f"{project.id}/files/file-dead/content", b"abcdef")
    parts = await sent(http, upload.id, b"abcdef")
    done = (await complete(http, upload.id, parts)).json()
    assert len(stored(api)) == 3
    await uploads.sweep(clock.now_s() + 25 * 3600)
    assert {n.split("/")[2] for n in stored(api)} == {done["file"]["id"]}
    assert await uploads.redis.keys(f"*{upload.id}*") == []


async def _age(api: Api, upload_id: str, seconds: int) -> None:
    """Change an upload's creation time to an earlier one."""
    uploads: Uploads = api.app.state.uploads
    project = await api.app.state.projects.by_name("acme")
    await uploads.records.update(
        project.id,
        upload_id,
        lambda u: u.model_copy(update={"expires_at": u.expires_at - seconds}),
        also=lambda pipe, u: pipe.zadd("finetuned:uploads-due", {u.member: u.expires_at}),
    )


async def test_worker_deletes_parts_of_expired_uploads(api: Api, http, work):
    upload = await create(http, 6)
    await sent(http, upload["id"], b"abcdef")
    await _age(api, upload["id"], 3600)
    async with work("cpu"), asyncio.timeout(60):
        while stored(api):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("as_form", [True, False])
async def test_part_over_the_limit_leaves_nothing(api: Api, http, as_form):
    api.settings.max_upload_part_bytes = MIB
    upload_id = (await create(http, 10 * MIB))["id"]
    path, data = f"/v1/uploads/{upload_id}/parts", b"x" * (MIB + 1)
    answer = await (
        http.post(path, files={"data": ("upload", data)})
        if as_form
        else send(http, upload_id, data)
    )
    assert answer.status_code == 413
    assert str(MIB) in answer.json()["error"]["message"]
    assert stored(api) == []
    assert (await http.get(path)).json()["data"] == []
    assert (await send(http, upload_id, data[:-1])).status_code == 200


async def test_all_parts_together_have_a_limit(api: Api, http):
    api.settings.max_upload_part_bytes = 4
    upload_id = (await create(http, 6))["id"]
    answers = await asyncio.gather(*(send(http, upload_id, b"1234") for _ in range(8)))
    assert sorted(a.status_code for a in answers) == [200] * 4 + [400] * 4
    refused = next(a for a in answers if a.status_code == 400)
    assert "16 bytes" in refused.json()["error"]["message"]
    assert len(stored(api)) == 4


async def test_number_of_parts_has_a_limit(api: Api, http):
    uploads: Uploads = api.app.state.uploads
    project = await api.app.state.projects.by_name("acme")
    upload = await uploads.create(
        UploadRecord(
            id=ids.new(ids.UPLOAD),
            project_id=project.id,
            created_at=clock.now_s(),
            filename="x",
            purpose=Purpose.USER_DATA,
            bytes=6,
            mime_type="x/y",
            expires_at=clock.now_s() + 60,
            parts=MAX_PARTS - 1,
        )
    )
    assert (await send(http, upload.id, b"x")).status_code == 200
    answer = await send(http, upload.id, b"x")
    assert answer.status_code == 409
    assert "10000 parts" in answer.json()["error"]["message"]
    assert len(stored(api)) == 1


@pytest.mark.parametrize(
    ("fault", "param"),
    [
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
        ({"format": {"container": "doc"}}, "format.container"),
        ({"color": "red"}, "color"),
    ],
)
async def test_an_invalid_upload_is_refused(http, fault, param):
    body = {"filename": "a", "purpose": "user_data", "bytes": 6, "mime_type": "x/y"}
    answer = await http.post("/v1/uploads", json=body | fault)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_format_and_expiry_are_those_of_the_file(api: Api, http):
    options = {"container": "csv", "columns": {"prompt": "Frage"}}
    upload = await create(
        http, 3, format=options, expires_after={"anchor": "created_at", "seconds": 7200}
    )
    done = (await complete(http, upload["id"], await sent(http, upload["id"], b"a,b"))).json()
    assert done["file"]["expires_at"] == done["file"]["created_at"] + 7200
    project = await api.app.state.projects.by_name("acme")
    record = await api.app.state.files.records.get(project.id, done["file"]["id"])
    assert record.format == options


async def test_part_cut_off_leaves_nothing(api: Api, http):
    upload_id = (await create(http, 6))["id"]
    host, port = api.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/uploads/{upload_id}/parts HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
        f"Authorization: {http.headers['authorization']}\r\n"
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    # More than the writer's 8 MiB buffer, so that bytes are in storage when it is cut.
    writer.write(head.encode() + b"x" * 8_900_000)
    await writer.drain()
    async with asyncio.timeout(60):
        while stored(api) == []:
            await asyncio.sleep(0.02)
        writer.close()
        while stored(api) != []:
            await asyncio.sleep(0.02)
    assert (await http.get(f"/v1/uploads/{upload_id}/parts")).json()["data"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
async def test_full_disk_loses_nothing(api: Api, http):
    """A disk that is really full (a 24 MiB tmpfs), during a part and during a complete."""
    storage = api.settings.data_dir / "storage"
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(storage)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets no one mount a tmpfs")
    try:
        data = os.urandom(16 * MIB)
        upload_id = (await create(http, len(data)))["id"]
        parts = await sent(http, upload_id, data[: 8 * MIB], data[8 * MIB :])
        for answer in (
            await send(http, upload_id, data),
            await complete(http, upload_id, parts),
        ):
            assert answer.status_code == 507
            assert answer.headers["x-should-retry"] == "false"
            assert len(stored(api)) == 2
        assert (await http.get("/v1/files")).json()["data"] == []
        assert (await http.get(f"/v1/uploads/{upload_id}")).json()["status"] == "pending"
        subprocess.run(["mount", "-o", "remount,size=64m", str(storage)], check=True)
        done = await complete(http, upload_id, parts, md5=hashlib.md5(data).hexdigest())
        assert done.status_code == 200
        assert await content(http, done.json()["file"]["id"]) == data
    finally:
        subprocess.run(["umount", str(storage)], check=True)


@pytest.mark.slow
async def test_parts_are_not_held_in_memory(api: Api, http):
    """200 MiB are received and joined while the api's memory grows by far less."""
    import psutil

    chunk, per_part, count = os.urandom(MIB), 50, 4

    async def body():
        for _ in range(per_part):
            yield chunk

    upload_id = (await create(http, per_part * count * MIB))["id"]
    before = psutil.Process().memory_info().rss
    headers = {"content-type": "application/octet-stream"}
    parts = [
        (
            await http.post(
                f"/v1/uploads/{upload_id}/parts", content=body(), headers=headers, timeout=60
            )
        ).json()
        for _ in range(count)
    ]
    assert {p["md5"] for p in parts} == {hashlib.md5(chunk * per_part).hexdigest()}
    done = await http.post(
        f"/v1/uploads/{upload_id}/complete",
        json={"part_ids": [p["id"] for p in parts]},
        timeout=60,
    )
    grown = psutil.Process().memory_info().rss - before
    assert done.status_code == 200
    assert grown < 100 * MIB


async def test_a_project_has_a_maximum_number_of_pending_uploads(api: Api, http):
    api.settings.max_pending_uploads_per_project = 2
    body = {"filename": "f", "purpose": "user_data", "bytes": 9, "mime_type": "text/plain"}
    made = [await http.post("/v1/uploads", json=body) for _ in range(3)]
    assert [answer.status_code for answer in made] == [200, 200, 409]
    assert made[2].json()["error"]["code"] == "limit_reached"
    await http.post(f"/v1/uploads/{made[0].json()['id']}/cancel")
    assert (await http.post("/v1/uploads", json=body)).status_code == 200
