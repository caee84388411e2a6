"""Entries that are sealed in storage, and what a verification finds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from typer.testing import CliRunner

from service.audit import export
from service.audit.checkpoints import BadCheckpoint, Checkpoint, Edge, digest_of, sign_checkpoint
from service.audit.sealer import HEAD, WITNESSED, Overtaken, Sealer
from service.audit.sealing_loop import SealingLoop, Witness
from service.audit.search import AuditLog, Filters
from service.audit.stored_log import FOLDER, HEADS, LogFolder, day_of, earlier_keys
from service.audit.verify import Findings, KeyMissing, verify
from service.cli import keys
from service.cli.app import app as cli
from service.config import Settings
from service.core import clock, metrics, tasks
from service.core.encryption.master import LocalMasterKey, new_key
from service.core.encryption.signing import InstallationKey, SigningKey, SigningKeyError
from service.core.redis import Client, reply
from service.core.redis.transactions import write_once
from service.core.storage import Storage, StorageError
from service.erasure.receipts import PURPOSE, SIGNED
from service.standalone.services import free_port
from service.web import audit_trail
from service.web.audit_events import OF_THE_LOG, AuditEvent
from service.web.audit_trail import SYSTEM, Actor, Entry


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.from_url(settings.storage_url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage" / FOLDER


class Log:
    """An audit log with a sealer, whose entries have the numbers 0, 1, 2, …"""

    def __init__(self, redis: Client, storage: Storage, settings: Settings) -> None:
        self.redis, self.storage, self.settings = redis, storage, settings
        self.written = 0

    async def write(self, count: int, *, days_ago: float = 0) -> None:
        for _ in range(count):
            at = clock.now() - days_ago * 24 * 3600
            entry = Entry(
                id=audit_trail.new_id(at),
                at=at,
                type=AuditEvent.FILE_DELETED,
                actor=Actor("api_key", "key_a", "proj_a", "member"),
                outcome="applied",
                project_id="proj_a",
                objects=(f"file-{self.written}",),
            )
            self.written += 1
            await write_once(self.redis, partial(audit_trail.append, entry=entry))

    async def sealer(self, **changed: Any) -> Sealer:
        settings = self.settings.model_copy(update=changed)
        sealer = SealingLoop(self.redis, self.storage, settings).sealer()
        await sealer.resume()
        return sealer

    async def seal(self, count: int, **changed: Any) -> None:
        await self.write(count)
        await (await self.sealer(**changed)).seal(now=True)

    async def verify(self, *known: str, **days: int) -> Findings:
        key = InstallationKey(self.settings.signing_key).get()
        head = await self.redis.get(HEAD)
        notes = [*known, *([head.decode()] if head else [])]
        return await verify(self.storage, [key.public], notes, **days)

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


def test_the_tree_matches_rfc_6962():
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
    [(_, fields)] = await redis.xrange(audit_trail.STREAM)
    await redis.xadd(audit_trail.STREAM, fields)
    sealer = await log.sealer()
    assert await sealer.seal(now=True) == 1
    await redis.xadd(audit_trail.STREAM, fields)
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
    shutil.rmtree(folder)
    shutil.rmtree(folder.with_name(HEADS))
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
    assert await redis.xlen(audit_trail.STREAM) == 0


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


async def test_the_log_continues_after_a_loss_of_redis(log: Log, redis: Client):
    """The journal restores an older state, in which sealed entries are in the stream again."""
    await log.seal(2)
    await log.write(2)
    older = await redis.xrange(audit_trail.STREAM)
    await log.seal(1)
    await redis.flushdb()
    for _, fields in older:
        await redis.xadd(audit_trail.STREAM, fields)
    await log.seal(1)
    assert await log.numbers() == list(range(6))
    found = await log.verify()
    assert (found.problems, found.entries) == ([], 6)


async def test_the_log_continues_with_another_key(log: Log, redis: Client, storage: Storage):
    await log.seal(2)
    before = InstallationKey(log.settings.signing_key).get()
    log.settings.signing_key.write_bytes(SigningKey.generate().pem)
    await log.seal(1)
    assert (await log.verify()).problems != []
    after = InstallationKey(log.settings.signing_key).get()
    found = await verify(storage, [after.public, before.public])
    assert (found.problems, found.entries) == ([], 3)


async def test_a_worker_without_the_key_makes_one_only_for_a_new_log(log: Log):
    file = log.settings.signing_key
    file.unlink()
    await log.seal(1)
    assert (await log.verify()).problems == []
    other = {"signing_key_file": file.with_name("other.pem")}
    with pytest.raises(SigningKeyError, match=r"other\.pem cannot be read"):
        await log.sealer(**other)
    assert not other["signing_key_file"].exists()


class Past:
    """Lets tests seal entries some days ago."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def be(self, days_ago: float) -> None:
        at = time.time() - days_ago * 24 * 3600
        self._monkeypatch.setattr(clock, "now", lambda: at)


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> Past:
    return Past(monkeypatch)


