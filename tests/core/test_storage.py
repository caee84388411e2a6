"""Tests of storage: artifacts are complete or absent, synced to the disk, and read unchanged."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.core.storage import (
    MANIFEST,
    Storage,
    StorageCorrupt,
    StorageError,
    StorageFull,
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


async def test_changed_bytes_are_detected_and_nothing_is_left(storage, folder, tmp_path):
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


async def test_part_of_a_folder_can_be_written(storage, folder):
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


async def test_errors_contain_no_local_path(storage, tmp_path):
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


async def test_storage_without_patience_fails_at_once_and_missing_is_no_outage(tmp_path):
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


A, B = os.urandom(3 * 1024 * 1024 + 7), b"the end"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, int]]:
    """The path and the size of everything that is synced, in order."""
    found: list[tuple[Path, int]] = []
    fsync: Callable[[int], None] = os.fsync

    def noting(handle: int) -> None:
        fsync(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        found.append((path, path.stat().st_size if path.is_file() else 0))

    monkeypatch.setattr(os, "fsync", noting)
    return found


async def put_bytes(storage: Storage, key: str) -> None:
    await storage.put_bytes(key, A)


async def put_file(storage: Storage, key: str) -> None:
    local = Path(str(storage.folder)).with_name("local")
    local.write_bytes(A)
    await storage.put_file(key, local)


async def write(storage: Storage, key: str) -> None:
    async with await storage.writer(key) as writer:
        await writer.write(A)


async def copy(storage: Storage, key: str) -> None:
    await storage.put_bytes("source", A)
    await storage.copy("source", key)


async def join(storage: Storage, key: str) -> None:
    await storage.put_bytes("source", A)
    await storage.join(["source"], key, [])


@pytest.mark.parametrize("put", [put_bytes, put_file, write, copy, join])
async def test_objects_and_their_folders_are_synced(storage, root, synced, put):
    await put(storage, "proj_a/files/f/content")
    f = root / "proj_a/files/f"
    expected = [f / "content", f, f.parent, f.parent.parent, root]
    assert [path for path, _ in synced[-5:]] == expected
    assert synced[-5][1] == len(A), "it was synced before it was complete"


async def test_a_probe_syncs_nothing(storage, synced):
    await storage.check()
    assert synced == []


async def test_a_disk_that_fills_while_syncing_leaves_no_object(storage, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        await write(storage, "x")
    assert await storage.keys("") == []


async def test_a_folder_that_disappears_before_the_sync_is_an_outage(storage, root, monkeypatch):
    fsync: Callable[[int], None] = os.fsync
    away = root.with_name("away")

    def vanish(handle: int) -> None:
        fsync(handle)
        monkeypatch.setattr(os, "fsync", fsync)
        root.rename(away)

    monkeypatch.setattr(os, "fsync", vanish)
    with pytest.raises(StorageError) as failure:
        await storage.put_bytes("x/y", A)
    assert not isinstance(failure.value, StorageMissing), "it would not be tried again"


async def test_parts_are_joined_and_hashed(storage):
    await storage.put_bytes("parts/a", A)
    await storage.put_bytes("parts/b", B)
    await storage.put_bytes("parts/empty", b"")
    digest, sources = hashlib.sha256(), ["parts/b", "parts/empty", "parts/a", "parts/b"]
    assert await storage.join(sources, "whole", [digest]) == len(B + A + B)
    assert await storage.get_bytes("whole") == B + A + B
    assert digest.digest() == hashlib.sha256(B + A + B).digest()
    assert await storage.get_bytes("parts/a") == A


async def test_a_missing_part_leaves_nothing(storage, root):
    await storage.put_bytes("parts/a", A)
    with pytest.raises(StorageMissing):
        await storage.join(["parts/a", "parts/b"], "whole/content", [hashlib.sha256()])
    assert await storage.keys("") == ["parts/a"]
    assert list(root.glob("whole/*")) == []


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EOPNOTSUPP])
async def test_file_systems_without_kernel_copies_work_too(storage, monkeypatch, code):
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    await storage.put_bytes("a", A)
    await storage.put_bytes("b", B)
    assert await storage.join(["a", "b", "a"], "whole", []) == len(A + B + A)
    assert await storage.get_bytes("whole") == A + B + A


async def test_a_single_part_is_linked_if_the_file_system_can(storage, root, monkeypatch):
    await storage.put_bytes("part", A)
    digest = hashlib.sha256()
    assert await storage.join(["part"], "linked", [digest]) == len(A)
    assert digest.digest() == hashlib.sha256(A).digest()
    assert (root / "linked").samefile(root / "part")
    await storage.delete("part")
    assert await storage.get_bytes("linked") == A

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert await storage.join(["linked"], "copied", []) == len(A)
    assert not (root / "copied").samefile(root / "linked")
    assert await storage.get_bytes("copied") == A


async def test_file_systems_that_cannot_sync_folders_work_too(storage, monkeypatch):
    fsync: Callable[[int], None] = os.fsync

    def refuse_folders(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    await write(storage, "x/y")
    assert await storage.get_bytes("x/y") == A


async def test_a_canceled_join_ends_before_its_request(storage, root):
    await storage.put_bytes("a", A)
    joining = asyncio.create_task(storage.join(["a"] * 50, "whole", [hashlib.sha256()]))
    await asyncio.sleep(0.001)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    before = sorted(root.iterdir())
    await asyncio.sleep(0.2)
    assert sorted(root.iterdir()) == before
    assert not (root / "whole#1").exists()
