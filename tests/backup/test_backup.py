"""Tests of backups and restores on a real Valkey and real folders."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.backup.contents import BackupError, Damaged
from service.backup.target import Target
from service.cli.backup import check
from service.core import startup_checks
from service.core.leases import Leases
from service.core.redis import reply
from service.core.startup_checks import RESTORING
from service.core.storage import Storage
from service.standalone.services import only_store
from tests.backup.conftest import Site, client, connected
from tests.cli.test_cli import ROOT, run
from tests.conftest import BASE_MODEL, Api, checked, upload
from tests.small_disk import small_disk

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


def environment(site: Site) -> dict[str, str]:
    """Settings of the installation that is backed up, as an operator gives them."""
    return {
        "FINETUNED_REDIS_URL": site.settings.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": site.settings.storage_url,
        "FINETUNED_MODELS_FILE": str(site.settings.models_file),
        "FINETUNED_SIGNING_KEY_FILE": str(site.settings.signing_key),
    }


async def answers(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return what the API answers about everything that the project has."""
    paths = ("/v1/files", "/v1/fine_tuning/jobs", "/v1/models", "/v1/aliases")
    found = {path: (await http.get(path, params={"limit": 100})).json() for path in paths}
    for job in found["/v1/fine_tuning/jobs"]["data"]:
        path = f"/v1/fine_tuning/jobs/{job['id']}/events"
        found[path] = (await http.get(path)).json()
    return found


async def test_a_restored_installation_answers_the_same(api: Api, site: Site, chats, work):
    key, revoked = await api.key(), await api.key()
    async with client(api.base_url, key) as http:
        async with work("cpu"):
            file = await checked(http, (await upload(http, chats(20))).json()["id"])
        body: dict[str, Any] = {"model": BASE_MODEL, "training_file": file["id"]}
        job = (await http.post("/v1/fine_tuning/jobs", json=body)).json()
        assert (await http.put("/v1/aliases/voice", json={"model": BASE_MODEL})).is_success
        large = (await upload(http, b"x" * (20 * MIB), purpose="user_data")).json()["id"]
        keys = api.app.state.projects.keys
        project = await api.app.state.projects.by_name("acme")
        _, second = await keys.ids(project.id)
        await api.app.state.projects.revoke_key(project.id, second)
        before = await answers(http)
        done = await site.back_up()
    restored = await site.restore()
    assert (restored.manifest, restored.removed) == (done.manifest, [])
    async with site.restored(key) as http:
        assert await answers(http) == before
        assert before["/v1/aliases"]["data"]
        assert before[f"/v1/fine_tuning/jobs/{job['id']}/events"]["data"]
        assert (await http.get(f"/v1/files/{file['id']}/content")).content == chats(20)
        content = (await http.get(f"/v1/files/{large}/content")).content
        assert content == b"x" * (20 * MIB)
    async with site.restored(revoked) as http:
        assert (await http.get("/v1/files")).status_code == 401


