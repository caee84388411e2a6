"""Tests that bytes are on the disk before a record says that they exist, and of joins."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.core.storage import Storage, StorageError, StorageFull, StorageMissing

A, B = os.urandom(3 * 1024 * 1024 + 7), b"the end"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def storage(root: Path) -> Storage:
    return Storage.from_url(root.as_uri())


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
async def test_what_is_written_and_its_folders_are_synced(storage, root, synced, put):
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


async def test_a_folder_that_goes_away_before_the_sync_is_an_outage(storage, root, monkeypatch):
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


async def test_folders_that_cannot_be_synced_are_no_failure(storage, monkeypatch):
    fsync: Callable[[int], None] = os.fsync

    def refuse_folders(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    await write(storage, "x/y")
    assert await storage.get_bytes("x/y") == A


async def test_a_canceled_join_has_ended_when_the_request_has(storage, root):
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