@pytest.fixture
async def aged(log: Log, past: Past) -> Log:
    """A log with entries of three days, of which 3 and 2 are older than they are kept."""
    for days_ago, count in ((500, 3), (450, 2), (0, 2)):
        past.be(days_ago)
        await log.seal(count, audit_kept_days=0)
    return log


async def test_old_entries_are_deleted_and_the_proof_stays(aged: Log, folder: Path):
    await aged.seal(1)
    assert await aged.numbers() == [5, 6, 7]
    found = await aged.verify()
    assert (found.problems, found.deleted) == ([], 5)
    assert found.newest is not None
    assert (found.newest.pruned, found.newest.kept_days) == (5, 400)
    _segments(folder)[0].unlink()
    assert "entries 5 to 6 are missing" in "\n".join((await aged.verify()).problems)


async def test_only_the_age_at_which_an_entry_was_sealed_decides_its_deletion(log: Log):
    """Who can write to Redis can date an entry back, which is then the first of a day long ago."""
    await log.write(1, days_ago=500)
    await log.seal(2)
    await log.seal(1)
    await log.seal(1)
    assert sorted(await log.numbers()) == list(range(5))
    assert (await log.verify()).deleted == 0


@pytest.mark.parametrize("what", ["nothing", "a copy"])
async def test_a_forged_checkpoint_deletes_no_young_entries(
    aged: Log, folder: Path, what: str, caplog: pytest.LogCaptureFixture
):
    """A copy of an old checkpoint makes others seem old."""
    await aged.seal(1, audit_kept_days=0)
    notes = sorted(folder.glob("*/*/checkpoint"))
    notes[2].write_text("x" if what == "nothing" else notes[0].read_text("utf-8"), "utf-8")
    await aged.seal(1)
    assert await aged.numbers() == list(range(9))
    assert "are not deleted" in caplog.text


@pytest.mark.parametrize("which", [slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 3)])
async def test_an_unsigned_entry_hides_no_deletion(
    log: Log, redis: Client, folder: Path, which: slice
):
    """Anyone who can write to Redis can write an entry of any type and actor to the stream."""
    for _ in range(3):
        await log.seal(2)
    at = clock.now()
    counts = {"entries": 10_000}
    for type_ in OF_THE_LOG:
        forged = Entry(audit_trail.new_id(at), at, type_, SYSTEM, "applied", counts=counts)
        await write_once(redis, partial(audit_trail.append, entry=forged))
    before = _segments(folder)
    assert len(await log.numbers()) == 6
    await log.seal(1)
    for path in before[which]:
        path.unlink()
    found = await AuditLog(redis, log.storage).find(Filters(), after=None, before=None, limit=99)
    assert {entry.type for entry in found.entries} == {AuditEvent.FILE_DELETED}
    problems = (await log.verify()).problems
    assert len(problems) == len(before[which]), problems
    assert all("missing" in problem for problem in problems)