async def test_unfinished_work_continues_after_a_restore(api: Api, site: Site, chats):
    from service.worker.main import WorkerProcess

    key = await api.key()
    async with client(api.base_url, key) as http:
        file = (await upload(http, chats(10))).json()
        body = {"model": BASE_MODEL, "training_file": file["id"]}
        job = (await http.post("/v1/fine_tuning/jobs", json=body)).json()
        assert job["status"] == "validating_files"
    async with (
        connected(site.settings) as redis,
        Leases(redis, "killed", lease_s=60).hold(file["id"], 1),
    ):
        await site.back_up()
    await site.restore()
    worker = WorkerProcess(site.empty.model_copy(update={"worker_port": 0}), ("cpu",))
    working = asyncio.create_task(worker.run())
    try:
        async with site.restored(key) as http:
            assert (await checked(http, file["id"]))["status"] == "processed"
            async with asyncio.timeout(60):
                while job["status"] == "validating_files":
                    job = (await http.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()
                    await asyncio.sleep(0.1)
    finally:
        worker.stop()
        await working


async def test_a_backup_while_files_are_uploaded_and_deleted_has_all_its_files(api, site, chats):
    key = await api.key()
    stop, counts = asyncio.Event(), [0] * 4

    async def keep_changing(http: httpx.AsyncClient, number: int) -> None:
        while not stop.is_set():
            data = f"{number} {counts[number]}".encode()
            made = (await upload(http, data, purpose="user_data", name=data.decode())).json()
            if counts[number] % 3 == 2:
                await http.delete(f"/v1/files/{made['id']}")
            counts[number] += 1

    async with client(api.base_url, key) as http:
        changing = [asyncio.create_task(keep_changing(http, i)) for i in range(4)]
        try:
            async with asyncio.timeout(60):
                while min(counts) < 3:
                    await asyncio.sleep(0.05)
            before = sum(counts)
            await site.back_up()
            assert sum(counts) > before, "nothing changed during the backup"
        finally:
            stop.set()
            await asyncio.gather(*changing)
    await site.restore()
    async with site.restored(key) as http:
        files = (await http.get("/v1/files", params={"limit": 10_000})).json()["data"]
        assert len(files) > 4
        for file in files:
            content = await http.get(f"/v1/files/{file['id']}/content")
            assert content.content.decode() == file["filename"]
    storage = Storage.from_url(site.empty.storage_url)
    found = {key.split("/")[2] for key in await storage.keys("")}
    assert found == {file["id"] for file in files}, "bytes without a record"


async def test_only_what_is_new_is_copied_and_old_backups_are_removed(http, site):
    first = (await upload(http, b"a" * MIB, purpose="user_data")).json()["id"]
    await upload(http, b"b" * (9 * MIB), purpose="user_data")
    one = await site.back_up()
    assert (one.copied_objects, len(site.objects)) == (4, 4)
    assert (await site.back_up()).copied_objects == 0
    await http.delete(f"/v1/files/{first}")
    await upload(http, b"b" * (9 * MIB), purpose="user_data")  # the same bytes
    three = await site.back_up()
    assert three.copied_objects == 1, "only the manifest of the file is new"
    assert len(site.objects) == 5
    target = Target.open(site.place, create=False)
    assert (await target.ids())[0] == one.manifest.id
    four = await site.back_up(keep=2)
    assert await target.ids() == [three.manifest.id, four.manifest.id]
    assert (four.removed_backups, four.removed_objects, len(site.objects)) == (2, 2, 3)
    with pytest.raises(BackupError, match=f"the oldest backup .* is {three.manifest.id}"):
        await site.restore(at=one.manifest.id)
    assert (await site.restore(at=three.manifest.id)).manifest == three.manifest


async def test_an_interrupted_backup_does_not_exist_and_the_next_one_continues(http, site):
    for number in range(30):
        await upload(http, bytes([64 + number]) * (9 * MIB), purpose="user_data")
    command = [sys.executable, "-m", "service.cli", "backup", site.place]
    env = {"PATH": "/usr/bin:/bin", **environment(site)}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    async with asyncio.timeout(60):
        while len(site.objects) < 5:
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    copied = len(site.objects)
    target = Target.open(site.place, create=False)
    assert await target.ids() == []
    with pytest.raises(BackupError, match=r"another backup is running.*30 s"):
        await site.back_up()
    async with connected(site.settings) as redis:
        await redis.delete("finetuned:lease:backup")  # as it expires
    done = await site.back_up()
    assert (done.copied_objects, len(site.objects)) == (60 - copied, 60)
    await site.restore()


async def test_a_changed_byte_is_found_and_named(http, site):
    kept = (await upload(http, b"kept", purpose="user_data")).json()["id"]
    await upload(http, b"damaged", purpose="user_data")
    await site.back_up()
    assert (await check(site.place, None))[0].startswith("intact: ")
    [path] = [path for path in site.objects if path.read_bytes() == b"damaged"]
    path.write_bytes(b"damagee")
    for attempt in (check(site.place, None), site.restore(), site.restore()):
        with pytest.raises(Damaged, match=rf"objects/{path.parent.name}/{path.name} is damaged"):
            await attempt
    async with connected(site.empty) as redis:
        assert [key async for key in redis.scan_iter("*")] == [RESTORING.encode()]
    path.write_bytes(b"damaged")
    await site.restore()
    keys = await Storage.from_url(site.empty.storage_url).keys("")
    assert any(kept in key for key in keys)


@pytest.mark.parametrize("name", ["records.gz", "objects.gz", "manifest.json"])
async def test_a_changed_description_is_found_and_named(http, site, name):
    await upload(http, b"kept", purpose="user_data")
    await site.back_up()
    [path] = Path(site.place).rglob(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match=rf"{name} is damaged"):
        await site.restore()


async def test_a_full_disk_is_reported_and_leaves_no_backup(http, site, tmp_path):
    await upload(http, bytes(20 * MIB), purpose="user_data")
    with small_disk(tmp_path / "disk", "10m") as disk:
        done = run("backup", str(disk), **environment(site))
        assert done.returncode == 1
        assert "no space is left in" in done.stderr
        assert "--keep" in done.stderr
        assert await Target.open(str(disk), create=False).ids() == []


async def test_records_without_their_bytes_are_removed(http, site):
    gone = (await upload(http, b"gone", purpose="user_data")).json()["id"]
    kept = (await upload(http, b"kept", purpose="user_data")).json()["id"]
    storage = Storage.from_url(site.settings.storage_url)
    [place] = {key.rpartition("/")[0] for key in await storage.keys("") if gone in key}
    await storage.delete_prefix(place)
    await site.back_up()
    assert (await site.restore()).removed == [gone]
    key = http.headers["authorization"].removeprefix("Bearer ")
    async with site.restored(key) as restored:
        assert [f["id"] for f in (await restored.get("/v1/files")).json()["data"]] == [kept]


async def test_an_installation_with_data_is_not_overwritten(http, site):
    await upload(http, b"kept", purpose="user_data")
    done = await site.back_up()
    empty, site.empty = (
        site.empty,
        site.empty.model_copy(update={"storage_url": site.settings.storage_url}),
    )
    with pytest.raises(BackupError, match="storage is not empty"):
        await site.restore()
    site.empty = empty
    async with connected(site.empty) as redis:
        await redis.set("finetuned:project-names", "x")
        with pytest.raises(BackupError, match="Redis is not empty"):
            await site.restore()
        await redis.flushdb()
        await redis.set("finetuned:worker-alive:w", "x")
        with pytest.raises(BackupError, match=r"running on this Redis \(worker\)"):
            await site.restore()
        await redis.flushdb()
        await redis.set(RESTORING, "20200101T000000.000Z")
        with pytest.raises(BackupError, match=r"20200101T000000\.000Z was interrupted"):
            await site.restore()
        await redis.set(RESTORING, done.manifest.id)
    started = run("api", FINETUNED_REDIS_URL=site.empty.redis_url.get_secret_value())
    assert started.returncode == 1
    assert f"the restore of backup {done.manifest.id} was interrupted" in started.stderr


async def test_a_process_that_started_before_the_restore_leaves_redis_empty(http, site):
    await upload(http, b"kept", purpose="user_data")
    await site.back_up()
    async with connected(site.empty) as redis:
        await startup_checks.require_readable_data(redis)
        assert await redis.keys("*") == [startup_checks.DATA_VERSION_KEY.encode()]
    assert (await site.restore()).removed == []


async def test_a_lost_redis_is_restored_and_storage_is_kept(http, api, site):
    key = http.headers["authorization"].removeprefix("Bearer ")
    kept = (await upload(http, b"kept", purpose="user_data")).json()["id"]
    gone = (await upload(http, b"gone", purpose="user_data")).json()["id"]
    assert (await http.put("/v1/aliases/voice", json={"model": BASE_MODEL})).is_success
    await site.back_up()
    await http.delete(f"/v1/files/{gone}")
    newer = (await upload(http, b"newer", purpose="user_data")).json()["id"]
    await api.app.state.redis.flushdb()
    refused = run("restore", site.place, "--only-records", **environment(site))
    assert "running on this Redis (api): stop the API" in refused.stderr
    async with api.stopped():
        assert "is not empty" in run("restore", site.place, **environment(site)).stderr
        elsewhere = {**environment(site), "FINETUNED_STORAGE_URL": site.empty.storage_url}
        refused = run("restore", site.place, "--only-records", **elsewhere)
        assert "has none of the objects" in refused.stderr
        done = run("restore", site.place, "--only-records", **environment(site))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "rebuilt what is newer: 0 projects, 1 files, 0 models, 0 checkpoints, figures of 0 models",
        f"removed records whose bytes had been deleted: {gone}",
    ]
    site.empty = site.settings
    async with site.restored(key) as restored:
        files = (await restored.get("/v1/files")).json()["data"]
        assert {file["id"] for file in files} == {kept, newer}
        assert (await restored.get(f"/v1/files/{newer}/content")).content == b"newer"
        assert len((await restored.get("/v1/aliases")).json()["data"]) == 1


