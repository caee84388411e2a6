"""Signs the manifests of evidence with the key of the installation.

    finetuned:evidence-signature:{digest}   a signature, until the API process has read it

In a cluster, only workers have the key, so an API process asks one of them by a task. If the task
or its answer is lost, the client sends the request again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any, Final

import msgspec

from service.core import queue
from service.core.encryption.signing import InstallationKey, Signature, SigningKey, SigningKeyError
from service.core.records import PREFIX
from service.core.redis import Client, reply

log = logging.getLogger(__name__)
PURPOSE: Final = "evidence 1"
FUNCTION: Final = "sign_evidence"
_WAIT_S: Final = 20.0
_POLL_S: Final = 0.2
_KEPT_S: Final = 300


class NotSigned(Exception):
    """No process with the signing key signed the manifest in time."""


def sign_manifest(digest: str, key: SigningKey) -> Signature:
    """Sign the SHA-256 of a manifest."""
    return key.sign(PURPOSE, {"manifest_sha256": digest})


class EvidenceSigner:
    """Signs in an API process, with its own key or by a worker that has it."""

    def __init__(self, redis: Client, key: InstallationKey) -> None:
        self._redis = redis
        self._key = key

    async def sign(self, project_id: str, manifest: bytes) -> Signature:
        """Return the signature of a manifest. Raises NotSigned, SigningKeyError, REDIS_ERRORS."""
        digest = hashlib.sha256(manifest).hexdigest()
        if self._key.exists:
            return sign_manifest(digest, self._key.get())
        await queue.enqueue(self._redis, queue.CPU, FUNCTION, project_id, digest, 1)
        for _ in range(int(_WAIT_S / _POLL_S)):
            if (found := await reply(self._redis.getdel(_key(digest)))) is not None:
                return msgspec.json.decode(found, type=Signature)
            await asyncio.sleep(_POLL_S)
        raise NotSigned


class SignEvidence:
    """Signs in a worker, for API processes without the key. A request that is lost is repeated."""

    def __init__(self, redis: Client, key: InstallationKey) -> None:
        self._redis = redis
        self._key = key

    async def run(self, _: Any, project_id: str, digest: str, attempt: int) -> None:
        """Sign the SHA-256 of a manifest. The parameters are those of every task."""
        try:
            signature = sign_manifest(digest, self._key.get())
        except SigningKeyError as e:
            log.error("evidence is not signed: %s", e)
            return
        await reply(self._redis.set(_key(digest), msgspec.json.encode(signature), ex=_KEPT_S))


def _key(digest: str) -> str:
    return f"{PREFIX}:evidence-signature:{digest}"
