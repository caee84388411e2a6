"""Finds and makes data keys: one for each project and one for the installation.

    keys/{owner}.json     the wrapped data key of a project, or of the `installation`

They are in storage, so that backups contain them with the objects that they encrypt, and engines
read them without Redis. The process that writes the first object of a project makes its key,
exactly once. Without its data key, a project's objects and all copies of them are unreadable.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Final, Protocol

import msgspec

from service.core import ids
from service.core.encryption.master import MasterKey
from service.core.encryption.sealed import KEY_BYTES, KEY_ID_CHARS

FOLDER: Final = "keys"
INSTALLATION: Final = "installation"
AUDIT_HEADS: Final = "audit-heads"
"""Folder of signed checkpoints, which anyone who may read the storage can verify."""
_KEPT_S: Final = 60.0  # after which a process notices that a key was erased


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as it is stored."""

    id: str
    master: str
    wrapped: str


class KeyStore(Protocol):
    """Where wrapped keys are stored."""

    async def read(self, name: str) -> bytes | None:
        """Return an object, or None if there is none."""
        ...

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it exists. Returns False if it does."""
        ...

    async def replace(self, name: str, data: bytes) -> None:
        """Write an object."""
        ...


class KeyGone(Exception):
    """The data key of an object does not exist: it was erased, or lost."""


class Keyring:
    """Finds and makes data keys."""

    def __init__(self, master: MasterKey, store: KeyStore) -> None:
        self.master = master
        self._store = store
        self._known: dict[str, tuple[float, str, bytes]] = {}

    async def key_of(self, owner: str) -> tuple[str, bytes]:
        """Return the ID and the data key of an owner. Makes one if there is none."""
        known = await self._load(owner)
        return known if known is not None else await self._make(owner)

    async def key(self, owner: str, key_id: str) -> bytes:
        """Return the data key with this ID. Raises KeyGone."""
        known = await self._load(owner)
        if known is None or known[0] != key_id:
            raise KeyGone(owner)
        return known[1]

    async def rewrap(self, owner: str) -> bool:
        """Wrap a data key with the current master key. Returns False if it already is."""
        stored = await self._stored(owner)
        if stored is None or stored.master == self.master.id:
            return False
        data_key = await self.master.unwrap(stored.wrapped, owner)
        await self._store.replace(name_of(owner), await self._wrapped(stored.id, data_key, owner))
        return True

    async def _load(self, owner: str) -> tuple[str, bytes] | None:
        known = self._known.get(owner)
        if known is not None and known[0] > time.monotonic():
            return known[1], known[2]
        stored = await self._stored(owner)
        if stored is None:
            self._known.pop(owner, None)
            return None
        if known is not None and known[1] == stored.id:
            return self._keep(owner, stored.id, known[2])
        return self._keep(owner, stored.id, await self.master.unwrap(stored.wrapped, owner))

    async def _make(self, owner: str) -> tuple[str, bytes]:
        key_id, data_key = secrets.token_hex(KEY_ID_CHARS // 2), os.urandom(KEY_BYTES)
        if await self._store.create(name_of(owner), await self._wrapped(key_id, data_key, owner)):
            return self._keep(owner, key_id, data_key)
        made = await self._load(owner)  # another process was faster
        if made is None:
            raise KeyGone(owner)
        return made

    async def _stored(self, owner: str) -> WrappedKey | None:
        data = await self._store.read(name_of(owner))
        return None if data is None else msgspec.json.decode(data, type=WrappedKey)

    async def _wrapped(self, key_id: str, data_key: bytes, owner: str) -> bytes:
        wrapped = await self.master.wrap(data_key, owner)
        return msgspec.json.encode(WrappedKey(key_id, self.master.id, wrapped))

    def _keep(self, owner: str, key_id: str, data_key: bytes) -> tuple[str, bytes]:
        self._known[owner] = (time.monotonic() + _KEPT_S, key_id, data_key)
        return key_id, data_key


def name_of(owner: str) -> str:
    """Return the storage key of a wrapped data key."""
    return f"{FOLDER}/{owner}.json"


def owner_of(key: str) -> str | None:
    """Return the owner of the data key for an object; None if it is never encrypted."""
    first, _, rest = key.partition("/")
    if not rest or first in (FOLDER, AUDIT_HEADS):
        return None  # wrapped keys, the object of the health check, and signed checkpoints
    return first if ids.is_valid(first, ids.PROJECT) else INSTALLATION
