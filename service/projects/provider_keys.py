"""The public keys of an identity provider, from a URL or a file (JWKS, RFC 7517).

A URL is read again once an hour, and when a token names an unknown key, as after a rotation, but
never more often than every ten seconds: tokens with invented names must not become requests. A file
is read again when it changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from service.core.errors import Unavailable

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 4.0
_MAX_BYTES: Final = 1024 * 1024
_MAX_AGE_S: Final = 3600.0
_PAUSE_S: Final = 10.0
_ASYMMETRIC: Final = ("RSA", "EC", "OKP")


class KeysUnreadable(Exception):
    """The keys cannot be read."""


class ProviderKeys:
    """The keys at a place: a path, or a URL that begins with `https://` or `http://`."""

    def __init__(self, place: str, *, pause_s: float = _PAUSE_S) -> None:
        self.version = 0
        """Changes with the keys."""
        self._place = place
        self._pause_s = pause_s
        self._keys: KeySet | None = None
        self._raw = b""
        self._read_at = self._tried_at = float("-inf")
        self._changed_ns = 0
        self._reading = asyncio.Lock()

    async def having(self, kid: str | None) -> KeySet | None:
        """Return the keys if one has this ID, or if there is only one and `kid` is None.

        Raises Unavailable if the keys were never read.
        """
        if self._is_stale(kid):
            async with self._reading:
                if self._is_stale(kid):
                    await self._refresh()
        if self._keys is None:
            raise Unavailable(
                "The keys of the identity provider cannot be read. Try again in a few seconds, or "
                "use an API key. The operator should check FINETUNED_OIDC_JWKS.",
                code="identity_provider_unavailable",
            )
        return self._keys if self._has(kid) else None

    def _has(self, kid: str | None) -> bool:
        keys = self._keys.keys if self._keys else []
        return len(keys) == 1 if kid is None else any(key.kid == kid for key in keys)

    def _is_stale(self, kid: str | None) -> bool:
        if not self._is_url:
            return self._changed_at() != self._changed_ns
        now = time.monotonic()
        if now - self._tried_at < self._pause_s:
            return False
        return now - self._read_at > _MAX_AGE_S or not self._has(kid)

    @property
    def _is_url(self) -> bool:
        return self._place.startswith(("https://", "http://"))

    def _changed_at(self) -> int:
        try:
            return Path(self._place).stat().st_mtime_ns
        except OSError:
            return -1

    async def _refresh(self) -> None:
        """Read the keys. After a failure, those read before stay in use."""
        self._tried_at = time.monotonic()
        try:
            if self._is_url:
                raw = await _fetched(self._place)
            else:
                self._changed_ns = self._changed_at()
                raw = await asyncio.to_thread(Path(self._place).read_bytes)
            keys = _parsed(raw)
        except (KeysUnreadable, OSError) as e:
            log.warning("the keys of the identity provider cannot be read: %s", e)
            return
        self._read_at = self._tried_at
        if raw != self._raw:
            self._keys, self._raw = keys, raw
            self.version += 1


async def _fetched(url: str) -> bytes:
    """Read a URL, without following redirects. Raises KeysUnreadable."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise KeysUnreadable(f"the answer has the status {response.status}")
            raw = await response.content.read(_MAX_BYTES)
            while chunk := await response.content.read(_MAX_BYTES):
                raw += chunk
                if len(raw) > _MAX_BYTES:
                    raise KeysUnreadable(f"the answer has more than {_MAX_BYTES} bytes")
            return raw
    except (aiohttp.ClientError, TimeoutError) as e:
        raise KeysUnreadable(type(e).__name__) from e


def _parsed(raw: bytes) -> KeySet:
    """Parse a JWKS, and keep what can verify signatures. Raises KeysUnreadable."""
    try:
        listed = msgspec.json.decode(raw, type=dict[str, Any]).get("keys")
        usable = [key for key in listed or () if _verifies(key)]
        return KeySet.import_key_set({"keys": usable})
    except (msgspec.DecodeError, msgspec.ValidationError, JoseError, TypeError, ValueError) as e:
        raise KeysUnreadable("there is no JWKS with an RSA, EC or OKP key for signatures") from e


def _verifies(key: Any) -> bool:
    is_known = isinstance(key, dict) and key.get("kty") in _ASYMMETRIC
    return is_known and key.get("use", "sig") == "sig"