_STRANGE = """{"id": "audit_log-x", "at": 1, "type": "x",
"actor": {"kind": "system"}, "outcome": "applied"}"""


@pytest.mark.parametrize(
    "fields",
    [
        {"entry": "{}"},
        {"entry": b"\xff"},
        {"other": "x"},
        {"entry": _STRANGE},
        {"entry": _STRANGE.replace("\n", "").replace("1,", "1e300,")},
    ],
)
async def test_invalid_entries_are_skipped(
    log: Log, redis: Client, storage: Storage, fields: dict[Any, Any]
):
    await redis.xadd(audit_trail.STREAM, fields)
    await log.write(1)
    assert await log.numbers() == [0]
    assert len([entry async for entry in export.entries(storage, redis, Filters())]) == 1
    await (await log.sealer()).seal(now=True)
    found = await log.verify()
    assert (found.problems, found.entries, await redis.xlen(audit_trail.STREAM)) == ([], 1, 0)


async def test_a_shorter_retention_is_signed_and_named(aged: Log, past: Past):
    """An entry that had to be kept longer may be missing only after the log says otherwise."""
    await aged.seal(1)
    past.be(-40)
    await aged.seal(1, audit_kept_days=30)
    found = await aged.verify()
    assert (found.problems, found.deleted) == ([], 10)
    assert "entries are kept for 30 days instead of for 400 days" in found.notes[-1]
    events = await AuditLog(aged.redis, aged.storage).find(
        Filters(event_types=frozenset({AuditEvent.RETENTION_UPDATED})),
        after=None,
        before=None,
        limit=9,
    )
    assert events.entries[0].counts == {"days_before": 400, "days": 30}
    short = (await aged.verify(least_days=400)).problems
    assert "had to be kept for 400 days" in "\n".join(short)


async def test_a_signed_deletion_covers_only_what_it_names(aged: Log, folder: Path, past: Past):
    """Neither a checkpoint that is repeated nor one with false ages hides a deletion."""
    await aged.seal(1)
    statement = sorted(folder.glob("*/*/checkpoint"))[-1].read_bytes()
    await aged.seal(1)
    note = sorted(folder.glob("*/*/checkpoint"))[-1]
    kept = note.read_bytes()
    note.write_bytes(statement)  # an older one, signed
    assert (await aged.verify()).problems != []
    note.write_bytes(kept)
    assert (await aged.verify()).problems == []

    # Anyone who has the key can sign that young entries were old, but not their age.
    head = Checkpoint.parse(kept.decode())
    key = InstallationKey(aged.settings.signing_key).get()
    lie = sign_checkpoint(replace(head, pruned=7), key)
    for path in (note, folder.with_name(HEADS) / f"{head.number:012}"):
        path.write_text(lie)
    await aged.redis.set(HEAD, lie)
    assert (await aged.verify()).problems == []
    _segments(folder)[0].unlink()
    assert "when they were deleted as too old" in (await aged.verify()).problems[0]


def _roll_back(folder: Path, what: set[str]) -> None:
    """Delete the newest of what was sealed."""
    if "entries" in what:
        shutil.rmtree(_segments(folder)[-1].parent)
    if "head" in what:
        sorted(folder.with_name(HEADS).iterdir())[-1].unlink()


@pytest.mark.parametrize("what", [{"entries"}, {"head"}, {"redis"}, {"entries", "redis"}])
async def test_a_rollback_is_detected(
    log: Log, redis: Client, folder: Path, what: set[str], caplog: pytest.LogCaptureFixture
):
    await log.seal(2)
    older = await redis.get(HEAD)
    await log.seal(2)
    _roll_back(folder, what)
    if "redis" in what:
        await redis.set(HEAD, older)
    assert bool((await log.verify()).problems) == (what != {"redis"})
    await log.seal(1)
    # A head alone is written again: a backup that was made at that moment lacks it.
    assert bool((await log.verify()).problems) == ("entries" in what)
    assert ("was rolled back" in caplog.text) == ("entries" in what)
    found = await AuditLog(redis, log.storage).find(Filters(), after=None, before=None, limit=9)
    noted = AuditEvent.ROLLED_BACK in {entry.type for entry in found.entries}
    assert noted == ("entries" in what)
    assert len(list(folder.with_name(HEADS).iterdir())) == 3


