"""Receipts of erasures: their content, their signature, and how to verify it."""

from __future__ import annotations

from typing import Any, Final

from service.core.encryption.signing import PublicKey, SigningKey
from service.core.redis.rewriting import Rewrite
from service.erasure.records import ErasureRecord, ErasureSignature

PURPOSE: Final = "erasure receipt 1"
_REWRITE: Final = "rewrite"  # not in receipts of earlier versions
SIGNED: Final = (
    *("id", "project_id", "subject", "subject_id", "requested_by", "requested_at"),
    *("completed_at", "folders", "objects", "is_inventory_complete"),
)


class NotVerified(ValueError):
    """This installation did not sign the receipt. The message says why."""


def content_of(record: ErasureRecord, completed_at: int | None) -> dict[str, Any]:
    """Return what a receipt states: what was erased, when, and who asked for it."""
    rewrite = record.rewrite
    return {
        "id": record.id,
        "project_id": record.project_id,
        "subject": record.subject.value,
        "subject_id": record.subject_id,
        "requested_by": record.key_id,
        "requested_at": record.created_at,
        "completed_at": completed_at,
        "folders": list(record.folders),
        "objects": [
            {"key": found.key, "bytes": found.bytes, "sha256": found.sha256}
            for found in record.objects
        ],
        "is_inventory_complete": record.is_inventory_complete,
        **({} if rewrite is None else {_REWRITE: rewrite.model_dump(mode="json")}),
    }


def sign_receipt(
    record: ErasureRecord, completed_at: int, rewrite: Rewrite, key: SigningKey
) -> ErasureSignature:
    """Return the signature of an erasure's receipt."""
    stated = record.model_copy(update={"rewrite": rewrite})
    signed = key.sign(PURPOSE, content_of(stated, completed_at))
    return ErasureSignature(
        algorithm=signed.algorithm,
        key_id=signed.key_id,
        public_key=signed.public_key,
        value=signed.value,
    )


def verify(receipt: dict[str, Any], *keys: PublicKey) -> None:
    """Check that one of these keys signed a receipt, as the API returns it. Raises NotVerified."""
    signature = receipt.get("signature")
    if not isinstance(signature, dict):
        raise NotVerified("the receipt has no signature: the erasure was not complete yet")
    key = next((key for key in keys if key.text == signature.get("public_key")), None)
    if key is None:
        ids = " or ".join(key.id for key in keys)
        raise NotVerified(
            f"the receipt is signed with the key {signature.get('key_id')}, not with {ids}: "
            "give the key of the installation that signed it with --key"
        )
    missing = [name for name in SIGNED if name not in receipt]
    if missing:
        raise NotVerified(f"the receipt lacks {', '.join(missing)}")
    content = {name: receipt[name] for name in SIGNED}
    if receipt.get(_REWRITE) is not None:
        content[_REWRITE] = receipt[_REWRITE]
    if not key.verifies(PURPOSE, content, str(signature.get("value"))):
        raise NotVerified("the receipt was changed after it was signed")
