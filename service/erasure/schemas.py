"""Response schemas of erasure receipts."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.core.redis.rewriting import AppendOnlyFile, JournalFiles
from service.erasure.receipts import content_of
from service.erasure.records import ErasureRecord


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class ErasedObjectEntry(_Shown):
    """An object in storage that was removed."""

    key: str = Field(description="Name of the object in storage.")
    bytes: int = Field(description="Size of the object.")
    sha256: str = Field(description="SHA-256 digest of the object's bytes, in hexadecimal.")


class ErasureRewrite(_Shown):
    """Rewrite of the files that have all changes of Redis, so that the deleted is in none."""

    began_at: int = Field(description="Start time, as a Unix timestamp in seconds.")
    append_only_file: AppendOnlyFile = Field(
        description="What happened to the append-only file of Redis: `rewritten`; `off` if Redis "
        "has none; `not_permitted` if Redis refuses `BGREWRITEAOF`, so that the file still has the "
        "deleted records until Redis rewrites it by itself."
    )
    journal: JournalFiles = Field(
        description="What happened to the journal in storage: `rewritten`; `none` if there is "
        "none; `kept` if it is switched off, but has objects from before."
    )
    replicas: int = Field(
        description="Number of replicas of Redis, whose files were not rewritten with it."
    )


class ReceiptSignature(_Shown):
    """Signature of a receipt."""

    algorithm: Literal["Ed25519"] = "Ed25519"
    key_id: str = Field(
        description="First 16 characters of the SHA-256 digest of the public key, in hexadecimal."
    )
    public_key: str = Field(description="Public key of the installation, in Base64.")
    value: str = Field(
        description="Signature in Base64, over the purpose, a newline, and the receipt as JSON "
        "with sorted keys and without spaces. `object`, `status` and `signature` are left out."
    )


class ErasureReceiptObject(_Shown):
    """Receipt of an erasure: what was erased, when, and who asked for it."""

    id: str = Field(description="ID of the receipt, prefixed with `erasure-`.")
    object: Literal["erasure_receipt"] = "erasure_receipt"
    status: Literal["in_progress", "completed"] = Field(
        description="`completed` once nothing is left in storage and in the files of Redis, and "
        "the receipt is signed."
    )
    project_id: str = Field(description="ID of the project.")
    subject: Literal["file", "model", "export", "eval", "eval.run"] = Field(
        description="Kind of the deleted object."
    )
    subject_id: str = Field(description="ID of the deleted object, or name of the deleted model.")
    requested_by: str = Field(
        description="ID of the API key that deleted the object, or `expires_after` if it expired."
    )
    requested_at: int = Field(description="Time of the deletion, as a Unix timestamp in seconds.")
    completed_at: int | None = Field(
        description="Time from which nothing was left in storage, as a Unix timestamp in seconds."
    )
    folders: list[str] = Field(description="Folders in storage that were emptied.")
    objects: list[ErasedObjectEntry] = Field(
        description="Objects that were in these folders when the object was deleted."
    )
    is_inventory_complete: bool = Field(
        description="Whether `objects` is complete; false if storage was unavailable at the time "
        "of the deletion."
    )
    rewrite: ErasureRewrite | None = Field(
        default=None,
        description="Rewrite of the files of Redis after the deletion; null until the receipt is "
        "completed, and in receipts of versions up to 0.2, whose signature does not cover it.",
    )
    signature: ReceiptSignature | None = Field(
        description="Signature of the receipt; null until it is completed."
    )

    @classmethod
    def from_record(cls, record: ErasureRecord) -> Self:
        """Build the API object for a record."""
        content: dict[str, Any] = content_of(record, record.completed_at)
        signature = record.signature
        return cls(
            **content,
            status="completed" if record.is_complete else "in_progress",
            signature=None
            if signature is None
            else ReceiptSignature.model_validate(signature, from_attributes=True),
        )