async def test_without_a_witness_the_newest_head_can_be_deleted(
    log: Log, redis: Client, folder: Path
):
    """Which docs/audit.md says, and a checkpoint of a witness shows."""
    await log.seal(2)
    older = await redis.get(HEAD)
    await log.seal(2)
    seen = (await redis.get(HEAD)).decode()
    _roll_back(folder, {"entries", "head"})
    await redis.set(HEAD, older)
    assert (await log.verify()).problems == []
    assert (await log.verify(seen)).problems != []


async def test_a_missing_head_is_detected(log: Log, folder: Path):
    for _ in range(3):
        await log.seal(1)
    (folder.with_name(HEADS) / f"{2:012}").unlink()
    [problem] = (await log.verify()).problems
    assert f"{HEADS}/{2:012}" in problem


@pytest.mark.parametrize("what", ["nothing", "the head before"])
async def test_a_head_of_another_program_is_not_replaced(log: Log, folder: Path, what: str):
    await log.seal(1)
    await log.write(1)
    first, other = (folder.with_name(HEADS) / f"{number:012}" for number in (1, 2))
    other.write_text("x" if what == "nothing" else first.read_text("utf-8"), "utf-8")
    with pytest.raises(BadCheckpoint, match="remove it if another program"):
        await (await log.sealer()).seal(now=True)
    assert (await log.verify()).problems != []
    assert await log.numbers() == [0, 1]
    assert len(_segments(folder)) == 1
    other.unlink()
    await log.seal(1)
    assert (await log.verify()).problems == []


async def test_a_later_number_does_not_hide_the_newest_head(
    log: Log, redis: Client, folder: Path, caplog: pytest.LogCaptureFixture
):
    await log.seal(2)
    older = await redis.get(HEAD)
    await log.seal(2)
    (folder.with_name(HEADS) / f"{9:012}").write_text("x")
    _roll_back(folder, {"entries"})
    await redis.set(HEAD, older)
    await log.seal(1)
    assert "was rolled back" in caplog.text
    assert (await log.verify()).problems != []


async def test_a_file_with_the_name_of_the_newest_changes_no_older_checkpoint(
    log: Log, folder: Path
):
    await log.seal(2)
    await log.seal(2)
    first, newest = _segments(folder)
    planted = first.with_name(newest.name)
    shutil.copy(newest, planted)
    await log.seal(1)
    [problem] = (await log.verify()).problems
    assert f"has a file that is not part of the log: {newest.name}" in problem
    planted.unlink()
    assert (await log.verify()).problems == []


async def test_a_forged_checkpoint_in_redis_is_not_continued(log: Log, redis: Client):
    await log.seal(2)
    head = Checkpoint.parse((await redis.get(HEAD)).decode())
    forged = replace(head, number=9, time=head.time + 1)
    await redis.set(HEAD, sign_checkpoint(forged, SigningKey.generate()))
    await log.seal(1)
    found = await log.verify()
    assert (found.problems, found.entries) == ([], 3)
    assert found.newest is not None
    assert found.newest.number == 2


