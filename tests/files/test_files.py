"""Tests of files over HTTP: upload, check, list, download, delete, and invalid uploads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Api, upload
from tests.files_below import files_below

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


async def test_an_uploaded_file_is_downloaded_unchanged(http, chats):
    data = chats(12)
    answer = await upload(http, data)
    assert answer.status_code == 200
    file = answer.json()
    assert file["object"] == "file"
    assert file["bytes"] == len(data)
    assert file["filename"] == "chats.jsonl"
    assert file["status"] == "uploaded"
    content = await http.get(f"/v1/files/{file['id']}/content")
    assert content.content == data


@pytest.mark.slow
async def test_large_upload_is_not_held_in_memory(api: Api, http):
    """200 MiB pass through the api while its memory grows by far less."""
    import psutil

    chunk, count = os.urandom(MIB), 200
    boundary = "b0undary"

    async def body():
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
        ).encode()
        for _ in range(count):
            yield chunk
        yield f"\r\n--{boundary}--\r\n".encode()

    before = psutil.Process().memory_info().rss
    answer = await http.post(
        "/v1/files",
        content=body(),
        headers={"content-type": f"multipart/form-data; boundary={boundary}"},
        timeout=120,
    )
    grown = psutil.Process().memory_info().rss - before
    assert answer.status_code == 200, answer.text
    assert answer.json()["bytes"] == count * MIB
    assert grown < 100 * MIB
    digest = hashlib.sha256()
    async with http.stream("GET", f"/v1/files/{answer.json()['id']}/content") as stream:
        async for part in stream.aiter_bytes():
            digest.update(part)
    assert digest.hexdigest() == hashlib.sha256(chunk * count).hexdigest()


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\t" * 100_000])
async def test_an_empty_file_is_refused_and_not_kept(http, data):
    answer = await upload(http, data)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("file", "empty_file")
    assert error["message"].startswith("File is empty.")
    assert (await http.get("/v1/files")).json()["data"] == []


@pytest.mark.parametrize("purpose", ["assistants", "fine-tune-results", ""])
async def test_other_purposes_are_refused(http, purpose, chats):
    answer = await upload(http, chats(1), purpose)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "purpose"


async def test_form_without_file_is_refused_and_leaves_nothing(api: Api, http):
    answer = await http.post("/v1/files", files={"purpose": (None, "fine-tune")})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "file"
    assert (await http.get("/v1/files")).json()["data"] == []


async def test_file_over_the_limit_is_refused_and_leaves_nothing(api: Api, http):
    api.settings.max_file_bytes = MIB
    answer = await upload(http, b"x" * (2 * MIB), "user_data")
    assert answer.status_code == 413
    assert (await http.get("/v1/files")).json()["data"] == []
    assert _files_below(api.settings.data_dir / "storage") == []


async def test_upload_cut_off_leaves_nothing(api: Api, http):
    host, port = api.base_url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
        f"Authorization: {http.headers['authorization']}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    )
    writer.write(head.encode() + b"x" * 100_000)
    await writer.drain()
    writer.close()
    async with asyncio.timeout(60):
        while True:
            await asyncio.sleep(0.1)
            if _files_below(api.settings.data_dir / "storage") == []:
                break
    assert (await http.get("/v1/files")).json()["data"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
async def test_full_disk_is_a_clear_error_and_leaves_nothing(api: Api, http):
    """A disk that is really full: storage on a tmpfs of 4 MiB."""
    storage = api.settings.data_dir / "storage"
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(storage)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets no one mount a tmpfs")
    try:
        answer = await upload(http, os.urandom(16 * MIB), "user_data")
        assert answer.status_code == 507
        assert "full" in answer.json()["error"]["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert (await http.get("/v1/files")).json()["data"] == []
        assert _files_below(storage) == []
        # For a moment, a removed file may still take its space.
        async with asyncio.timeout(60):
            while (small := await upload(http, b"fits", "user_data")).status_code == 507:
                await asyncio.sleep(0.1)
        assert small.status_code == 200
    finally:
        subprocess.run(["umount", "--lazy", str(storage)], check=True)


async def test_list_pages_newest_first(http):
    made = [(await upload(http, b"x", "user_data")).json()["id"] for _ in range(5)]
    first = (await http.get("/v1/files", params={"limit": 2})).json()
    assert [f["id"] for f in first["data"]] == [made[4], made[3]]
    assert first["has_more"] is True
    assert first["last_id"] == made[3]
    rest = (await http.get("/v1/files", params={"after": made[3]})).json()
    assert [f["id"] for f in rest["data"]] == [made[2], made[1], made[0]]
    assert rest["has_more"] is False
    oldest = (await http.get("/v1/files", params={"order": "asc", "limit": 1})).json()
    assert oldest["data"][0]["id"] == made[0]


async def test_delete_removes_record_and_bytes(api: Api, http):
    file_id = (await upload(http, b"x", "user_data")).json()["id"]
    answer = (await http.delete(f"/v1/files/{file_id}")).json()
    assert len(answer.pop("receipts")) == 1
    nothing = ("unfinished_jobs", "models", "deleted_models", "derived_files")
    gone = {"id": file_id, "object": "file", "deleted": True, **{key: [] for key in nothing}}
    assert answer == gone
    assert (await http.get(f"/v1/files/{file_id}")).status_code == 404
    assert (await http.get(f"/v1/files/{file_id}/content")).status_code == 404
    assert _files_below(api.settings.data_dir / "storage") == []


async def test_expired_file_is_gone_and_its_bytes_are_deleted(api: Api, http):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = (await upload(http, b"x", "user_data", **fields)).json()
    assert file["expires_at"] - file["created_at"] == 3600
    refused = await upload(http, b"x", "user_data", **fields | {"expires_after[seconds]": "60"})
    assert refused.json()["error"]["param"] == "expires_after[seconds]"
    kept = (await upload(http, b"y", "user_data")).json()
    eraser = api.app.state.eraser
    assert await eraser.erase_expired(file["expires_at"] - 1) == 0
    assert await eraser.erase_expired(file["expires_at"]) == 1
    assert (await http.get(f"/v1/files/{file['id']}")).status_code == 404
    assert [f["id"] for f in (await http.get("/v1/files")).json()["data"]] == [kept["id"]]
    assert len(_files_below(api.settings.data_dir / "storage")) == 2  # content and manifest


async def test_file_name_keeps_no_path(http):
    answer = await http.post(
        "/v1/files",
        files={"file": ("../../etc/顧客\u202e.jsonl", b"x")},
        data={"purpose": "user_data"},
    )
    assert answer.json()["filename"] == "顧客.jsonl"


@pytest.mark.parametrize("file_id", ["file-unknown", "file-../../x", "ftjob-x", "file-*"])
async def test_unknown_file_is_404(http, file_id):
    answer = await http.get(f"/v1/files/{file_id}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


def _files_below(folder: Path) -> list[Path]:
    # .health is the probe's own object.
    return [path for path in files_below(folder) if path.name != ".health"]
