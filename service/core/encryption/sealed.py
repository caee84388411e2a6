"""Encrypts and decrypts objects: chunks of AES-256-GCM, in the STREAM construction.

    magic (8 bytes), ID of the data key (16), salt (32), zeros (8)
    chunk, chunk, …                       each followed by a tag of 16 bytes

All chunks but the last one have 256 KiB of plaintext; the last one has what is left, and may be
empty. The nonce of a chunk is its number and whether it is the last one, so chunks can neither be
reordered nor left out, and an object cannot be cut off. Each object has a key of its own, derived
from the data key, the salt and the name of the object, which contains the project. So an object
that is copied over another one cannot be read, and no nonce is used twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC: Final = b"\x89FTENC1\n"
CHUNK_BYTES: Final = 256 * 1024
HEADER_BYTES: Final = 64
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
KEY_BYTES: Final = 32
KEY_ID_CHARS: Final = 16
_SALT_BYTES = 32
_MAX_CHUNKS = 2**32


class Damaged(Exception):
    """An encrypted object was changed, cut off, or moved to another name."""


@dataclass(frozen=True)
class Header:
    """The beginning of an encrypted object."""

    key_id: str
    salt: bytes

    def encode(self) -> bytes:
        """Return the header's bytes."""
        return (MAGIC + self.key_id.encode() + self.salt).ljust(HEADER_BYTES, b"\0")

    @classmethod
    def decode(cls, data: bytes) -> Header | None:
        """Read a header; None if the object is not encrypted. Raises Damaged."""
        if not data.startswith(MAGIC):
            return None
        place = len(MAGIC)
        used = place + KEY_ID_CHARS + _SALT_BYTES
        if len(data) < HEADER_BYTES or any(data[used:HEADER_BYTES]):
            raise Damaged
        key_id = data[place : place + KEY_ID_CHARS]
        salt = data[place + KEY_ID_CHARS : used]
        return cls(key_id.decode("ascii", "replace"), salt)


class _Chunks:
    """Encrypts and decrypts the chunks of one object."""

    def __init__(self, header: Header, data_key: bytes, name: str) -> None:
        info = b"finetuned object\0" + name.encode()
        derived = HKDF(SHA256(), KEY_BYTES, salt=header.salt, info=info)
        self._cipher = AESGCM(derived.derive(data_key))
        self._context = header.encode() + name.encode()

    def seal(self, number: int, data: bytes, *, is_last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(number, is_last=is_last), data, self._context)

    def open(self, number: int, data: bytes, *, is_last: bool) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(number, is_last=is_last), data, self._context)
        except InvalidTag:
            raise Damaged from None


class Sealer:
    """Encrypts an object piece by piece."""

    def __init__(self, key_id: str, data_key: bytes, name: str) -> None:
        header = Header(key_id, os.urandom(_SALT_BYTES))
        self._chunks = _Chunks(header, data_key, name)
        self._out = header.encode()
        self._held = bytearray()
        self._number = 0

    def update(self, data: bytes) -> bytes:
        """Add plaintext, and return the encrypted bytes that are complete."""
        self._held += data
        pieces = [self._out]
        self._out = b""
        place = 0
        while len(self._held) - place > CHUNK_BYTES:  # the last chunk is known only at the end
            chunk = bytes(self._held[place : place + CHUNK_BYTES])
            pieces.append(self._chunks.seal(self._number, chunk, is_last=False))
            self._number += 1
            place += CHUNK_BYTES
        del self._held[:place]
        return b"".join(pieces)

    def finish(self) -> bytes:
        """Return the rest of the object."""
        last = self._chunks.seal(self._number, bytes(self._held), is_last=True)
        return self._out + last


def seal(key_id: str, data_key: bytes, name: str, data: bytes) -> bytes:
    """Encrypt a small object."""
    sealer = Sealer(key_id, data_key, name)
    return sealer.update(data) + sealer.finish()


class Opener:
    """Decrypts ranges of an object of a known size."""

    def __init__(self, header: Header, data_key: bytes, name: str, stored_bytes: int) -> None:
        """Raises Damaged if no encrypted object has this size."""
        body = stored_bytes - HEADER_BYTES
        self.chunks = -(-body // SEALED_CHUNK_BYTES)
        rest = body - (self.chunks - 1) * SEALED_CHUNK_BYTES
        if self.chunks < 1 or rest < TAG_BYTES:
            raise Damaged
        self.stored_bytes = stored_bytes
        self.size = body - self.chunks * TAG_BYTES
        self._chunks = _Chunks(header, data_key, name)

    def open(self, number: int, data: bytes) -> bytes:
        """Decrypt a chunk. Raises Damaged."""
        return self._chunks.open(number, data, is_last=number == self.chunks - 1)

    def open_all(self, first: int, data: bytes) -> bytes:
        """Decrypt consecutive chunks, starting with this number."""
        places = range(0, len(data), SEALED_CHUNK_BYTES)
        return b"".join(
            self.open(first + number, data[place : place + SEALED_CHUNK_BYTES])
            for number, place in enumerate(places)
        )


def offset_of(chunk: int) -> int:
    """Return where a chunk begins in a stored object."""
    return HEADER_BYTES + chunk * SEALED_CHUNK_BYTES


def _nonce(number: int, *, is_last: bool) -> bytes:
    if number >= _MAX_CHUNKS:
        raise ValueError("an encrypted object has at most 1 PiB")
    return bytes(7) + number.to_bytes(4, "big") + bytes([is_last])