class Older:
    """Seals entries as version 0.2.0 did: without heads, and with a key that is in Redis."""

    def __init__(self, log: Log) -> None:
        self._log, self._edge = log, Edge()
        self.key = SigningKey.generate()

    async def seal(self, *more: Entry) -> None:
        """Seal two entries, and these."""
        log = self._log
        await log.write(2)
        lines = [fields[b"entry"] for _, fields in await log.redis.xrange(audit_trail.STREAM)]
        lines += [entry.encode() for entry in more]
        await log.redis.delete(audit_trail.STREAM)
        folder = LogFolder(day_of(audit_trail.decode(lines[0]).at), self._edge.size)
        segment = f"x{self._edge.size}.jsonl"
        self._edge.add(lines)
        checkpoint = Checkpoint(
            "finetuned-audit-x",
            self._edge.size,
            self._edge.root(),
            clock.now_s(),
            segment,
            digest_of(lines),
            tuple(self._edge.hashes),
        )
        note = sign_checkpoint(checkpoint, self.key)
        await log.storage.put_bytes(folder.key(segment), b"".join(line + b"\n" for line in lines))
        await log.storage.put_bytes(folder.key("checkpoint"), note.encode())
        await log.redis.set(HEAD, note)
        await log.redis.set("finetuned:signing-key", self.key.pem)


async def test_a_key_in_redis_is_replaced_and_still_verifies_what_it_signed(
    log: Log, redis: Client, storage: Storage
):
    """All processes could read the key of version 0.2.0. What it signs later is not believed."""
    older = Older(log)
    await older.seal()
    await older.seal()
    assert (await verify(storage, [older.key.public])).problems == []
    await (await log.sealer()).seal()  # although nothing is due
    assert await redis.get("finetuned:signing-key") is None
    found = await log.verify()
    assert (found.problems, found.entries) == ([], 5)
    filters = Filters(event_types=frozenset({AuditEvent.SIGNING_KEY_REPLACED}))
    page = await AuditLog(redis, storage).find(filters, after=None, before=None, limit=9)
    new = InstallationKey(log.settings.signing_key).get().public
    assert page.entries[0].objects == (older.key.public.id, new.id)
    assert [key.id for key in await earlier_keys(storage, [new])] == [older.key.public.id]
    await asyncio.to_thread(_verify_receipt_of, older.key, log.settings)

    await redis.set("finetuned:signing-key", SigningKey.generate().pem)  # later: of somebody else
    await log.seal(1)
    assert await redis.get("finetuned:signing-key") is None
    assert (await log.verify()).problems == []
    await older.seal()  # anyone who has read the older key
    assert (await log.verify()).problems != []


def _verify_receipt_of(key: SigningKey, settings: Settings) -> None:
    """A receipt that was signed with an earlier key is still valid."""
    content = {name: [] if name in {"folders", "objects"} else "x" for name in SIGNED}
    receipt = settings.data_dir / "receipt.json"
    signature = msgspec.to_builtins(key.sign(PURPOSE, content))
    receipt.write_text(json.dumps({**content, "signature": signature}))
    env = {
        "FINETUNED_STORAGE_URL": settings.storage_url,
        "FINETUNED_DATA_DIR": str(settings.data_dir),
    }
    done = CliRunner().invoke(cli, ["erasure", "verify", str(receipt)], env=env)
    assert (done.exit_code, "x is valid" in done.output) == (0, True), done.output


async def test_deletions_of_version_0_2_are_accepted_if_the_entries_were_old(
    log: Log, folder: Path, past: Past
):
    older = Older(log)
    for days_ago in (500, 450, 300):
        past.be(days_ago)
        await older.seal()
    past.be(0)
    at = clock.now()
    pruned = Entry(
        audit_trail.new_id(at), at, AuditEvent.PRUNED, SYSTEM, "applied", counts={"entries": 6}
    )
    await older.seal(pruned)
    segments = _segments(folder)
    for path in segments[:2]:
        path.unlink()
    for seal in (False, True):
        if seal:
            await log.seal(1)
        found = (
            await log.verify(unstated_days=400)
            if seal
            else await verify(log.storage, [older.key.public], unstated_days=400)
        )
        assert (found.problems, found.deleted) == ([], 4)
    segments[2].unlink()
    assert "entries 4 to 5 are missing" in "\n".join((await log.verify(unstated_days=400)).problems)


