"""Entries that are sealed in storage, and what a verification finds."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from service.audit import export
from service.audit.keeper import Keeper
from service.audit.log import AuditLog
from service.audit.merkle import Edge
from service.audit.places import ROOM
from service.audit.query import Filters
from service.audit.sealing import HEAD, WITNESSED, Overtaken, Sealer
from service.audit.verify import Findings, verify
from service.audit.witness import Witness
from service.cli import key_tasks
from service.cli.app import app as cli
from service.config import Settings
from service.core import clock, metrics, tasks, trail
from service.core.audit_events import AuditEvent
from service.core.redis import Client, connect, reply
from service.core.signing import InstallationKey
from service.core.storage import Storage, StorageError
from service.core.trail import Actor, Entry
from service.core.transactions import write_once
from service.standalone.services import free_port


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    client = connect(redis_url)
    await client.flushdb()
    yield client
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.from_url(settings.storage_url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage" / ROOM


class Log:
    """An audit log with a sealer, whose entries have the numbers 0, 1, 2, …"""

    def __init__(self, redis: Client, storage: Storage, settings: Settings) -> None:
        self.redis, self.storage, self.settings = redis, storage, settings
        self.written = 0

    async def write(self, count: int, *, days_ago: float = 0) -> None:
        for _ in range(count):
            at = clock.now() - days_ago * 24 * 3600
            entry = Entry(
                id=trail.new_id(at),
                at=at,
                type=AuditEvent.FILE_DELETED,
                actor=Actor("api_key", "key_a", "proj_a", "member"),
                outcome="applied",
                project_id="proj_a",
                objects=(f"file-{self.written}",),
            )
            self.written += 1
            await write_once(self.redis, partial(trail.append, entry=entry))

    async def sealer(self, **changed: Any) -> Sealer:
        settings = self.settings.model_copy(update=changed)
        sealer = Keeper(self.redis, self.storage, settings).sealer()
        await sealer.resume()
        return sealer

    async def seal(self, count: int, **more: Any) -> None:
        await self.write(count, **more)
        await (await self.sealer()).seal(now=True)

    async def verify(self, *known: str) -> Findings:
        key = await InstallationKey(self.redis, None).get()
        head = await self.redis.get(HEAD)
        notes = [*known, *([head.decode()] if head else [])]
        return await verify(self.storage, [key.public], notes)

    async def numbers(self) -> list[int]:
        """The numbers of all entries that can be found, oldest first."""
        found, after = [], None
        while True:
            page = await AuditLog(self.redis, self.storage).find(
                Filters(), after=after, before=None, limit=3
            )
            found += [int(entry.objects[0][5:]) for entry in page.entries if entry.objects]
            if not page.has_more:
                return found[::-1]
            after = page.entries[-1].id


@pytest.fixture
def log(redis: Client, storage: Storage, settings: Settings) -> Log:
    return Log(redis, storage, settings)


def test_the_tree_is_that_of_rfc_6962():
    """The roots of the trees with 0 to 8 leaves in the tests of Certificate Transparency."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    leaves.append("606162636465666768696a6b6c6d6e6f")
    roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    edge = Edge()
    assert edge.root().hex() == roots[0]
    for leaf, root in zip(leaves, roots[1:], strict=True):
        edge.add([bytes.fromhex(leaf)])
        assert edge.root().hex() == root


async def test_entries_are_sealed_found_and_verified(log: Log):
    await log.seal(3)
    await log.seal(4)
    await log.write(2)
    assert await log.numbers() == list(range(9))
    found = await log.verify()
    assert (found.problems, found.entries, found.segments) == ([], 7, 2)


async def test_an_entry_that_was_written_twice_is_sealed_once(log: Log, redis: Client):
    """redis-py repeats a command whose answer was lost."""
    await log.write(1)
    [(_, fields)] = await redis.xrange(trail.STREAM)
    await redis.xadd(trail.STREAM, fields)
    sealer = await log.sealer()
    assert await sealer.seal(now=True) == 1
    await redis.xadd(trail.STREAM, fields)
    assert await sealer.seal(now=True) == 0
    assert await log.numbers() == [0]
    assert (await log.verify()).problems == []


async def test_entries_are_sealed_when_they_are_due(log: Log):
    await log.write(1)
    assert await (await log.sealer()).seal() == 0
    assert await (await log.sealer(audit_seal_every_s=0.001)).seal() == 1


