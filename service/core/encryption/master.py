"""Wraps data keys with a master key from a file, from the environment, or in Vault.

Data keys are stored only wrapped. A file or variable may name several keys, one a line, each of 32
bytes in Base64: the first one wraps, and the others unwrap keys from before a rotation.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from service.core.encryption.sealed import KEY_BYTES

_NONCE_BYTES: Final = 12
_VAULT_TIMEOUT_S: Final = 10.0
_MAKE_ONE: Final = "make one with 'finetuned-server new-master-key'"


class MasterKeyError(Exception):
    """The master key cannot be used. The message says why, and what to do."""


class MasterKeyAway(Exception):
    """Vault does not answer. A retry may succeed."""


class MasterKey(Protocol):
    """Wraps data keys. `context` is the owner of a data key, to which it is bound."""

    @property
    def id(self) -> str:
        """Name of the current key."""
        ...

    async def wrap(self, data_key: bytes, context: str) -> str:
        """Encrypt a data key. Raises MasterKeyError and MasterKeyAway."""
        ...

    async def unwrap(self, wrapped: str, context: str) -> bytes:
        """Decrypt a data key. Raises MasterKeyError and MasterKeyAway."""
        ...


class LocalMasterKey:
    """Keys of a file or of the environment."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_name_of(key): key for key in keys}

    @classmethod
    def parse(cls, text: str, source: str) -> LocalMasterKey:
        """Read keys from text, one a line. Raises MasterKeyError."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise MasterKeyError(f"{source} has no key: {_MAKE_ONE}")
        return cls([_decode(line, source) for line in lines])

    @classmethod
    def from_file(cls, file: Path) -> LocalMasterKey:
        """Read keys from a file. Raises MasterKeyError."""
        try:
            return cls.parse(file.read_text("utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as e:
            reason = e.strerror if isinstance(e, OSError) else "it is not text"
            raise MasterKeyError(
                f"the master key {file} cannot be read ({reason}): restore it from where you keep "
                f"its copy, or {_MAKE_ONE} if nothing is encrypted yet"
            ) from e

    @property
    def id(self) -> str:
        """Name of the first key."""
        return next(iter(self._keys))

    async def wrap(self, data_key: bytes, context: str) -> str:
        """Encrypt a data key with the first key."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self.id]).encrypt(nonce, data_key, context.encode())
        return f"{self.id}:{base64.b64encode(nonce + sealed).decode()}"

    async def unwrap(self, wrapped: str, context: str) -> bytes:
        """Decrypt a data key with the key that wrapped it."""
        name, _, value = wrapped.partition(":")
        key = self._keys.get(name)
        if key is None:
            raise MasterKeyError(
                f"the data key of {context} is wrapped with the master key {name}, and this "
                f"process has {', '.join(self._keys)}: add the other key to the file, or restore it"
            )
        try:
            data = base64.b64decode(value, validate=True)
            return AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError):
            raise MasterKeyError(f"the data key of {context} was changed") from None


class VaultMasterKey:
    """A key of Vault's transit engine, which never leaves Vault.

    Its type must be `aes256-gcm96` or another that takes associated data.
    """

    def __init__(self, address: str, key: str, token_file: Path, mount: str = "transit") -> None:
        self._url = f"{address.rstrip('/')}/v1/{mount}"
        self._key = key
        self._token_file = token_file

    @property
    def id(self) -> str:
        """Name of the key in Vault."""
        return f"vault-{self._key}"

    async def wrap(self, data_key: bytes, context: str) -> str:
        """Encrypt a data key in Vault."""
        body = {"plaintext": base64.b64encode(data_key).decode(), "associated_data": _b64(context)}
        return await self._ask("encrypt", body, "ciphertext")

    async def unwrap(self, wrapped: str, context: str) -> bytes:
        """Decrypt a data key in Vault."""
        if not wrapped.startswith("vault:"):
            raise MasterKeyError(
                f"the data key of {context} was not wrapped by Vault: set the master key with "
                "which it was"
            )
        body = {"ciphertext": wrapped, "associated_data": _b64(context)}
        return base64.b64decode(await self._ask("decrypt", body, "plaintext"))

    async def _ask(self, action: str, body: dict[str, str], answer: str) -> str:
        import aiohttp  # few processes use Vault

        try:
            token = self._token_file.read_text("utf-8").strip()
        except OSError as e:
            raise MasterKeyError(
                f"Vault's token {self._token_file} cannot be read ({e.strerror})"
            ) from e
        try:
            timeout = aiohttp.ClientTimeout(total=_VAULT_TIMEOUT_S)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    f"{self._url}/{action}/{self._key}", json=body, headers={"X-Vault-Token": token}
                ) as response,
            ):
                if response.status in (400, 403, 404):
                    raise MasterKeyError(
                        f"Vault refused to {action} with the key '{self._key}' "
                        f"({response.status}): check the token's policy, the name of the key and "
                        "its type"
                    )
                response.raise_for_status()
                return str((await response.json())["data"][answer])
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as e:
            raise MasterKeyAway(f"Vault does not answer: {type(e).__name__}") from e


def new_key() -> str:
    """Return a new master key in the format of a key file."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def _decode(line: str, source: str) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyError(f"{source} has a line that is not 32 bytes in Base64: {_MAKE_ONE}")
    return key


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"finetuned master key\0" + key).hexdigest()[:12]


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
