"""Tests of storage: artifacts are complete or absent, and reads return what was written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.core.storage import (
    MANIFEST,
    Storage,
    StorageCorrupt,
    StorageError,
    StorageMissing,
)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.from_url((tmp_path / "storage").as_uri())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    (path / "deep").mkdir(parents=True)
    (path / "a.bin").write_bytes(b"a" * 3_000_000)
    (path / "deep" / "b.txt").write_text("b")
    return path


async def test_folder_comes_back_the_same(storage, folder, tmp_path):
    written = await storage.put_folder("x/y", folder, meta={"step": 3})
    read = await storage.get_folder("x/y", tmp_path / "back")
    assert read == written
    assert read.meta == {"step": 3}
    assert read.size == 3_000_001
    assert (tmp_path / "back" / "a.bin").read_bytes() == (folder / "a.bin").read_bytes()
    assert (tmp_path / "back" / "deep" / "b.txt").read_text() == "b"


async def test_folder_without_manifest_is_not_there(storage, folder, tmp_path):
    await storage.put_folder("x", folder)
    await storage.delete(f"x/{MANIFEST}")
    with pytest.raises(StorageMissing):
        await storage.get_folder("x", tmp_path / "back")
    assert not (tmp_path / "back").exists()


async def test_changed_bytes_are_noticed_and_nothing_is_left(storage, folder, tmp_path):
    await storage.put_folder("x", folder)
    await storage.put_bytes("x/a.bin", b"poison")
    with pytest.raises(StorageCorrupt):
        await storage.get_folder("x", tmp_path / "back")
    assert [p.name for p in tmp_path.iterdir() if "back" in p.name] == []


async def test_manifest_cannot_name_a_path_outside(storage, tmp_path):
    evil = b'{"files":[{"path":"../../evil","size":1,"sha256":"0"}],"meta":{}}'
    await storage.put_bytes(f"x/{MANIFEST}", evil)
    with pytest.raises(StorageError):
        await storage.get_folder("x", tmp_path / "deep" / "back")
    assert not (tmp_path / "evil").exists()


async def test_part_of_a_folder_can_be_put(storage, folder):
    manifest = await storage.put_folder("x", folder, only=lambda name: name.endswith(".txt"))
    assert [f.path for f in manifest.files] == ["deep/b.txt"]


async def test_failed_write_leaves_no_object(storage):
    async def fails() -> None:
        async with await storage.writer("x") as writer:
            await writer.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    with pytest.raises(StorageMissing):
        await storage.get_bytes("x")


async def test_delete_prefix_removes_all_below_and_nothing_else(storage, folder):
    await storage.put_folder("x/a", folder)
    await storage.put_bytes("x/ab", b"stays")
    await storage.delete_prefix("x/a")
    with pytest.raises(StorageMissing):
        await storage.manifest("x/a")
    assert await storage.get_bytes("x/ab") == b"stays"


async def test_errors_tell_no_local_path(storage, tmp_path):
    with pytest.raises(StorageMissing) as caught:
        await storage.get_bytes("nothing/here")
    assert str(tmp_path) not in str(caught.value)


def _away(tmp_path: Path) -> Path:
    """Make the folder unusable, like a lost mount: nothing below it can be read or created."""
    hidden = tmp_path / "hidden"
    (tmp_path / "storage").rename(hidden)
    (tmp_path / "storage").write_text("no folder")
    return hidden


def _back(tmp_path: Path, hidden: Path) -> None:
    (tmp_path / "storage").unlink()
    hidden.rename(tmp_path / "storage")


@pytest.mark.slow
async def test_patient_storage_outlasts_an_outage(tmp_path, folder):
    storage = Storage.from_url((tmp_path / "storage").as_uri(), patience_s=30)
    await storage.put_bytes("known", b"1")
    hidden = _away(tmp_path)
    writing = asyncio.create_task(storage.put_folder("x", folder))
    await asyncio.sleep(1)
    assert not writing.done()
    _back(tmp_path, hidden)
    await writing
    assert (await storage.get_folder("x", tmp_path / "back")).size == 3_000_001


async def test_impatient_storage_says_so_at_once_and_missing_is_no_outage(tmp_path):
    patient = Storage.from_url((tmp_path / "storage").as_uri(), patience_s=30)
    with pytest.raises(StorageMissing):
        async with asyncio.timeout(60):
            await patient.get_bytes("none")
    impatient = Storage.from_url((tmp_path / "storage").as_uri())
    hidden = _away(tmp_path)
    with pytest.raises(StorageError):
        async with asyncio.timeout(60):
            await impatient.put_bytes("x", b"1")
    _back(tmp_path, hidden)


async def test_links_do_not_lead_out_of_a_folder(storage, folder, tmp_path):
    (tmp_path / "secret").write_text("not for storage")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "deep" / "up").symlink_to(tmp_path)
    written = await storage.put_folder("x", folder)
    assert [entry.path for entry in written.files] == ["a.bin", "deep/b.txt"]
