"""Tests of uploads: parallel, resumed and verified, over connections that are really cut."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import finetuned
import pytest

from tests.clients.python.relay import relayed
from tests.conftest import Api

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of slightly more than five MiB."""
    path = tmp_path / "rows.bin"
    path.write_bytes(os.urandom(5 * MIB + 17))
    return path


async def test_parts_go_out_and_come_together(client, rows):
    told: list[finetuned.Progress] = []
    file = await client.files.create(
        rows, purpose="user_data", part_bytes=MIB, concurrency=3, on_progress=told.append
    )
    assert file.filename == "rows.bin"
    assert await client.files.content(file.id) == rows.read_bytes()
    assert [p.sent_bytes for p in told] == sorted(p.sent_bytes for p in told)
    assert told[-1] == finetuned.Progress(rows.stat().st_size, rows.stat().st_size, 0)
    assert len(told) == 6


async def test_threads_do_the_same(sync_client, rows):
    def go() -> bytes:
        file = sync_client.files.create(rows, purpose="user_data", part_bytes=MIB)
        assert sync_client.files.download(file.id, rows.with_name("copy")).stat().st_size > 0
        return sync_client.files.content(file.id)

    assert await asyncio.to_thread(go) == rows.read_bytes()
    assert rows.with_name("copy").read_bytes() == rows.read_bytes()
    assert not list(rows.parent.glob(".finetuned-*"))


async def test_equal_parts_are_kept_apart(client):
    data = b"\0" * (3 * MIB)
    file = await client.files.create(
        data, filename="zeros", purpose="user_data", part_bytes=MIB, concurrency=3
    )
    assert await client.files.content(file.id) == data


async def test_cut_connection_is_mended_within_the_upload(api: Api, key, rows):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url) as client,
    ):
        relay.cut_after_up = int(2.5 * MIB)
        file = await client.files.create(rows, purpose="user_data", part_bytes=MIB, concurrency=2)
        assert relay.cut_after_up is None
        assert relay.up_bytes < 2 * rows.stat().st_size
        assert await client.files.content(file.id) == rows.read_bytes()


@pytest.mark.parametrize("parts", ["different", "equal"])
async def test_new_process_goes_on_where_the_last_was(api: Api, key, rows, home, parts):
    size = rows.stat().st_size
    if parts == "equal":  # each existing part counts once
        rows.write_bytes(b"\0" * size)
    async with relayed(api.base_url) as relay:

        def client() -> finetuned.AsyncClient:
            return finetuned.AsyncClient(api_key=key, base_url=relay.url, max_retries=0)

        async with client() as first:
            relay.cut_after_up = int(3.5 * MIB)
            with pytest.raises(finetuned.ConnectionFailed):
                await first.files.create(rows, purpose="user_data", part_bytes=MIB, concurrency=1)
        notes = list((home / ".local/state/finetuned/uploads").iterdir())
        assert len(notes) == 1
        assert notes[0].stat().st_mode & 0o777 == 0o600
        assert key not in notes[0].read_text()

        told: list[finetuned.Progress] = []
        relay.up_bytes = 0
        async with client() as second:
            file = await second.files.create(
                rows, purpose="user_data", part_bytes=MIB, on_progress=told.append
            )
            assert told[-1] == finetuned.Progress(size, size, 3 * MIB)
            assert relay.up_bytes < size - 3 * MIB + 20_000
            assert await second.files.content(file.id) == rows.read_bytes()
            listed = [f.id async for f in second.files.list()]
    assert listed == [file.id]
    assert list((home / ".local/state/finetuned/uploads").iterdir()) == []


async def test_old_notes_are_dropped(client, rows, home):
    folder = home / ".local/state/finetuned/uploads"
    folder.mkdir(parents=True)
    old, young = folder / "old.json", folder / "young.json"
    for note in (old, young):
        note.write_text("{}")
    os.utime(old, (1, 1))
    await client.files.create(rows, purpose="user_data")
    assert list(folder.iterdir()) == [young]


async def test_answer_of_complete_that_was_lost_makes_no_second_file(api: Api, key, rows):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url, max_retries=0) as client,
    ):
        begun = await client.uploads.create(
            filename="a", purpose="user_data", bytes=6, mime_type="text/plain"
        )
        part = await client.uploads.parts.create(begun.id, b"abcdef")
        relay.cut_after_down = relay.down_bytes + 1
        with pytest.raises(finetuned.ConnectionFailed):
            await client.uploads.complete(begun.id, part_ids=[part.id])
        done = await client.uploads.complete(begun.id, part_ids=[part.id])
        assert done.file is not None
        assert [f.id async for f in client.files.list()] == [done.file.id]


async def test_file_that_changes_meanwhile_is_refused(client, rows, home):
    def grow(_: finetuned.Progress) -> None:
        os.utime(rows, (1, 1))

    with pytest.raises(finetuned.UploadFailed, match=r"rows\.bin changed"):
        await client.files.create(rows, purpose="user_data", part_bytes=MIB, on_progress=grow)
    assert [f async for f in client.files.list()] == []
    assert list((home / ".local/state/finetuned/uploads").iterdir()) == []


async def test_damaged_parts_are_found_by_the_md5(client):
    begun = await client.uploads.create(
        filename="a", purpose="user_data", bytes=6, mime_type="text/plain"
    )
    part = await client.uploads.parts.create(begun.id, b"abcdef")
    assert part.md5 == hashlib.md5(b"abcdef").hexdigest()
    with pytest.raises(finetuned.BadRequest) as caught:
        await client.uploads.complete(
            begun.id, part_ids=[part.id], md5=hashlib.md5(b"abcdeF").hexdigest()
        )
    assert (caught.value.code, caught.value.param) == ("wrong_md5", "md5")
    assert (await client.uploads.cancel(begun.id)).status == "cancelled"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/nowhere/at-all", "cannot be read"),
        ("/", "is not a file"),
        (b"abc", "need a file name"),
        ("/dev/null", "not a file|is empty"),
    ],
)
async def test_what_cannot_be_sent_is_told(client, source, told):
    with pytest.raises(finetuned.BadRequest, match=told):
        await client.files.create(source)


async def test_download_cut_short_leaves_nothing(api: Api, key, rows, tmp_path):
    async with (
        relayed(api.base_url) as relay,
        finetuned.AsyncClient(api_key=key, base_url=relay.url, max_retries=0) as client,
    ):
        file = await client.files.create(rows, purpose="user_data")
        relay.cut_after_down = relay.down_bytes + 2 * MIB
        before = set(tmp_path.iterdir())
        with pytest.raises(finetuned.ConnectionFailed):
            await client.files.download(file.id, tmp_path / "copy")
        assert set(tmp_path.iterdir()) == before


async def test_the_same_bytes_are_found_again(client, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "a", "completion": "b"}\n')
    assert await client.files.find(path) is None
    as_told = {"columns": {"prompt": "prompt"}}
    await client.files.create(path, format=as_told)
    await client.files.create(path, purpose="user_data")
    await client.files.create(path, expires_after_s=3600)
    await client.files.create(b"b" * path.stat().st_size, filename="rows.jsonl")
    assert await client.files.find(path) is None
    file = await client.files.create(path, filename="other.jsonl")
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    for source in (path, path.read_bytes()):
        found = await client.files.find(source)
        assert found is not None
        assert found.id == file.id
