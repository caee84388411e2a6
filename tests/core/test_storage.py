"""Artifacts are whole or not there, and what comes back is what was written."""

from __future__ import annotations

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
