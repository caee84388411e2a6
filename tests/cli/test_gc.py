"""Tests of `gc`: what it removes from storage, and what it leaves alone."""

from __future__ import annotations

import pytest

from service.core.storage import Storage
from tests.cli.test_cli import run
from tests.conftest import Api, upload

pytestmark = pytest.mark.slow


@pytest.fixture
def command(api: Api):
    """Run `gc` on the api's Redis and storage, as an operator does."""

    def command(*arguments: str) -> str:
        settings = api.settings
        done = run(
            "gc",
            *arguments,
            FINETUNED_REDIS_URL=settings.redis_url.get_secret_value(),
            FINETUNED_STORAGE_URL=settings.storage_url,
            FINETUNED_MODELS_FILE=str(settings.models_file),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


async def test_it_lists_then_removes_what_no_record_refers_to(api: Api, http, command):
    storage, redis = api.app.state.files.storage, api.app.state.redis
    kept = (await upload(http, b"kept", purpose="user_data")).json()["id"]
    lost = (await upload(http, b"lost", purpose="user_data")).json()["id"]
    project_id = (await storage.keys(""))[0].split("/")[0]
    unreferenced = ("files/file-a/content", "uploads/upload_a/part_a", "exports/export-a/a1.tar")
    for name in unreferenced:
        await storage.put_bytes(f"{project_id}/{name}", b"12345")
    without_quotas = Storage.from_url(api.settings.storage_url)
    await without_quotas.put_bytes("proj_unknown/files/file-a/content", b"x")
    await without_quotas.put_bytes("not/ours", b"x")
    # As after a failover that lost the last writes.
    await redis.delete(f"finetuned:{project_id}:files:{lost}")
    before = sorted(await storage.keys(""))

    assert command().startswith("removed 0 folders"), "all may belong to unfinished work"
    listed = command("--dry-run", "--older-than", "0")
    assert listed.splitlines() == [
        f"would remove {project_id}/exports/export-a: 1 objects, 5 bytes",
        f"would remove {project_id}/files/file-a: 1 objects, 5 bytes",
        f"would remove {project_id}/uploads/upload_a: 1 objects, 5 bytes",
        "would remove 3 folders with 15 bytes in total",
        "kept 1 files without a record, which 'rebuild' can restore",
        "kept everything of proj_unknown, which has no record: run 'rebuild' first",
    ]
    assert sorted(await storage.keys("")) == before
    assert "removed 3 folders" in command("--older-than", "0")
    after = await storage.keys("")
    assert {*before} - {*after} == {f"{project_id}/{name}" for name in unreferenced}
    assert (await http.get(f"/v1/files/{kept}/content")).content == b"kept"
