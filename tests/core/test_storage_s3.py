"""Tests of storage on a real S3 server: atomicity, leftovers and error messages."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import obstore
import pytest

from service.app import create_app
from service.config import Settings
from service.core.encryption.master import new_key
from service.core.encryption.sealed import CHUNK_BYTES, MAGIC
from service.core.redis import connect
from service.core.storage import (
    Storage,
    StorageCorrupt,
    StorageError,
    StorageMissing,
    StorageRefused,
)
from service.core.storage.writer import PART_BYTES
from service.diagnostics.checks import storage_of
from service.projects.records import INSTALLATION
from tests.conftest import Api, running
from tests.e2e.seaweed import BUCKET, Seaweed, seaweed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MIB = 1024 * 1024
URL = f"s3://{BUCKET}/one/installation"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with seaweed(tmp_path_factory.mktemp("s3") / "weed") as server:
        yield server


@pytest.fixture
def s3(server: Seaweed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seaweed]:
    """The server, with an operator's environment. It is empty before and after a test."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    assert server.objects() == []
    yield server
    for key in server.objects():
        obstore.delete(server.store(), key)


@pytest.fixture
def storage(s3: Seaweed) -> Storage:
    return Storage.from_url(URL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    (path / "deep").mkdir(parents=True)
    (path / "a.bin").write_bytes(os.urandom(2 * PART_BYTES + 1))
    (path / "deep" / "b.txt").write_text("b")
    (path / "empty").touch()
    return path


async def test_folder_comes_back_the_same(storage, folder, tmp_path):
    written = await storage.put_folder("x/y", folder, meta={"step": 3})
    assert await storage.get_folder("x/y", tmp_path / "back") == written
    for name in ("a.bin", "deep/b.txt", "empty"):
        assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()
    await storage.put_bytes("x/y/deep/b.txt", b"poison")
    with pytest.raises(StorageCorrupt):
        await storage.get_folder("x/y", tmp_path / "again")


async def test_file_of_many_parts_comes_back_the_same(storage, s3, tmp_path):
    sent = hashlib.sha256()
    with (tmp_path / "large").open("wb") as sink:
        for _ in range(70):
            sink.write(block := os.urandom(MIB))
            sent.update(block)
        sink.write(b"odd")
        sent.update(b"odd")
    entry = await storage.put_file("large", tmp_path / "large")
    assert (entry.size, entry.sha256) == (70 * MIB + 3, sent.hexdigest())
    assert await storage.get_file("large", tmp_path / "back") == sent.hexdigest()
    assert s3.unfinished() == 0


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES])
async def test_a_discarded_write_leaves_nothing(storage, s3, size):
    async def fails() -> None:
        async with await storage.writer("x") as writer:
            for start in range(0, size, MIB):
                await writer.write(bytes(min(MIB, size - start)))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert (s3.objects(), s3.unfinished()) == ([], 0)


async def test_a_cancelled_write_leaves_nothing(storage, s3):
    begun = asyncio.Event()

    async def writes() -> None:
        async with await storage.writer("x") as writer:
            while True:
                await writer.write(bytes(PART_BYTES))
                begun.set()

    writing = asyncio.create_task(writes())
    await begun.wait()
    await asyncio.sleep(0.3)
    assert s3.unfinished() == 1, "nothing had begun: the test has shown nothing"
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    async with asyncio.timeout(60):  # the server's own list lags slightly
        while s3.unfinished():
            await asyncio.sleep(0.1)
    assert s3.objects() == []


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1])
async def test_sizes_about_a_part(storage, size):
    async with await storage.writer("about-a-part") as writer:
        await writer.write(b"a" * size)
    assert await storage.get_bytes("about-a-part") == b"a" * size


async def test_delete_prefix_removes_all_below_and_nothing_else(storage, s3, folder):
    await storage.put_folder("x/a", folder)
    await asyncio.gather(*(storage.put_bytes(f"x/a/many/{i}", b"1") for i in range(1100)))
    await storage.put_bytes("x/ab", b"stays")
    await storage.copy("x/ab", "x/copied")
    await storage.delete_prefix("x/a")
    await storage.delete("never/there")
    assert s3.objects() == ["one/installation/x/ab", "one/installation/x/copied"]
    with pytest.raises(StorageMissing):
        await storage.manifest("x/a")


