"""Tests of encryption at rest: stored bytes are unreadable, and damage is detected."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.config import Settings
from service.core.encryption import sealed
from service.core.encryption.master import (
    LocalMasterKey,
    MasterKeyError,
    VaultMasterKey,
    new_key,
)
from service.core.storage import (
    Storage,
    StorageCorrupt,
    StorageError,
    StorageMissing,
    StorageRefused,
)
from tests.http_server import http_server

PROJECT = "proj_abc123"
KEY = f"{PROJECT}/files/file-1/content"
C = sealed.CHUNK_BYTES
SIZES = (0, 1, C - 1, C, C + 1, 2 * C, 17 * C + 5)


def opened(folder: Path, *keys: str, **options: Any) -> Storage:
    """The storage of a folder, with these master keys."""
    master = LocalMasterKey.parse("\n".join(keys), "the test") if keys else None
    return Storage.from_url(folder.as_uri(), master_key=master, **options)


@pytest.fixture
def master() -> str:
    return new_key()


@pytest.fixture
def storage(tmp_path: Path, master: str) -> Storage:
    return opened(tmp_path / "storage", master)


async def read(storage: Storage, key: str, *bounds: int) -> bytes:
    return b"".join([chunk async for chunk in await storage.stream(key, *bounds)])


async def put(storage: Storage, key: str, data: bytes, piece: int = 100_000) -> None:
    async with await storage.writer(key) as writer:
        for start in range(0, len(data), piece):
            await writer.write(data[start : start + piece])


@pytest.mark.parametrize("size", SIZES)
async def test_objects_of_every_size_come_back(storage, tmp_path, size):
    data = os.urandom(size)
    await put(storage, KEY, data)
    assert await read(storage, KEY) == await storage.get_bytes(KEY) == data
    stored = (tmp_path / "storage" / KEY).read_bytes()
    assert stored.startswith(sealed.MAGIC)
    assert size < 16 or data[:16] not in stored
    assert await storage.get_file(KEY, tmp_path / "got") == hashlib.sha256(data).hexdigest()
    await storage.put_bytes(KEY, data)
    assert await read(storage, KEY) == data


async def test_ranges_are_those_of_the_plaintext(storage):
    data = os.urandom(17 * C + 5)
    await put(storage, KEY, data)
    for start, end in ((0, 1), (C - 1, C + 1), (5, 5), (16 * C - 3, 17 * C + 1), (17 * C, 99 * C)):
        assert await read(storage, KEY, start, end) == data[start:end]


async def test_a_copy_and_a_folder_are_encrypted_under_their_own_names(storage, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "weights").write_bytes(b"weights")
    await storage.put_folder(f"{PROJECT}/jobs/a", folder)
    await storage.copy(f"{PROJECT}/jobs/a/weights", f"{PROJECT}/jobs/b/weights")
    assert await storage.get_bytes(f"{PROJECT}/jobs/b/weights") == b"weights"
    await storage.get_folder(f"{PROJECT}/jobs/a", tmp_path / "back")
    assert (tmp_path / "back" / "weights").read_bytes() == b"weights"
    for path in (tmp_path / "storage" / PROJECT).rglob("*"):
        assert path.is_dir() or path.read_bytes().startswith(sealed.MAGIC)
    assert not storage.joins_in_place


@pytest.mark.parametrize("place", [0, 9, 30, 63, 64, C // 2, -1], ids=str)
async def test_a_flipped_byte_is_detected(storage, tmp_path, place):
    await put(storage, KEY, os.urandom(C + 100))
    path = tmp_path / "storage" / KEY
    stored = bytearray(path.read_bytes())
    stored[place] ^= 1
    path.write_bytes(stored)
    strict = opened(tmp_path / "storage", await _key_of(storage), only_encrypted=True)
    with pytest.raises((StorageCorrupt, StorageMissing)):  # another key ID: there is no such key
        await read(strict, KEY)
    with pytest.raises((StorageCorrupt, StorageMissing)):
        await strict.get_bytes(KEY)


async def _key_of(storage: Storage) -> str:
    assert storage.keyring is not None
    assert isinstance(storage.keyring.master, LocalMasterKey)
    keys = storage.keyring.master._keys
    return base64.b64encode(next(iter(keys.values()))).decode()


@pytest.mark.parametrize(
    "left", [10, sealed.HEADER_BYTES, sealed.offset_of(1), sealed.offset_of(2), -1, -17], ids=str
)
async def test_an_object_that_was_cut_off_is_noticed(storage, tmp_path, left):
    await put(storage, KEY, os.urandom(3 * C))
    path = tmp_path / "storage" / KEY
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(StorageCorrupt):
        await read(storage, KEY)
    with pytest.raises(StorageCorrupt):
        await storage.get_bytes(KEY)


async def test_objects_cannot_be_swapped(storage, tmp_path):
    root = tmp_path / "storage"
    other = "proj_other/files/file-1/content"
    for key in (KEY, f"{PROJECT}/files/file-2/content", other):
        await storage.put_bytes(key, b"of " + key.encode())
    original = (root / KEY).read_bytes()
    (root / KEY).write_bytes((root / PROJECT / "files/file-2/content").read_bytes())
    with pytest.raises(StorageCorrupt):
        await storage.get_bytes(KEY)
    (root / KEY).write_bytes((root / other).read_bytes())
    with pytest.raises(StorageMissing):  # its data key is not the project's
        await storage.get_bytes(KEY)
    chunks = original[sealed.HEADER_BYTES :]
    (root / KEY).write_bytes(original + chunks)
    with pytest.raises(StorageCorrupt):
        await storage.get_bytes(KEY)


async def test_chunks_cannot_be_reordered(storage, tmp_path):
    await put(storage, KEY, os.urandom(3 * C))
    path = tmp_path / "storage" / KEY
    stored = path.read_bytes()
    a, b, c = sealed.offset_of(0), sealed.offset_of(1), sealed.offset_of(2)
    path.write_bytes(stored[:a] + stored[b:c] + stored[a:b] + stored[c:])
    with pytest.raises(StorageCorrupt):
        await read(storage, KEY)


async def test_plain_objects_stay_readable_until_encryption_is_required(tmp_path, master):
    await opened(tmp_path / "storage").put_bytes(KEY, b"plain")
    storage = opened(tmp_path / "storage", master)
    assert await storage.get_bytes(KEY) == await read(storage, KEY) == b"plain"
    assert not await storage.is_encrypted(KEY)
    await storage.copy(KEY, KEY)
    assert await storage.is_encrypted(KEY)
    strict = opened(tmp_path / "storage", master, only_encrypted=True)
    assert await strict.get_bytes(KEY) == b"plain"
    await opened(tmp_path / "storage").put_bytes(KEY, b"put there by someone")
    with pytest.raises(StorageCorrupt, match="FINETUNED_ENCRYPTION_REQUIRED"):
        await strict.get_bytes(KEY)


async def test_another_master_key_is_refused_with_its_name(storage, tmp_path):
    await storage.put_bytes(KEY, b"text")
    wrong = opened(tmp_path / "storage", new_key())
    with pytest.raises(StorageRefused, match="wrapped with the master key"):
        await wrong.get_bytes(KEY)
    with pytest.raises(StorageRefused):
        await wrong.put_bytes(KEY, b"more")
    assert await storage.get_bytes(KEY) == b"text"


async def test_a_rotation_rewraps_data_keys_and_no_object(storage, tmp_path, master):
    await storage.put_bytes(KEY, b"text")
    before = (tmp_path / "storage" / KEY).read_bytes()
    new = new_key()
    both = opened(tmp_path / "storage", new, master)
    assert both.keyring is not None
    assert await both.keyring.rewrap(PROJECT)
    assert not await both.keyring.rewrap(PROJECT)
    assert (tmp_path / "storage" / KEY).read_bytes() == before
    assert await opened(tmp_path / "storage", new).get_bytes(KEY) == b"text"
    with pytest.raises(StorageRefused):
        await opened(tmp_path / "storage", master).get_bytes(KEY)


async def test_without_its_data_key_nothing_of_a_project_can_be_read(storage, tmp_path, master):
    other = "proj_other/files/file-1/content"
    await storage.put_bytes(KEY, b"text")
    await storage.put_bytes(other, b"other")
    await storage.erase_key(PROJECT)
    again = opened(tmp_path / "storage", master)
    with pytest.raises(StorageMissing, match="erased"):
        await again.get_bytes(KEY)
    assert await again.get_bytes(other) == b"other"


async def test_concurrent_first_writes_agree_on_one_data_key(tmp_path, master):
    storages = [opened(tmp_path / "storage", master) for _ in range(8)]
    keys = [f"{PROJECT}/files/file-{number}/content" for number in range(8)]
    await asyncio.gather(*(s.put_bytes(k, b"x") for s, k in zip(storages, keys, strict=True)))
    reader = opened(tmp_path / "storage", master)
    assert [await reader.get_bytes(key) for key in keys] == [b"x"] * 8


def test_an_invalid_master_key_is_explained(tmp_path):
    with pytest.raises(MasterKeyError, match="new-master-key"):
        LocalMasterKey.from_file(tmp_path / "missing")
    (tmp_path / "short").write_text("c2hvcnQ=")
    with pytest.raises(MasterKeyError, match="32 bytes"):
        LocalMasterKey.from_file(tmp_path / "short")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(MasterKeyError, match="has no key"):
        Settings(encryption_key_file=tmp_path / "empty").master_key()
    with pytest.raises(MasterKeyError, match="only one"):
        Settings(encryption_key_file=tmp_path / "x", encryption_key=new_key()).master_key()
    assert Settings().master_key() is None


class Transit:
    """A server that speaks the HTTP API of Vault's transit engine, with one key."""

    def __init__(self) -> None:
        self.master = LocalMasterKey.parse(new_key(), "the test")
        self.status = 200
        self.requests = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        if request.headers.get("X-Vault-Token") != "s.token" or self.status != 200:
            return web.json_response({"errors": ["permission denied"]}, status=self.status or 403)
        _, _, mount, action, name = request.path.split("/")
        assert (mount, name) == ("transit", "finetuned")
        body = await request.json()
        context = base64.b64decode(body["associated_data"]).decode()
        if action == "encrypt":
            wrapped = await self.master.wrap(base64.b64decode(body["plaintext"]), context)
            return web.json_response({"data": {"ciphertext": f"vault:v1:{wrapped}"}})
        wrapped = body["ciphertext"].removeprefix("vault:v1:")
        try:
            plain = await self.master.unwrap(wrapped, context)
        except MasterKeyError:
            return web.json_response(
                {"errors": ["cipher: message authentication failed"]}, status=400
            )
        return web.json_response({"data": {"plaintext": base64.b64encode(plain).decode()}})


