"""SHA-256 of files, and checks against the digests by which stores name them."""

from __future__ import annotations

import hashlib
import io
import re
from typing import IO, Final

from service.models.inspect import ModelRefused

CHUNK_BYTES: Final = 1024 * 1024
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GIT: Final = re.compile(r"[0-9a-f]{40}")


def is_digest(name: str) -> bool:
    """Whether a name is a SHA-256 digest, or the SHA-1 digest of a Git blob."""
    return bool(_SHA256.fullmatch(name) or _GIT.fullmatch(name))


class Checksum:
    """The SHA-256 digest of a file, and a check against the digest that is known of it, if any.

    A known digest of 40 digits is Git's: SHA-1 over a header with the size, and the content.
    """

    def __init__(self, size: int, known: str | None = None) -> None:
        self._size, self._known = size, known
        self._sha256, self._read = hashlib.sha256(), 0
        self._git = None
        if known is not None and _GIT.fullmatch(known):
            self._git = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the file."""
        self._sha256.update(chunk)
        self._read += len(chunk)
        if self._git is not None:
            self._git.update(chunk)

    def checked(self, path: str, where: str) -> str:
        """Return the SHA-256 digest. Raises ModelRefused if size or digest differs."""
        found = self._sha256.hexdigest()
        same = self._known in (None, found if self._git is None else self._git.hexdigest())
        if self._read != self._size or not same:
            what = f"{self._read:,} bytes instead of {self._size:,}"
            raise ModelRefused(
                f"{path} in {where} is damaged: it has "
                f"{'the wrong digest' if self._read == self._size else what}. "
                "Copy or download it again"
            )
        return found


class HashedReader(io.RawIOBase):
    """A file whose bytes are added to a checksum as they are read."""

    def __init__(self, source: IO[bytes], checksum: Checksum) -> None:
        self._source, self._checksum = source, checksum

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        chunk = self._source.read(len(buffer))
        self._checksum.update(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)
