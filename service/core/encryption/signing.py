"""Signs with the key of the installation (Ed25519): signatures outlive the objects they describe.

Erasure receipts and checkpoints of the audit log are signed with it. A signature covers the purpose
too, so that a signature for one purpose is not valid for another.

The private key is in a file that only workers of the cpu queue read, and never in Redis, which
many processes can read. The worker that seals the audit log makes it at the start of the log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from service.core import local_disk

ALGORITHM: Final = "Ed25519"
_ID_CHARS = 16


class SigningKeyError(ValueError):
    """A key cannot be read. The message names it and says how to fix it."""


class Signature(msgspec.Struct, frozen=True):
    """A signature with the key that verifies it. All values are text."""

    key_id: str
    public_key: str
    value: str
    algorithm: str = ALGORITHM


class PublicKey:
    """Verifies signatures."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes) -> PublicKey:
        """Read a public key. Raises SigningKeyError."""
        try:
            key = load_pem_public_key(pem)
        except ValueError as e:
            raise SigningKeyError("the public key is not a PEM file") from e
        if not isinstance(key, Ed25519PublicKey):
            raise SigningKeyError("the public key is not an Ed25519 key")
        return cls(key)

    @classmethod
    def from_raw(cls, raw: bytes) -> PublicKey:
        """Read the 32 bytes of a public key. Raises ValueError."""
        return cls(Ed25519PublicKey.from_public_bytes(raw))

    @property
    def pem(self) -> str:
        """The key as PEM."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def id(self) -> str:
        """The first characters of the SHA-256 of the key's 32 bytes, in hexadecimal."""
        return hashlib.sha256(self._key.public_bytes_raw()).hexdigest()[:_ID_CHARS]

    @property
    def text(self) -> str:
        """The key's 32 bytes in Base64."""
        return base64.b64encode(self._key.public_bytes_raw()).decode()

    @property
    def raw(self) -> bytes:
        """The key's 32 bytes."""
        return self._key.public_bytes_raw()

    def verifies_bytes(self, data: bytes, signature: bytes) -> bool:
        """Return whether this key signed exactly these bytes."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def verifies(self, purpose: str, content: Mapping[str, Any], value: str) -> bool:
        """Return whether this key signed the content for this purpose."""
        try:
            self._key.verify(base64.b64decode(value, validate=True), message(purpose, content))
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """Signs for the installation."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Read a private key. Raises SigningKeyError."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as e:
            raise SigningKeyError("the signing key is not a PEM file without a password") from e
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningKeyError(
                "the signing key is not an Ed25519 key: make one with "
                "'openssl genpkey -algorithm ed25519'"
            )
        return cls(key)

    @property
    def pem(self) -> bytes:
        """The private key as PEM."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign_bytes(self, data: bytes) -> bytes:
        """Sign bytes in a format of their own, such as a checkpoint's."""
        return self._key.sign(data)

    def sign(self, purpose: str, content: Mapping[str, Any]) -> Signature:
        """Sign JSON content for a purpose."""
        value = base64.b64encode(self._key.sign(message(purpose, content))).decode()
        return Signature(key_id=self.public.id, public_key=self.public.text, value=value)


class InstallationKey:
    """The signing key of this installation, read from its file when it is first needed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key: SigningKey | None = None

    @property
    def exists(self) -> bool:
        """Whether this process has a key."""
        return self._key is not None or self._file.exists()

    def get(self) -> SigningKey:
        """Return the key. Raises SigningKeyError."""
        if self._key is None:
            self._key = from_file(self._file)
        return self._key

    def make(self) -> SigningKey:
        """Make the key and its file. Raises SigningKeyError."""
        made = SigningKey.generate()
        try:
            _create_private(self._file, made.pem)
        except FileExistsError:
            return self.get()  # another process made it
        except OSError as e:
            raise SigningKeyError(
                f"the signing key {self._file} cannot be written ({e.strerror}): set "
                "FINETUNED_SIGNING_KEY_FILE to a file that outlives this process"
            ) from e
        self._key = made
        return made


def _create_private(file: Path, data: bytes) -> None:
    """Write a new file atomically, readable only by this user. Raises FileExistsError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}-") as part:
        part.write(data)
        part.flush()
        os.link(part.name, file)
        local_disk.sync(file.parent, file)


def from_file(file: Path) -> SigningKey:
    """Read the key of an installation from a file. Raises SigningKeyError."""
    try:
        return SigningKey.from_pem(file.read_bytes())
    except OSError as e:
        raise SigningKeyError(
            f"the signing key {file} cannot be read ({e.strerror}): make it with 'openssl genpkey "
            "-algorithm ed25519', and set FINETUNED_SIGNING_KEY_FILE"
        ) from e


def message(purpose: str, content: Mapping[str, Any]) -> bytes:
    """Return the bytes to sign: the purpose, a newline, and the content.

    The content is JSON in UTF-8 with sorted keys and without spaces.
    """
    encoded = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"finetuned {purpose}\n{encoded}".encode()