async def test_two_installations_in_one_bucket_do_not_see_each_other(storage, s3):
    other = Storage.from_url(f"s3://{BUCKET}/one/installation-2")
    await storage.put_bytes("proj/files/f/content", b"ours")
    await other.put_bytes("proj/files/f/content", b"theirs")
    assert await storage.keys("proj") == await other.keys("proj") == ["proj/files/f/content"]
    assert await storage.get_bytes("proj/files/f/content") == b"ours"
    await storage.delete_prefix("proj")
    assert await other.get_bytes("proj/files/f/content") == b"theirs"
    assert s3.objects() == ["one/installation-2/proj/files/f/content"]


async def test_wrong_credentials_are_reported_at_once_by_name(s3, tmp_path, monkeypatch):
    await Storage.from_url(URL).check()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = Storage.from_url(URL)
    for ask in (wrong.check(), wrong.keys("x"), wrong.delete("x"), wrong.get_bytes("x")):
        with pytest.raises(StorageRefused, match=r"SignatureDoesNotMatch.*AWS_SECRET_ACCESS_KEY"):
            await ask
    with pytest.raises(StorageRefused, match="AWS_SECRET_ACCESS_KEY"):  # HEAD returns no error code
        await wrong.stream("x")
    large = tmp_path / "large"
    large.write_bytes(bytes(5 * PART_BYTES))
    with pytest.raises(StorageRefused):
        await wrong.put_file("x", large)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    with pytest.raises(StorageRefused, match=r"InvalidAccessKeyId.*AWS_ACCESS_KEY_ID"):
        await Storage.from_url(URL).check()


async def test_wrong_settings_are_reported_with_a_remedy(s3, monkeypatch):
    with pytest.raises(StorageRefused, match="the bucket does not exist"):
        await Storage.from_url("s3://nowhere/x").put_bytes("x", b"1")
    with pytest.raises(StorageRefused, match="the bucket does not exist"):
        await Storage.from_url("s3://nowhere/x").get_bytes("x")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(StorageRefused, match="AWS_ALLOW_HTTP"):
        await Storage.from_url(URL).check()
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StorageRefused, match="AWS_SECRET_ACCESS_KEY"):
        await Storage.from_url(URL).check()