def _segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/*.jsonl"))


def _replace(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def _tampered(folder: Path, how: str) -> None:
    first, second, third = _segments(folder)
    lines = second.read_bytes().splitlines(keepends=True)
    match how:
        case "change":
            _replace(second, second.read_bytes().replace(b"key_a", b"key_b"))
        case "delete an entry":
            _replace(second, b"".join(lines[1:]))
        case "reorder":
            _replace(second, b"".join(lines[::-1]))
        case "add":
            _replace(second, b"".join([*lines, lines[0]]))
        case "delete a segment":
            second.unlink()
        case "delete all about a segment":
            second.unlink()
            (second.parent / "checkpoint").unlink()
        case "truncate":
            third.unlink()
            (third.parent / "checkpoint").unlink()
        case "swap":
            first_data = first.read_bytes()
            _replace(first, second.read_bytes())
            _replace(second, first_data)
        case "forge a checkpoint":
            note = second.parent / "checkpoint"
            digest = hashlib.sha256(b"".join(lines[1:])).hexdigest()
            text = note.read_text("utf-8")
            old = next(line for line in text.splitlines() if line.startswith("sha256 "))
            note.write_text(text.replace(old, f"sha256 {digest}"), "utf-8")
            _replace(second, b"".join(lines[1:]))


@pytest.mark.parametrize(
    "how",
    [
        *("change", "delete an entry", "reorder", "add", "delete a segment", "swap"),
        *("delete all about a segment", "truncate", "forge a checkpoint"),
    ],
)
async def test_a_verification_finds_any_change(log: Log, folder: Path, how: str):
    for _ in range(3):
        await log.seal(2)
    assert (await log.verify()).problems == []
    await _tampered(folder, how)
    assert (await log.verify()).problems != []


async def test_a_witness_finds_another_log(log: Log, redis: Client, folder: Path, storage: Storage):
    """With the key, someone can write another log, but not the one that the witness saw."""
    await log.seal(2)
    seen = (await redis.get(HEAD)).decode()
    assert (await log.verify(seen)).problems == []
    for path in (*_segments(folder), *folder.glob("*/*/checkpoint")):
        path.unlink()
    await redis.delete(HEAD)
    await log.seal(2)
    assert (await log.verify()).problems == []
    assert (await log.verify(seen)).problems != []


@pytest.mark.parametrize("where", ["before the transaction", "after the transaction"])
async def test_a_killed_worker_loses_and_repeats_nothing(
    log: Log, redis: Client, storage: Storage, monkeypatch: pytest.MonkeyPatch, where: str
):
    await log.seal(2)
    await log.write(3)
    sealer = await log.sealer()

    async def fail(*_: object) -> None:
        raise StorageError("killed")

    with monkeypatch.context() as patched:
        if where.startswith("before"):
            patched.setattr(sealer, "_replace", fail)
        else:
            kept = storage.put_bytes

            async def put(key: str, data: bytes) -> None:
                if key.endswith("checkpoint"):
                    await fail()
                await kept(key, data)

            patched.setattr(storage, "put_bytes", put)
        with pytest.raises(StorageError):
            await sealer.seal(now=True)
    assert await log.numbers() == list(range(5))
    await log.seal(1)
    assert await log.numbers() == list(range(6))
    found = await log.verify()
    assert (found.problems, found.entries) == ([], 6)
    assert await redis.xlen(trail.STREAM) == 0


async def test_a_full_disk_keeps_entries_in_redis(
    log: Log, storage: Storage, monkeypatch: pytest.MonkeyPatch
):
    await log.seal(2)
    await log.write(2)
    sealer = await log.sealer()

    async def full(*_: object) -> None:
        raise StorageError("no space left in storage")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "put_bytes", full)
        with pytest.raises(StorageError):
            await sealer.seal(now=True)
    assert await log.numbers() == [0, 1, 2, 3]
    assert await sealer.seal(now=True) == 2
    assert (await log.verify()).problems == []


async def test_a_worker_that_was_overtaken_seals_nothing(log: Log):
    await log.write(2)
    slow = await log.sealer()
    await log.seal(1)
    await log.write(1)
    with pytest.raises(Overtaken):
        await slow.seal(now=True)
    await log.seal(0)
    found = await log.verify()
    assert (found.problems, found.entries) == ([], 4)


async def test_the_log_continues_after_a_loss_of_redis(log: Log, redis: Client, storage: Storage):
    """The journal restores an older state, in which sealed entries are in the stream again.

    It has no signing key, so that another one signs from then on.
    """
    await log.seal(2)
    await log.write(2)
    older = await redis.xrange(trail.STREAM)
    before = (await InstallationKey(redis, None).get()).public
    await log.seal(1)
    await redis.flushdb()
    for _, fields in older:
        await redis.xadd(trail.STREAM, fields)
    await log.seal(1)
    assert await log.numbers() == list(range(6))
    assert (await log.verify()).problems != []
    after = (await InstallationKey(redis, None).get()).public
    found = await verify(storage, [after, before], [(await redis.get(HEAD)).decode()])
    assert (found.problems, found.entries) == ([], 6)


async def test_old_entries_are_deleted_and_the_proof_stays(log: Log, folder: Path):
    await log.seal(3, days_ago=500)
    await log.seal(2, days_ago=450)
    await log.seal(2)
    sealer = await log.sealer()
    await log.write(1)
    await sealer.seal(now=True)
    assert await log.numbers() == [5, 6, 7]
    found = await log.verify()
    assert (found.problems, found.deleted) == ([], 6)  # with the entry about the first deletion
    _segments(folder)[0].unlink()
    assert (await log.verify()).problems != []