async def test_a_standalone_folder_is_restored(http, site, tmp_path):
    await upload(http, b"kept", purpose="user_data")
    made = run("backup", site.place, "--keep", "3", **environment(site))
    assert made.stdout.startswith("backed up 2"), made.stderr
    assert {path.stat().st_mode & 0o077 for path in Path(site.place).rglob("*")} == {0}
    [listed] = run("backups", site.place).stdout.splitlines()
    folder = tmp_path / "standalone"
    folder.mkdir()
    key = folder / "api-key"
    key.write_text("sk-ft-of-the-installation-before")
    done = run("restore", site.place, "--data-dir", str(folder))
    removed = f"removed {key}, which the backup does not know: the next start makes a new admin key"
    assert done.stdout == f"restored {listed}\n{removed}\n", done.stderr
    assert not key.exists()
    again = run("restore", site.place, "--data-dir", str(folder))
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
    assert [path.read_bytes() for path in folder.glob("storage/*/files/*/content")] == [b"kept"]
    async with only_store(folder) as url:
        site.empty = site.empty.model_copy(update={"redis_url": type(site.empty.redis_url)(url)})
        async with connected(site.empty) as redis:
            assert await reply(redis.hkeys("finetuned:project-names")) == [b"acme"]


async def test_a_restore_keeps_the_admin_key_that_the_backup_knows(http, site, tmp_path):
    assert run("backup", site.place, **environment(site)).returncode == 0
    key = tmp_path / "api-key"
    key.write_text(http.headers["authorization"].removeprefix("Bearer ") + "\n")
    done = run("restore", site.place, "--data-dir", str(tmp_path))
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    assert key.exists()


@pytest.mark.parametrize("place", ["", "backups", ".."])
async def test_a_target_inside_the_storage_is_refused(http, site, place):
    storage = Path(site.settings.storage_url.removeprefix("file://"))
    refused = run("backup", str(storage / place), **environment(site))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "are inside each other: choose another folder" in refused.stderr


def test_a_target_without_backups_is_an_error(tmp_path):
    missing = run("restore", str(tmp_path / "nowhere"))
    assert missing.stderr == f"finetuned-server: there is no folder {tmp_path}/nowhere\n"
    empty = run("restore", str(tmp_path))
    assert f"there is no backup in {tmp_path.as_uri()}" in empty.stderr
