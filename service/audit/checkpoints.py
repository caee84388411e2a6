"""Checkpoints: what the audit log was at a time, signed.

The format is that of transparency logs (https://c2sp.org/tlog-checkpoint), so that their tools and
witnesses can read it: the log's name, its number of entries, the root of their Merkle tree,
extension lines, and signatures of Ed25519 (https://c2sp.org/signed-note). The extension lines are
the time, the digest of the entries since the checkpoint before, and the edge of the tree, from
which the tree can be continued when the entries before it were deleted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.audit.merkle import Edge

_SIGNED: Final = "— "
_ED25519: Final = b"\1"
_TIME, _SEGMENT, _DIGEST, _EDGE = "time ", "segment ", "sha256 ", "edge"


class BadCheckpoint(ValueError):
    """A text is not a checkpoint, or its signature is wrong."""


class BadKey(ValueError):
    """A file is not a key of Ed25519."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of the log, and where the entries since the checkpoint before are."""

    origin: str
    size: int
    root: bytes
    time: int
    segment: str
    """Name of the object with the entries, without its folder."""
    sha256: str
    edge: tuple[bytes, ...]

    @classmethod
    def of(cls, origin: str, edge: Edge, *, time: int, segment: str, sha256: str) -> Self:
        """Describe a tree after some entries were added to it."""
        return cls(origin, edge.size, edge.root(), time, segment, sha256, tuple(edge.hashes))

    def text(self) -> str:
        """Return the text that is signed."""
        edge = " ".join([_EDGE, *map(_base64, self.edge)])
        lines = [self.origin, str(self.size), _base64(self.root)]
        lines += [f"{_TIME}{self.time}", f"{_SEGMENT}{self.segment}", f"{_DIGEST}{self.sha256}"]
        return "\n".join([*lines, edge, ""])

    @classmethod
    def parse(cls, note: str) -> Self:
        """Parse a checkpoint without checking signatures. Raises BadCheckpoint."""
        try:
            text, _, _ = note.partition("\n\n")
            origin, size, root, *rest = text.split("\n")
            time, segment, digest, edge = rest
            found = cls(
                origin=origin,
                size=int(size),
                root=base64.b64decode(root, validate=True),
                time=int(_after(_TIME, time)),
                segment=_after(_SEGMENT, segment),
                sha256=_after(_DIGEST, digest),
                edge=tuple(base64.b64decode(each, validate=True) for each in edge.split(" ")[1:]),
            )
            if found.text() != f"{text}\n" or found.tree().root() != found.root:
                raise BadCheckpoint("its root does not follow from its edge")
        except (ValueError, binascii.Error) as e:
            raise BadCheckpoint(f"it is not a checkpoint: {e}") from e
        return found

    def tree(self) -> Edge:
        """Return the edge of the tree. Raises ValueError if there is none of this size."""
        return Edge(self.size, self.edge)


class Signer:
    """Signs checkpoints with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier = Verifier(key.public_key())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the key from a PEM file. Raises BadKey and OSError."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except ValueError as e:
            raise BadKey(f"{path} is not a private key in PEM format") from e
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey(f"{path} is not a key of Ed25519: write one with 'openssl genpkey'")
        return cls(key)

    @classmethod
    def ensure(cls, path: Path) -> None:
        """Write a new key, which only this user can read, unless there is one."""
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a checkpoint."""
        text = checkpoint.text()
        signature = self.verifier.hint(checkpoint.origin) + self._key.sign(text.encode())
        return f"{text}\n{_SIGNED}{checkpoint.origin} {_base64(signature)}\n"


class Verifier:
    """Checks signatures with a public key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a public key as `public` returns it, or in PEM format. Raises BadKey."""
        try:
            if "BEGIN" in text:
                key = serialization.load_pem_public_key(text.encode())
            else:
                key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error) as e:
            raise BadKey("it is not a public key in PEM format or base64") from e
        if not isinstance(key, Ed25519PublicKey):
            raise BadKey("it is not a key of Ed25519")
        return cls(key)

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the key."""
        return self._key.public_bytes_raw()

    @property
    def public(self) -> str:
        """The key in base64."""
        return _base64(self.raw)

    def hint(self, origin: str) -> bytes:
        """Return the four bytes by which a signature names its key."""
        return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    def check(self, note: str) -> None:
        """Raise BadCheckpoint unless the note has a valid signature of this key."""
        text, _, signatures = note.partition("\n\n")
        origin = text.partition("\n")[0]
        for line in signatures.splitlines():
            name, _, value = line.removeprefix(_SIGNED).rpartition(" ")
            try:
                signature = base64.b64decode(value, validate=True)
            except binascii.Error:
                continue
            if name != origin or signature[:4] != self.hint(origin):
                continue
            try:
                self._key.verify(signature[4:], f"{text}\n".encode())
            except InvalidSignature as e:
                raise BadCheckpoint("its signature is wrong") from e
            return
        raise BadCheckpoint("it has no signature of this key")


def is_signed(note: str) -> bool:
    """Return whether a note has any signature."""
    return f"\n\n{_SIGNED}" in note


def digest_of(lines: Sequence[bytes]) -> str:
    """Return the digest of a segment."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line + b"\n")
    return found.hexdigest()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _after(name: str, line: str) -> str:
    if not line.startswith(name):
        raise BadCheckpoint(f"the line '{name.strip()}' is missing")
    return line.removeprefix(name)
