"""Tests of the journal: a lost Redis is restored from storage alone."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from service.audit.sealer import HEAD
from service.audit.sealing_loop import SealingLoop
from service.audit.search import AuditLog, Filters
from service.audit.verify import verify
from service.backup import journal
from service.backup.contents import BackupError
from service.backup.journal import JOURNALED_AT, Journal
from service.backup.replay import replay
from service.cli import backup as commands
from service.config.limits import Limits, ProjectLimits
from service.core import clock
from service.core.encryption.signing import InstallationKey
from service.core.redis import Client, reply, rewriting, text
from service.core.redis.rewriting import JOURNAL, JournalFiles, Rewriter
from service.core.startup_checks import RESTORING
from service.core.storage import Storage
from service.projects.records import KeyRevoked, Role, digest_of
from tests.backup.conftest import Site, client, connected
from tests.backup.test_backup import answers, environment
from tests.cli.test_cli import run
from tests.conftest import BASE_MODEL, Api, checked, upload

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def journaling(site: Site, *, every_s: float = 0.1) -> AsyncIterator[Callable[[], Any]]:
    """Write the journal inside the block. Yields a function that waits until it has everything."""
    url = site.settings.redis_url.get_secret_value()
    storage = Storage.from_url(site.settings.storage_url)
    async with connected(site.settings) as redis:
        running = asyncio.create_task(Journal(redis, url, storage, every_s=every_s).run())

        async def written() -> None:
            now = sum(v / 10**i for v, i in zip(await redis.time(), (0, 6), strict=True))
            async with asyncio.timeout(60):
                while float(await redis.get(JOURNALED_AT) or 0) <= now:
                    assert not running.done()
                    await asyncio.sleep(0.02)

        try:
            yield written
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def rebuild(api: Api, site: Site, monkeypatch):
    """Rebuild the installation, as the command does, while its api is stopped."""
    for name, value in environment(site).items():
        monkeypatch.setenv(name, value)

    async def rebuild(journal: str | None = None) -> list[str]:
        async with api.stopped():
            return await commands.rebuild(None, journal)

    return rebuild


async def test_storage_alone_restores_all_records(api: Api, site: Site, chats, work):
    projects = api.app.state.projects
    key, revoked = await api.key(), await api.key()
    project = await projects.by_name("acme")
    async with journaling(site) as written, client(api.base_url, key) as http:
        async with work("cpu"):
            file = await checked(http, (await upload(http, chats(20))).json()["id"])
        body: dict[str, Any] = {"model": BASE_MODEL, "training_file": file["id"]}
        job = (await http.post("/v1/fine_tuning/jobs", json=body)).json()
        for alias in ("voice", "gone"):
            assert (await http.put(f"/v1/aliases/{alias}", json={"model": BASE_MODEL})).is_success
        await written()
        # What comes now is only in the changes.
        await projects.limit(project.id, ProjectLimits(requests_per_minute=7))
        first, second = await projects.keys.ids(project.id)
        facts = {"limits": Limits(tokens_per_minute=9), "allowed_ips": ("127.0.0.0/8",)}
        await projects.change_key(project.id, first, lambda key: key.model_copy(update=facts))
        rotated, _ = await projects.rotate_key(project.id, first, overlap_s=3600)
        await projects.revoke_key(project.id, second)
        assert (await http.delete("/v1/aliases/gone")).is_success
        assert (await http.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")).is_success
        before = await answers(http)
        await written()
        # Written after the last object of the journal.
    async with client(api.base_url, key) as http:
        newer = (await upload(http, b"newer", purpose="user_data")).json()["id"]
    await api.app.state.redis.flushdb()

    refused = run("rebuild", **environment(site))
    assert "running on this Redis (api): stop the API" in refused.stderr
    async with api.stopped():
        done = run("rebuild", **environment(site))
    projects = api.app.state.projects
    assert done.returncode == 0, done.stderr
    restored, rebuilt, *more = done.stdout.splitlines()
    assert restored.endswith("UTC from the journal")
    assert rebuilt.startswith("rebuilt what is newer: 0 projects, 1 files, 0 models")
    log, endpoints = more
    assert log.startswith("the audit log continues: 0 entries are sealed in storage, and ")
    assert endpoints == "webhook endpoints are not in the journal: create them again"
    async with client(api.base_url, key) as http:
        after = await answers(http)
        assert after["/v1/files"]["data"].pop(0)["id"] == newer
        before["/v1/files"]["first_id"] = after["/v1/files"]["first_id"]
        assert after == before
        assert [a["id"] for a in after["/v1/aliases"]["data"]] == ["voice"]
        assert (await http.get(f"/v1/fine_tuning/jobs/{job['id']}")).json()["status"] == "cancelled"
    async with client(api.base_url, revoked) as http:
        assert (await http.get("/v1/files")).status_code == 401
    with pytest.raises(KeyRevoked):
        await projects.create_key(project, "again", Role.MEMBER, secret=revoked)
    assert (await projects.get(project.id)).limits.requests_per_minute == 7
    found, _ = await projects.find_key(digest_of(key))
    assert found == rotated
    assert found.limits.tokens_per_minute == 9


async def test_secrets_are_not_in_the_journal(api: Api, site: Site):
    key = await api.key()
    project = await api.app.state.projects.by_name("acme")
    redis = api.app.state.redis
    await redis.set(f"finetuned:{project.id}:webhooks:webhook_x", "whsec_secret")
    await redis.set(f"finetuned:{project.id}:aliases:webhook", "kept")
    async with journaling(site) as written:
        await written()
    storage = Storage.from_url(site.settings.storage_url)
    [found] = await journal.find(storage)
    values: dict[bytes, bytes] = {}
    async for _, records in found.read(storage, Path(site.place).parent):
        values |= {saved.key: saved.value for saved in records}
    everything = b"".join(values.values()) + b"".join(values)
    assert b"whsec_secret" not in everything
    assert key.encode() not in everything
    assert digest_of(key).encode() in everything
    assert f"finetuned:{project.id}:aliases:webhook".encode() in values


async def test_the_journal_starts_over_after_a_deletion(api: Api, site: Site):
    storage = Storage.from_url(site.settings.storage_url)
    redis = api.app.state.redis
    rewriter = Rewriter(redis, partial(storage.keys, JOURNAL), has_journal=True)
    await redis.config_set("rdbcompression", "no")  # else a compressed value might hide the name

    async def has_the_name() -> bool:
        objects = [await storage.get_bytes(key) for key in await storage.keys("journal")]
        return any(b"erased-name" in gzip.decompress(data) for data in objects)

    async with client(api.base_url, await api.key()) as http, journaling(site) as written:
        file = (await upload(http, b"x", purpose="user_data", name="erased-name.txt")).json()
        await written()
        assert await has_the_name()
        assert (await http.delete(f"/v1/files/{file['id']}")).is_success
        async with asyncio.timeout(60):
            while (rewrite := await rewriter.covering(clock.now_s())) is None:
                await rewriter.advance(await rewriting.requests(redis))
        assert rewrite.journal is JournalFiles.REWRITTEN
        assert not await has_the_name()


async def test_urgent_changes_do_not_wait(api: Api, site: Site):
    await api.key()
    project = await api.app.state.projects.by_name("acme")
    async with journaling(site, every_s=600) as written:
        await written()
        [key_id] = await api.app.state.projects.keys.ids(project.id)
        await api.app.state.projects.revoke_key(project.id, key_id)
        await written()


async def test_unavailable_storage_delays_only_the_journal(api, site, rebuild, caplog):
    key = await api.key()
    folder = Path(site.settings.storage_url.removeprefix("file://")) / journal.FOLDER
    async with journaling(site) as written, client(api.base_url, key) as http:
        await written()
        folder.rename(aside := folder.with_name("aside"))
        folder.write_text("not a folder")
        assert (await http.put("/v1/aliases/voice", json={"model": BASE_MODEL})).is_success
        async with asyncio.timeout(60):
            while "the journal is not written" not in caplog.text:
                await asyncio.sleep(0.02)
        folder.unlink()
        aside.rename(folder)
        await written()
    await api.app.state.redis.flushdb()
    await rebuild()
    async with client(api.base_url, key) as http:
        assert len((await http.get("/v1/aliases")).json()["data"]) == 1


async def test_the_journal_of_an_emptied_redis_does_not_replace_the_one_before(api, site, rebuild):
    key = await api.key()
    storage, redis = Storage.from_url(site.settings.storage_url), api.app.state.redis
    async with journaling(site) as written:
        await written()
        first = text(await redis.get(journal.INSTALLATION))
        await redis.flushdb()
        await written()
    found = await journal.find(storage)
    one, two = sorted(found, key=lambda each: each.installation != first)
    with pytest.raises(BackupError, match="journals of several installations") as refused:
        await rebuild()
    assert f"{one.installation}, until " in str(refused.value)
    assert f"{two.installation}, until " in str(refused.value)
    await rebuild(one.installation)
    async with client(api.base_url, key) as http:
        assert (await http.get("/v1/files")).status_code == 200
    assert (await rebuild())[0].endswith("run this again")
    async with journaling(site) as written:  # takes over from the first
        await written()
        await written()  # after the removal of the first epoch
    after = {each.installation for each in await journal.find(storage)}
    assert after == {one.installation, two.installation}
    assert not set(one.keys) & set(await storage.keys(journal.FOLDER))


async def test_an_interrupted_rebuild_is_repeated(api: Api, site: Site, rebuild):
    key = await api.key()
    storage, models = Storage.from_url(site.settings.storage_url), api.app.state.registry.catalogue
    async with journaling(site) as written:
        await written()

    async def fail(_: object) -> None:
        raise RuntimeError("killed")

    async with api.stopped(), connected(site.settings) as redis:
        await redis.flushdb()
        with pytest.raises(RuntimeError):
            await replay(redis, storage, models, installation=None, finish=fail)
        started = run("api", **environment(site))
        assert started.returncode == 1
        assert "repeat it with 'finetuned-server rebuild'" in started.stderr
        await commands.rebuild(None, None)
        assert await reply(redis.get(RESTORING)) is None
    async with client(api.base_url, key) as http:
        assert (await http.get("/v1/files")).status_code == 200


async def test_the_audit_log_continues_and_says_what_is_lost(api: Api, site: Site, rebuild):
    async with connected(site.settings) as redis:
        await _lose_and_rebuild(api, site, redis, rebuild)


async def _lose_and_rebuild(api: Api, site: Site, redis: Client, rebuild: Any) -> None:
    storage = Storage.from_url(site.settings.storage_url)
    keeper = SealingLoop(redis, storage, api.settings)

    async def sealed() -> int:
        sealer = keeper.sealer()
        await sealer.resume()
        return await sealer.seal(now=True)

    key = InstallationKey(api.settings.signing_key).get().public

    async def change(name: str) -> None:
        assert (await http.put(f"/v1/aliases/{name}", json={"model": BASE_MODEL})).is_success

    async with await api.client() as http, journaling(site) as written:
        await written()
        await change("sealed")
        assert await sealed() == 1
        await change("journaled")
        await written()
    async with await api.client() as http:
        await change("lost")
    await redis.flushdb()
    output = "\n".join(await rebuild())
    assert "1 entries are sealed in storage, and 1 are from the journal" in output
    assert "is lost" in output
    assert "--key OLD.pem" not in output  # the key is in a file

    assert await sealed() == 2
    filters = Filters()
    found = await AuditLog(redis, storage).find(filters, after=None, before=None, limit=9)
    rebuilt, journaled, first = found.entries
    assert (first.objects[0], journaled.objects[0]) == ("sealed", "journaled")
    assert (rebuilt.type, rebuilt.actor.kind) == ("installation.rebuilt", "operator")
    assert rebuilt.counts["audit_entries_sealed"] == rebuilt.counts["audit_entries_restored"] == 1
    assert int(journaled.at) <= rebuilt.counts["audit_whole_until"] <= rebuilt.at
    head = text(await redis.get(HEAD))
    whole = await verify(storage, [key], [head])
    assert (whole.problems, whole.entries) == ([], 3)


async def test_timestamps_of_backups_and_the_journal_are_exported(api: Api, site: Site):
    def value(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"finetuned_{name}_timestamp_seconds")

    redis = api.app.state.redis
    await journal.observe_backups(redis, journals=True)
    assert (value("backup"), value("journal")) == (None, None)
    await api.key()
    async with journaling(site) as written:
        await written()
    done = await site.back_up()
    await journal.observe_backups(redis, journals=True)
    assert value("backup") == pytest.approx(done.manifest.taken_at)
    assert value("journal") == pytest.approx(done.manifest.taken_at, abs=60)
    await journal.observe_backups(redis, journals=False)
    assert value("journal") is None