async def test_the_witness_gets_each_checkpoint(log: Log, redis: Client, tmp_path: Path):
    place = tmp_path / "seen"
    command = ("sh", "-c", f"cat >> {place}")
    witness = Witness(redis, None, command)
    changed = {"audit_witness_command": command}
    for _ in range(2):
        await log.write(1)
        await (await log.sealer(**changed)).seal(now=True)
    await Witness(redis, None, ("false",)).send()  # does not take it
    await witness.send()
    await witness.send()
    notes = place.read_text("utf-8").split("finetuned-audit-")
    assert (await redis.get(HEAD)).decode() in place.read_text("utf-8")
    assert len(notes) == 5  # each note has the name twice


async def test_export_as_json_lines_and_to_a_collector(log: Log, redis: Client, storage: Storage):
    await log.seal(2)
    await log.write(1)
    received: list[dict[str, Any]] = []

    async def logs(request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer x"
        received.append(await request.json())
        return web.json_response({})

    collector = web.Application()
    collector.router.add_post("/v1/logs", logs)
    runner = web.AppRunner(collector)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    headers = {"authorization": "Bearer x"}
    try:
        found = export.entries(storage, redis, Filters())
        assert await export.send(found, url, headers, "1") == 3
    finally:
        await runner.cleanup()
    [resource] = received[0]["resourceLogs"]
    records = resource["scopeLogs"][0]["logRecords"]
    assert [record["eventName"] for record in records] == ["file.deleted"] * 3
    attributes = {one["key"]: one["value"] for one in records[0]["attributes"]}
    assert attributes["audit.objects"] == {"arrayValue": {"values": [{"stringValue": "file-0"}]}}
    assert attributes["audit.actor.id"] == {"stringValue": "key_a"}
    found = export.entries(storage, redis, Filters())
    with pytest.raises(export.NotTaken):
        await export.send(found, f"http://127.0.0.1:{free_port()}", {}, "1")
    await found.aclose()


async def test_commands(log: Log, settings: Settings, folder: Path, monkeypatch, tmp_path: Path):
    await log.seal(2)
    monkeypatch.setenv("FINETUNED_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("FINETUNED_STORAGE_URL", settings.storage_url)

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["audit", *words])

    key = await asyncio.to_thread(run, "key")
    path = tmp_path / "key.pem"
    path.write_text(key.stdout, "utf-8")
    whole = await asyncio.to_thread(run, "verify", "--key", str(path))
    assert (whole.exit_code, "2 entries" in whole.stdout) == (0, True), whole.output
    lines = (await asyncio.to_thread(run, "export")).stdout.splitlines()
    assert [json.loads(line)["objects"] for line in lines[:2]] == [["file-0"], ["file-1"]]
    _segments(folder)[0].unlink()
    assert (await asyncio.to_thread(run, "verify")).exit_code == 5


async def test_what_is_not_sealed_is_told_although_nobody_can_seal_it(
    log: Log, redis: Client, storage: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    await log.write(2)
    await reply(redis.rpush(WITNESSED, "a checkpoint"))

    async def full(*_: object) -> None:
        raise StorageError("no space left in storage")

    monkeypatch.setattr(storage, "put_bytes", full)
    late = settings.model_copy(update={"audit_seal_every_s": -60.0})
    for metric in (metrics.AUDIT_UNSEALED, metrics.AUDIT_OVERDUE, metrics.AUDIT_TO_WITNESS):
        metric.cell().set(0)
    keeping = asyncio.create_task(Keeper(redis, storage, late).run())
    async with asyncio.timeout(60):
        while metrics.AUDIT_OVERDUE.cell().value < 60:
            await asyncio.sleep(0.01)
    await tasks.end(keeping)
    assert metrics.AUDIT_UNSEALED.cell().value == 2
    assert metrics.AUDIT_TO_WITNESS.cell().value == 1
    assert 60 <= metrics.AUDIT_OVERDUE.cell().value < 3600


async def test_the_worker_seals_and_keys_made_on_the_server_are_recorded(
    redis: Client, storage: Storage, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FINETUNED_REDIS_URL", settings.redis_url.get_secret_value())
    await key_tasks.create_key(None, "clinic", "pipeline", "trainer")
    soon = settings.model_copy(update={"audit_seal_every_s": 0.001})
    keeping = asyncio.create_task(Keeper(redis, storage, soon).run())
    async with asyncio.timeout(60):
        while await redis.get(HEAD) is None:
            await asyncio.sleep(0.01)
    await tasks.end(keeping)
    found = await AuditLog(redis, storage).find(Filters(), after=None, before=None, limit=9)
    created = [(entry.type, entry.actor.kind) for entry in found.entries]
    assert created == [("api_key.created", "operator"), ("project.created", "operator")]
