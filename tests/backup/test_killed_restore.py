"""Tests of a killed restore: incomplete data is never served, and a second restore completes it.

A restore is killed before and after each of its operations on Redis and on storage, as in
`tests/faults`: its task is never resumed, so no `finally` runs. One more is a process that gets
`kill -9`.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.backup import restore as restoring
from service.backup.target import Target
from service.cli.rebuild import Rebuild
from service.core.redis import Client, reply
from service.core.startup_checks import RESTORING
from service.core.storage import Storage
from service.models.catalogue import Catalogue
from tests.backup.conftest import Site, client, connected
from tests.cli.test_cli import ROOT, run
from tests.conftest import BASE_MODEL, Api, upload
from tests.faults.enumeration import collect_killed
from tests.faults.gate import Fault, Gate, installed

pytestmark = [
    pytest.mark.slow,
    # Resources of killed tasks are never closed.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
Restore = Callable[[Client], Awaitable[Any]]
MIB = 1024 * 1024


async def dump(redis: Client) -> dict[bytes, Any]:
    """Return all records of an installation, of sorted sets without the scores.

    Files that are registered again have the time of that as score. The counts of bytes are
    estimates, which differ by how a value was written.
    """
    keys = [
        key
        async for key in redis.scan_iter("finetuned:*")
        if b":written:" not in key and not key.endswith(b":record-bytes")
    ]
    return {
        key: sorted(await redis.zrange(key, 0, -1))
        if await redis.type(key) == b"zset"
        else await redis.dump(key)
        for key in keys
    }


async def killed_everywhere(
    redis: Client, clear: Callable[[], Awaitable[None]], restore: Restore
) -> int:
    """Kill a restore at each operation, and repeat it. Returns the number of operations."""
    await clear()
    await restore(redis)
    expected = await dump(redis)
    assert expected
    for number in itertools.count(1):
        for fault in (Fault.KILL, Fault.KILL_AFTER):
            await clear()
            gate = Gate(faults={number: fault})
            await gate.run(restore(redis))
            if not gate.killed.is_set():
                return number - 1
            where, found = gate.operations[-1].words, await dump(redis)
            assert RESTORING.encode() in found or found in ({}, expected), where
            await gate.bury()
            if found != expected:
                await restore(redis)
            assert await dump(redis) == expected, where
    raise AssertionError


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect what killed tasks held, after all that a test used is gone."""
    yield
    collect_killed()


@pytest.fixture
async def backed_up(http, site: Site) -> Site:
    """A site with a backup of some files and an alias."""
    for number in range(2):
        await upload(http, b"%d" % number, purpose="user_data")
    assert (await http.put("/v1/aliases/voice", json={"model": BASE_MODEL})).is_success
    await site.back_up()
    return site


async def test_a_restore_that_is_killed_anywhere_is_completed_by_a_second_one(backed_up, tmp_path):
    site = backed_up
    folder = Path(site.empty.storage_url.removeprefix("file://"))

    async def clear() -> None:
        await redis.flushdb()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()

    async def restore(redis: Client) -> None:
        target, catalogue = Target.open(site.place, create=False), Catalogue(site.empty.models_file)
        await restoring.restore(
            redis, Storage.from_url(site.empty.storage_url), catalogue, target, at=None
        )

    with installed():
        async with connected(site.empty) as redis:
            assert await killed_everywhere(redis, clear, restore) > 20


async def test_files_that_are_newer_survive_a_killed_restore_of_records(backed_up, http, api: Api):
    site = backed_up
    await upload(http, b"newer", purpose="user_data")
    storage = api.app.state.storage

    async def clear() -> None:
        await redis.flushdb()

    async def restore(redis: Client) -> None:
        catalogue = Catalogue(site.settings.models_file)
        target = Target.open(site.place, create=False)
        await restoring.restore(
            redis,
            storage,
            catalogue,
            target,
            at=None,
            only_records=True,
            finish=lambda _: Rebuild(redis, storage, catalogue).run(),
        )

    key = http.headers["authorization"].removeprefix("Bearer ")
    async with api.stopped():
        with installed():
            async with connected(site.settings) as redis:
                assert await killed_everywhere(redis, clear, restore) > 20
    async with client(api.base_url, key) as again:
        files = (await again.get("/v1/files")).json()["data"]
    assert len(files) == 3


async def test_a_killed_process_leaves_a_redis_that_is_not_served(http, site: Site, api: Api):
    for number in range(24):
        await upload(http, bytes([64 + number]) * 2 * MIB, purpose="user_data")
    done = await site.back_up()
    folder = Path(site.empty.storage_url.removeprefix("file://"))
    env = {
        "FINETUNED_REDIS_URL": site.empty.redis_url.get_secret_value(),
        "FINETUNED_STORAGE_URL": site.empty.storage_url,
        "FINETUNED_MODELS_FILE": str(site.empty.models_file),
    }
    command = [sys.executable, "-m", "service.cli", "restore", site.place]
    process = subprocess.Popen(command, cwd=ROOT, env={"PATH": "/usr/bin:/bin", **env})
    async with asyncio.timeout(60):
        while len([*folder.rglob("content")]) < 3:
            await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    async with connected(site.empty) as redis:
        assert await reply(redis.get(RESTORING)) == done.manifest.id.encode()
    refused = run("api", **env)
    assert (refused.returncode, "was interrupted" in refused.stderr) == (1, True)
    again = run("restore", site.place, **env)
    assert again.returncode == 0, again.stderr
    assert len([*folder.rglob("content")]) == 24
    async with connected(site.empty) as redis:
        assert await reply(redis.get(RESTORING)) is None


async def test_an_api_that_runs_is_not_ready_during_a_restore(api: Api, http):
    assert (await http.get("/readyz")).status_code == 200
    await api.app.state.redis.set(RESTORING, "20261128T020000.000Z")
    refused = await http.get("/readyz")
    assert (refused.status_code, refused.json()["parts"]["redis"]) == (503, "away")