async def test_an_engine_needs_only_a_key_that_reads(storage, s3, folder, tmp_path, monkeypatch):
    written = await storage.put_folder("adapter", folder)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.reader)
    reader = Storage.from_url(URL)
    assert await reader.get_folder("adapter", tmp_path / "back") == written
    for ask in (
        reader.put_bytes("x", b"1"),
        reader.delete("adapter/a.bin"),
        reader.keys("adapter"),
    ):
        with pytest.raises(StorageRefused, match=r"AccessDenied.*lacks permission"):
            await ask


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_with_a_wrong_secret_ends_and_says_why(s3, redis_url, command):
    env = {
        "FINETUNED_REDIS_URL": redis_url,
        "FINETUNED_STORAGE_URL": URL,
        "FINETUNED_API_PORT": "0",
        "FINETUNED_WORKER_PORT": "0",
        **s3.env(secret="wrong-and-never-to-be-told"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", command],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("finetuned-server: storage cannot be used: S3 refused"), done.stderr
    assert "AWS_SECRET_ACCESS_KEY" in last
    assert "never-to-be-told" not in done.stdout + done.stderr


async def test_readyz_and_doctor_report_refused_credentials(s3, settings: Settings, monkeypatch):
    findings = await asyncio.to_thread(storage_of, Settings(storage_url=URL))
    assert [finding.level for finding in findings] == ["ok"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    findings = await asyncio.to_thread(storage_of, Settings(storage_url=URL))
    assert [finding.level for finding in findings] == ["missing"]
    assert "AWS_SECRET_ACCESS_KEY" in findings[0].found
    app = create_app(settings.model_copy(update={"storage_url": URL}))
    async with running(app) as url, httpx.AsyncClient() as http:
        answer = await http.get(f"{url}/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"redis": "ok", "storage": "refused"}


async def test_an_object_is_created_only_once(storage: Storage):
    made = [storage.create_bytes("audit-heads/1", b"%d" % i) for i in range(8)]
    created = await asyncio.gather(*made)
    assert created.count(True) == 1
    assert await storage.get_bytes("audit-heads/1") == b"%d" % created.index(True)


async def test_encrypted_objects_on_s3_are_readable_until_their_key_is_erased(
    s3, settings: Settings, folder, tmp_path
):
    key_file = tmp_path / "master-key"
    key_file.write_text(new_key())
    settings = settings.model_copy(update={"storage_url": URL, "encryption_key_file": key_file})
    parts = [os.urandom(6 * MIB), b"odd", os.urandom(9 * MIB)]
    whole = b"".join(parts)
    upload = {"filename": "f", "purpose": "user_data", "bytes": len(whole), "mime_type": "x/y"}
    octets = {"content-type": "application/octet-stream"}

    async def begin(http: httpx.AsyncClient) -> tuple[str, str]:
        path = f"/v1/uploads/{(await http.post('/v1/uploads', json=upload)).json()['id']}"
        first = await http.post(f"{path}/parts", content=parts[0], headers=octets)
        return path, first.json()["id"]

    app = create_app(settings)
    async with running(app) as url, await Api(app, url, settings).client() as http:
        path, first = await begin(http)
        key = http.headers["authorization"]
    app = create_app(settings)  # another process takes the rest
    async with running(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        http.headers["authorization"] = key
        sent = [first]
        for part in parts[1:]:
            answer = await http.post(f"{path}/parts", content=part, headers=octets)
            sent.append(answer.json()["id"])
        file = (await http.post(f"{path}/complete", json={"part_ids": sent})).json()["file"]
        assert (await http.get(f"/v1/files/{file['id']}/content")).content == whole
        (project,) = (await app.state.projects.projects.page(INSTALLATION)).items

    def opened() -> Storage:
        return Storage.from_url(URL, master_key=settings.master_key(), only_encrypted=True)

    storage, content = opened(), f"{project.id}/files/{file['id']}/content"
    for start, end in ((0, 1), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (5 * MIB, 7 * MIB + 3)):
        read = b"".join([chunk async for chunk in await storage.stream(content, start, end)])
        assert read == whole[start:end]
    adapter = f"{project.id}/jobs/ftjob-a/a1/adapter"
    written = await storage.put_folder(adapter, folder)
    assert await opened().get_folder(adapter, tmp_path / "back") == written

    async def fails() -> None:
        async with await storage.writer(f"{project.id}/files/file-b/content") as writer:
            await writer.write(bytes(2 * PART_BYTES))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert s3.unfinished() == 0

    objects = [name for name in s3.objects() if "/keys/" not in name and ".health" not in name]
    assert len(objects) >= 6
    for name in objects:
        stored = bytes(obstore.get(s3.store(), name).bytes())
        assert stored.startswith(MAGIC), name
        assert parts[0][:64] not in stored
    await storage.erase_key(project.id)
    for name in (content, f"{adapter}/a.bin"):
        with pytest.raises(StorageMissing, match="was erased"):
            await opened().get_file(name, tmp_path / "gone")
    assert set(objects) <= set(s3.objects())


async def test_patience_outlasts_a_killed_server(s3, folder, tmp_path):
    """This test runs last, because the server takes long to restart."""
    impatient, patient = Storage.from_url(URL), Storage.from_url(URL, patience_s=120)
    await impatient.put_bytes("acknowledged", b"1")
    s3.kill()
    async with asyncio.timeout(60):
        with pytest.raises(StorageError) as caught:
            await impatient.put_bytes("x", b"1")
    assert not isinstance(caught.value, StorageRefused | StorageMissing)
    writing = asyncio.create_task(patient.put_folder("x", folder))
    listing = asyncio.ensure_future(patient.keys("x"))
    await asyncio.sleep(1)
    assert not writing.done()
    assert not listing.done()
    await asyncio.to_thread(s3.start)
    await writing
    await listing
    assert (await patient.get_folder("x", tmp_path / "back")).size == 2 * PART_BYTES + 2
    assert await impatient.get_bytes("acknowledged") == b"1"


@pytest.mark.parametrize("sizes", [[7], [6 * MIB, 3, 9 * MIB]])
async def test_parts_of_an_upload_become_one_file(s3, settings: Settings, sizes):
    parts = [os.urandom(size) for size in sizes]
    upload = {"filename": "f", "purpose": "user_data", "bytes": sum(sizes), "mime_type": "x/y"}
    redis = connect(settings.redis_url.get_secret_value())
    await redis.flushdb()
    await redis.aclose(close_connection_pool=True)
    app = create_app(settings.model_copy(update={"storage_url": URL}))
    async with running(app) as url, await Api(app, url, settings).client() as http:
        path = f"/v1/uploads/{(await http.post('/v1/uploads', json=upload)).json()['id']}"
        octets = {"content-type": "application/octet-stream"}
        sent = [
            (await http.post(f"{path}/parts", content=part, headers=octets)).json()["id"]
            for part in parts
        ]
        file = (await http.post(f"{path}/complete", json={"part_ids": sent})).json()["file"]
        assert (await http.get(f"/v1/files/{file['id']}/content")).content == b"".join(parts)
        (project,) = (await app.state.projects.projects.page(INSTALLATION)).items
        (stored,) = (await app.state.files.records.page(project.id)).items
        assert stored.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
        assert [key for key in s3.objects() if "/uploads/" in key] == []