async def test_on_an_encrypted_installation_the_missing_key_is_named(
    log: Log, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without the master key nobody can say whether the log was changed."""
    master = LocalMasterKey.parse(new_key(), "test")
    plain, log.storage = log.storage, Storage.from_url(settings.storage_url, master_key=master)
    await log.seal(2)
    assert (await log.verify()).problems == []
    log.storage = plain
    with pytest.raises(KeyMissing, match="FINETUNED_ENCRYPTION_KEY_FILE"):
        await log.verify()
    monkeypatch.setenv("FINETUNED_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("FINETUNED_STORAGE_URL", settings.storage_url)
    monkeypatch.setenv("FINETUNED_DATA_DIR", str(settings.data_dir))
    words = ["audit", "verify"]
    done = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert (done.exit_code, "was not verified" in done.output) == (3, True), done.output
    bad = {"FINETUNED_ENCRYPTION_KEY": "x"}
    done = await asyncio.to_thread(CliRunner().invoke, cli, words, env=bad)
    assert done.exit_code == 3, done.output
    other = LocalMasterKey.parse(new_key(), "test")
    log.storage = Storage.from_url(settings.storage_url, master_key=other)
    with pytest.raises(KeyMissing):
        await log.verify()
    log.storage = Storage.from_url(settings.storage_url, master_key=master)
    segment = _segments(folder)[0]
    segment.write_bytes(segment.read_bytes()[:-1])
    assert "cannot be read" in (await log.verify()).problems[0]
    # An object that only looks encrypted is a change.
    (folder.parent / "keys" / "installation.json").unlink()
    log.storage = plain
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
    with pytest.raises(export.ExportRejected):
        await export.send(found, f"http://127.0.0.1:{free_port()}", {}, "1")
    await found.aclose()


async def test_commands(log: Log, settings: Settings, folder: Path, monkeypatch, tmp_path: Path):
    await log.seal(2)
    monkeypatch.setenv("FINETUNED_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("FINETUNED_STORAGE_URL", settings.storage_url)
    monkeypatch.setenv("FINETUNED_DATA_DIR", str(settings.data_dir))

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
    settings.signing_key.unlink()
    without = await asyncio.to_thread(run, "verify")
    assert (without.exit_code, "--key" in without.output) == (3, True), without.output


async def test_unsealed_entries_are_measured_even_without_a_sealer(
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
    keeping = asyncio.create_task(SealingLoop(redis, storage, late).run())
    async with asyncio.timeout(60):
        while metrics.AUDIT_OVERDUE.cell().value < 60:
            await asyncio.sleep(0.01)
    await tasks.end(keeping)
    assert metrics.AUDIT_UNSEALED.cell().value == 2
    assert metrics.AUDIT_TO_WITNESS.cell().value == 1
    assert 60 <= metrics.AUDIT_OVERDUE.cell().value < 3600


async def test_the_worker_seals_and_keys_made_on_the_server_are_recorded(
    redis: Client,
    storage: Storage,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("FINETUNED_REDIS_URL", settings.redis_url.get_secret_value())
    await keys.create_key(None, "clinic", "pipeline", "trainer")
    soon = settings.model_copy(update={"audit_seal_every_s": 0.001})
    keeping = asyncio.create_task(SealingLoop(redis, storage, soon).run())
    async with asyncio.timeout(60):
        while await redis.get(HEAD) is None:
            await asyncio.sleep(0.01)
    await tasks.end(keeping)
    assert caplog.text.count("set FINETUNED_AUDIT_WITNESS_URL") == 1
    found = await AuditLog(redis, storage).find(Filters(), after=None, before=None, limit=9)
    created = [(entry.type, entry.actor.kind) for entry in found.entries]
    assert created == [("api_key.created", "operator"), ("project.created", "operator")]
