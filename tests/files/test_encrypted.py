"""Tests of an installation whose storage is encrypted, from uploads to backups."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.config import Settings
from service.core.encryption.master import new_key
from service.core.encryption.sealed import MAGIC
from service.core.startup_checks import storage_fault
from service.core.storage import Storage, StorageRefused
from tests.backup.conftest import Site, client, connected, site
from tests.conftest import Api, checked, upload

pytestmark = pytest.mark.slow
_ = site  # the fixture
WORDS = b"only the owner of this file reads these words"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a master key."""
    file = tmp_path / "master-key"
    file.write_text(new_key())
    settings.encryption_key_file = file
    return settings


def stored(root: Path) -> Iterator[Path]:
    """All objects that may contain data of users."""
    for path in root.rglob("*"):
        if path.is_file() and path.name != ".health" and path.parent.name != "keys":
            yield path


async def test_what_a_project_stores_is_encrypted_and_comes_back(api: Api, http, work, chats):
    table = b"question,answer\n" + b"".join(b"q%d,%s %d\n" % (i, WORDS, i) for i in range(12))
    file = (await upload(http, table, name="table.csv")).json()
    body = {"filename": "f", "purpose": "user_data", "bytes": 8, "mime_type": "text/plain"}
    part_ids = []
    made = (await http.post("/v1/uploads", json=body)).json()
    for data in (b"one ", b"two "):
        part = await http.post(f"/v1/uploads/{made['id']}/parts", files={"data": data})
        part_ids.append(part.json()["id"])
    path = f"/v1/uploads/{made['id']}/complete"
    joined = (await http.post(path, json={"part_ids": part_ids})).json()["file"]
    async with work("cpu"):
        assert (await checked(http, file["id"]))["rows"] == 12
    assert (await http.get(f"/v1/files/{file['id']}/content")).content == table
    assert (await http.get(f"/v1/files/{joined['id']}/content")).content == b"one two "
    objects = list(stored(api.settings.data_dir / "storage"))
    assert len(objects) >= 5
    for one in objects:
        data = one.read_bytes()
        assert data.startswith(MAGIC), one.name
        assert WORDS not in data
    assert (await http.delete(f"/v1/files/{file['id']}")).status_code == 200


async def test_a_backup_is_encrypted_and_restores_with_the_master_key(api: Api, site: Site):
    key = await api.key()
    async with client(api.base_url, key) as http:
        file = (await upload(http, WORDS, "user_data")).json()
        await site.back_up()
    assert site.objects
    for path in Path(site.place).rglob("*"):
        assert path.is_dir() or WORDS not in path.read_bytes()
    await site.restore()
    async with site.restored(key) as http:
        assert (await http.get(f"/v1/files/{file['id']}/content")).content == WORDS


async def test_a_process_does_not_start_with_a_wrong_key_or_without_one(api: Api, http, tmp_path):
    await upload(http, WORDS, "user_data")
    url, right = api.settings.storage_url, api.settings.master_key
    wrong = Settings(encryption_key=new_key())
    missing = Settings(encryption_key_file=tmp_path / "gone")
    assert await asyncio.to_thread(storage_fault, url, right) is None
    for key, words in (
        (lambda: None, "FINETUNED_ENCRYPTION_KEY_FILE"),
        (wrong.master_key, "wrapped with the master key"),
        (missing.master_key, "restore it"),
    ):
        fault = await asyncio.to_thread(storage_fault, url, key)
        assert isinstance(fault, StorageRefused)
        assert words in str(fault)


async def test_existing_objects_are_encrypted_by_a_command_that_can_be_repeated(
    redis_url, tmp_path, monkeypatch
):
    root, key_file = tmp_path / "plain", tmp_path / "keys"
    plain = Storage.from_url(root.as_uri())
    names = [f"proj_abc/files/file-{number}/content" for number in range(3)]
    for name in (*names, "journal/a/b/1.gz"):
        await plain.put_bytes(name, WORDS)
    monkeypatch.setenv("FINETUNED_STORAGE_URL", root.as_uri())
    monkeypatch.setenv("FINETUNED_REDIS_URL", redis_url)
    run = CliRunner().invoke
    assert "new-master-key" in (await _in_thread(run, app, ["encrypt"])).output
    old, new = new_key(), (await _in_thread(run, app, ["new-master-key"])).output.strip()
    key_file.write_text(old)
    monkeypatch.setenv("FINETUNED_ENCRYPTION_KEY_FILE", str(key_file))
    for command in ("encrypt", "rotate-master-key"):
        elsewhere = await _in_thread(run, app, [command, "--data-dir", str(tmp_path / "none")])
        assert (elsewhere.exit_code, "has run on" in elsewhere.output) == (1, True)
    done = await _in_thread(run, app, ["encrypt"])
    assert (done.exit_code, "encrypted 4 of 4" in done.output) == (0, True), done.output
    await plain.put_bytes(names[0], WORDS)
    assert "encrypted 1 of 4" in (await _in_thread(run, app, ["encrypt"])).output
    assert all(path.read_bytes().startswith(MAGIC) for path in stored(root))

    key_file.write_text(f"{new}\n{old}\n")
    rotated = await _in_thread(run, app, ["rotate-master-key"])
    assert "wrapped 2 of 2 data keys" in rotated.output
    key_file.write_text(new)
    storage = Storage.from_url(root.as_uri(), master_key=Settings().master_key())
    assert [await storage.get_bytes(name) for name in names] == [WORDS] * 3
    wrapped = json.loads((root / "keys" / "proj_abc.json").read_text())
    assert wrapped.keys() == {"id", "master", "wrapped"}


async def test_nothing_is_encrypted_while_the_api_or_a_worker_runs(api: Api, http, monkeypatch):
    await upload(http, WORDS, "user_data")
    settings = api.settings
    monkeypatch.setenv("FINETUNED_STORAGE_URL", settings.storage_url)
    monkeypatch.setenv("FINETUNED_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("FINETUNED_ENCRYPTION_KEY_FILE", str(settings.encryption_key_file))
    before = {path: path.stat() for path in stored(settings.data_dir / "storage")}
    run = CliRunner().invoke
    refused = await _in_thread(run, app, ["encrypt"])
    assert (refused.exit_code, "running on this Redis (api): stop" in refused.output) == (1, True)
    async with api.stopped():
        async with connected(settings) as redis:
            await redis.set("finetuned:worker-alive:gpu-3", 1, ex=60)
        refused = await _in_thread(run, app, ["encrypt"])
        assert "running on this Redis (worker)" in refused.output
    assert {path: path.stat() for path in before} == before


async def _in_thread(run, *arguments):
    """Run a command, which starts an event loop of its own."""
    return await asyncio.to_thread(run, *arguments)