async def test_vault_wraps_the_data_keys(tmp_path):
    token, transit = tmp_path / "token", Transit()
    token.write_text("s.token\n")
    async with http_server(transit.handle) as url:
        vault = VaultMasterKey(url, "finetuned", token)
        storage = Storage.from_url((tmp_path / "storage").as_uri(), master_key=vault)
        for number in range(5):
            await storage.put_bytes(f"{PROJECT}/files/{number}", b"text")
        assert transit.requests == 1
        again = Storage.from_url((tmp_path / "storage").as_uri(), master_key=vault)
        assert await again.get_bytes(f"{PROJECT}/files/3") == b"text"
        keys = tmp_path / "storage" / "keys"
        (keys / "proj_other.json").write_bytes((keys / f"{PROJECT}.json").read_bytes())
        with pytest.raises(StorageRefused, match="400"):  # bound to the project
            await again.put_bytes("proj_other/files/1", b"text")
        transit.status = 403
        refused = Storage.from_url((tmp_path / "storage").as_uri(), master_key=vault)
        with pytest.raises(StorageRefused, match="policy"):
            await refused.get_bytes(f"{PROJECT}/files/3")
        transit.status = 503
        with pytest.raises(StorageError, match="does not answer"):
            await refused.get_bytes(f"{PROJECT}/files/3")
        assert await again.get_bytes(f"{PROJECT}/files/3") == b"text"  # the key is known
