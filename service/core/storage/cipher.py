"""Encrypts objects as they are written, and decrypts them as they are read."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import obstore
from obstore.store import ObjectStore

from service.core.encryption import sealed
from service.core.encryption.keyring import KeyGone, Keyring, owner_of
from service.core.encryption.master import MasterKeyAway, MasterKeyError
from service.core.encryption.sealed import Damaged, Header, Opener, Sealer
from service.core.errors import StorageError, StorageMissing, StorageRefused
from service.core.storage.errors import corrupt, guard, patient

READ_BYTES: Final = 4 * 1024 * 1024  # on S3, each read is a request
_CHUNKS_AT_ONCE: Final = READ_BYTES // sealed.CHUNK_BYTES


class ObjectCipher:
    """Encrypts and decrypts objects with the data keys of a keyring, if there is one.

    `only_encrypted` refuses to read other objects.
    """

    def __init__(
        self,
        store: ObjectStore,
        keyring: Keyring | None,
        *,
        only_encrypted: bool,
        patience_s: float,
    ) -> None:
        self.patience_s = patience_s
        self._store = store
        self._keyring = keyring
        self._only_encrypted = only_encrypted

    async def sealer(self, key: str) -> Sealer | None:
        """Return the encryptor of a new object, or None if it is stored in plain text."""
        owner = owner_of(key)
        if self._keyring is None or owner is None:
            return None
        with convert_key_errors(key):
            return Sealer(*await self._keyring.key_of(owner), key)

    async def encrypt(self, key: str, data: bytes) -> bytes:
        """Encrypt a small object, if objects are encrypted."""
        sealer = await self.sealer(key)
        return data if sealer is None else sealer.update(data) + sealer.finish()

    async def decrypt(self, key: str, data: bytes) -> bytes:
        """Decrypt a whole object, if it is encrypted."""
        header = self._header(key, data[: sealed.HEADER_BYTES])
        if header is None:
            return data
        with convert_key_errors(key):
            opener = Opener(header, await self._data_key(key, header), key, len(data))
            return opener.open_all(0, data[sealed.HEADER_BYTES :])

    @patient
    async def opener(self, key: str, size: int) -> Opener | None:
        """Return the decryptor of an object, or None if it is not encrypted."""
        if self._keyring is None or owner_of(key) is None:
            return None
        header = self._header(key, await self._head(key, size) if size else b"")
        if header is None:
            return None
        with convert_key_errors(key):
            return Opener(header, await self._data_key(key, header), key, size)

    async def is_encrypted(self, key: str, size: int) -> bool:
        """Return whether an object of this size is encrypted."""
        return size > 0 and Header.decode(await self._head(key, size)) is not None

    async def ranges(self, key: str, opener: Opener, first: int, end: int) -> AsyncIterator[bytes]:
        """Yield decrypted bytes. The tag of an empty object is checked too."""
        number = first // sealed.CHUNK_BYTES
        last = max(end - 1, 0) // sealed.CHUNK_BYTES if opener.size else 0
        while number <= last and (first < end or opener.size == 0):
            upto = min(number + _CHUNKS_AT_ONCE, last + 1)
            begin, stop = sealed.offset_of(number), min(sealed.offset_of(upto), opener.stored_bytes)
            read = obstore.get_range_async(self._store, key, start=begin, length=stop - begin)
            data = bytes(await guard("read", read, key))
            with convert_key_errors(key):
                plain = opener.open_all(number, data)
            place = number * sealed.CHUNK_BYTES
            wanted = plain[max(first - place, 0) : end - place]
            if wanted:
                yield wanted
            number = upto

    def _header(self, key: str, head: bytes) -> Header | None:
        if self._keyring is None or owner_of(key) is None:
            return None
        with convert_key_errors(key):
            header = Header.decode(head)
        if header is None and self._only_encrypted:
            raise corrupt(f"{key} is not encrypted, although FINETUNED_ENCRYPTION_REQUIRED is set")
        return header

    async def _head(self, key: str, size: int) -> bytes:
        length = min(size, sealed.HEADER_BYTES)
        read = obstore.get_range_async(self._store, key, start=0, length=length)
        return bytes(await guard("read", read, key))

    async def _data_key(self, key: str, header: Header) -> bytes:
        owner = owner_of(key)
        assert self._keyring is not None  # otherwise, no header is read
        assert owner is not None
        return await self._keyring.key(owner, header.key_id)


@contextlib.contextmanager
def convert_key_errors(key: str) -> Iterator[None]:
    """Convert errors of keys and of decryption to errors of storage."""
    try:
        yield
    except Damaged as e:
        raise corrupt(f"{key} was changed or cut off after it was encrypted") from e
    except KeyGone as e:
        raise StorageMissing(f"the data key of {key} was erased, so it cannot be read") from e
    except MasterKeyAway as e:
        raise StorageError(str(e)) from e
    except MasterKeyError as e:
        raise StorageRefused(str(e)) from e
