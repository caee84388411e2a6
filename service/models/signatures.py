"""Signatures of adapters: who registered the weights of a name.

Digests in Redis show whether an adapter in storage was changed. A signature also shows whether its
registration was: without the workers' key, write access to Redis and storage is not enough to make
engines load other weights. This protects only if the key is in a file
(`FINETUNED_SIGNING_KEY_FILE`) that only workers have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from service.core.encryption.signing import PublicKey, SigningKey, SigningKeyError, from_file

_PURPOSE: Final = "adapter"
UNSIGNED: Final = (
    "its registration has no signature: run 'finetuned-server models sign' if it is yours"
)
FORGED: Final = "the signature of its registration was not made with this installation's key"


def signer(key_file: Path | None) -> SigningKey | None:
    """Return the key that signs adapters; None if it is not in a file. Raises SigningKeyError."""
    return None if key_file is None else from_file(key_file)


def sign(key: SigningKey, name: str, base_model: str, digest: str) -> str:
    """Return the signature of an adapter's registration."""
    return key.sign(_PURPOSE, _content(name, base_model, digest)).value


def verifier(key_file: Path | None) -> PublicKey | None:
    """Return the key that verifies adapters; None if none is given. Raises SigningKeyError."""
    if key_file is None:
        return None
    try:
        return PublicKey.from_pem(key_file.read_bytes())
    except OSError as e:
        raise SigningKeyError(
            f"the public key {key_file} cannot be read ({e.strerror}): make it with 'openssl pkey "
            "-in KEY -pubout', or unset FINETUNED_ADAPTER_KEY_FILE"
        ) from e


def fault(
    key: PublicKey, name: str, base_model: str, digest: str, signature: str | None
) -> str | None:
    """Return why an adapter must not be loaded, or None."""
    if signature is None:
        return UNSIGNED
    return None if key.verifies(_PURPOSE, _content(name, base_model, digest), signature) else FORGED


def _content(name: str, base_model: str, digest: str) -> dict[str, str]:
    return {"base_model": base_model, "digest": digest, "model": name}
