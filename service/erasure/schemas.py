"""Request and response schemas of erasure receipts, and of searches for rows to erase."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from service.core.redis.rewriting import AppendOnlyFile, JournalFiles, Rewrite
from service.erasure.receipts import content_of
from service.erasure.records import ErasureRecord
from service.erasure.search.records import SearchRecord
from service.web.operations import Operation, OperationStatus, shared_fields
from service.web.validation import Metadata


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

    algorithm: Literal["Ed25519"] = Field(
        default="Ed25519", description="Signature algorithm. Always `Ed25519`."
    )
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

    id: str = Field(
        description="ID of the receipt. Starts with `receipt-`, or with `erasure-` if version 0.2 "
        "created it."
    )
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
    completed_at: int | None = Field(description="When removal finished, in Unix seconds.")
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


_DIGEST = r"[0-9a-f]{64}"


class RowMatchFields(BaseModel):
    """Rows to find."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["text", "substring", "row_sha256"] = Field(
        description="`text`: a message has these words, ignoring case, spacing, width, "
        "punctuation and politeness. `substring`: the row contains exactly these characters. "
        "`row_sha256`: the SHA-256 digest of the row, as the API returns rows in JSON Lines."
    )
    value: Annotated[str, StringConstraints(min_length=4, max_length=10_000)] = Field(
        description="Text or digest to find.", examples=["C-104233"]
    )

    @model_validator(mode="after")
    def _is_a_digest(self) -> Self:
        if self.type == "row_sha256" and not re.fullmatch(_DIGEST, self.value):
            raise ValueError("a row_sha256 has 64 hexadecimal digits in lowercase")
        if self.type == "text" and not any(character.isalnum() for character in self.value):
            raise ValueError("a text has letters or digits")
        return self


class CreateErasure(BaseModel):
    """Request to find rows in all files and stored chats of the project, and to erase them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    match: RowMatchFields
    apply: bool = Field(
        default=False,
        description="Whether to replace each file by one without the rows, and to delete the "
        "stored chats. Otherwise, they are only listed.",
    )
    cascade: bool = Field(
        default=False,
        description="Whether to delete the models trained on the files too, with their "
        "checkpoints, exports and evaluations. Needs `apply`.",
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the erasure; up to 16."
    )


class ErasureMatch(_Shown):
    """Digest of what an erasure searched for."""

    type: Literal["text", "substring", "row_sha256"] = Field(
        description="What was searched for: a text, part of a text, or the SHA-256 of a row."
    )
    hmac_sha256: str = Field(
        description="HMAC-SHA-256 of the text under a key of the installation, in hexadecimal. The "
        "text itself is not stored."
    )


class ErasureFile(_Shown):
    """A file with rows that match."""

    file_id: str = Field(description="ID of the file.")
    filename: str = Field(
        description="Name of the file; its ID if the name has the text, or if the file was deleted."
    )
    purpose: str = Field(description="Purpose of the file.")
    rows: int | None = Field(
        description="Number of rows; null for files that are searched as raw text. Such files are "
        "not changed: delete them if they must be erased."
    )
    matches: int | None = Field(description="Number of rows that match.")
    lines: list[int] = Field(description="Lines of the first 1,000 rows that match, from 1.")
    models: list[str] = Field(
        description="Names of the existing models that were trained on the file."
    )
    deleted_models: list[str] = Field(description="Names of the models that were deleted.")
    new_file: str | None = Field(
        description="ID of the file without the rows; null if none was made, or if no row is left."
    )
    is_erased: bool = Field(description="Whether the file was deleted.")
    receipts: list[str] = Field(description="IDs of the receipts of the deletions.")
    error: str | None = Field(description="Reason why the file was not deleted.")


class ErasurePlace(_Shown):
    """Object of the project that has the text outside of the rows of files."""

    object: str = Field(
        description="Kind of the object, such as `batch`, `eval.run` or `fine_tuning.job`.",
        examples=["eval.run"],
    )
    id: str = Field(
        description="ID or name of the object; empty if the name itself has the text.",
        examples=["evalrun_abc123"],
    )
    is_in_records: bool = Field(
        description="Whether its record contains the text: its name, metadata, events or other "
        "fields."
    )
    is_in_storage: bool = Field(
        description="Whether its stored data contains the text: requests, answers, reports."
    )


class ErasureStoredChats(_Shown):
    """Stored chats that match."""

    matches: int = Field(description="Number of chats that match.")
    ids: list[str] = Field(description="IDs of the first 1,000 chats that match.")
    is_erased: bool = Field(description="Whether the chats were deleted.")
    error: str | None = Field(description="Reason why the chats could not be searched.")


class ErasureResult(BaseModel):
    """What an erasure has found and done so far."""

    files: list[ErasureFile] = Field(description="Files with rows that match.")
    stored_chats: ErasureStoredChats | None = Field(
        description="Stored chats that match; null until they are searched."
    )
    models: list[str] = Field(
        description="Names of all models that were trained on one of these files, deleted ones "
        "included."
    )
    places: list[ErasurePlace] = Field(
        description="Other objects of the project that contain the text, as it was written: the "
        "first 1,000. They are not changed: delete them if they must be erased. Empty until all "
        "files are searched."
    )
    unreadable_files: list[str] = Field(
        description="IDs of the files that could not be searched, for example because they are "
        "encrypted archives. Check them yourself."
    )
    rewrite: ErasureRewrite | None = Field(
        description="Rewrite of the files of Redis, which then contain neither what was searched "
        "for nor what was deleted; null until it is done, seconds after the erasure has ended."
    )


class Erasure(Operation):
    """A search for rows in all files and stored chats of a project, and their erasure."""

    id: str = Field(description="ID of the erasure. Starts with `erasure-`.")
    object: Literal["organization.erasure"] = "organization.erasure"
    project_id: str = Field(description="ID of the project.")
    match: ErasureMatch = Field(description="Digest of what is searched for.")
    apply: bool = Field(description="Whether files are replaced, and stored chats deleted.")
    cascade: bool = Field(description="Whether models are deleted, too.")
    result: ErasureResult | None = Field(
        description="What was found and done so far; null while the erasure is queued."
    )

    @classmethod
    def from_record(cls, record: SearchRecord, rewrite: Rewrite | None = None) -> Self:
        """Build the API object for a record, and for the rewrite of files after its end."""
        shared = shared_fields(record)
        return cls.model_validate(
            {
                **shared,
                **record.model_dump(include={"project_id", "apply", "cascade"}),
                "match": {"type": record.match_kind, "hmac_sha256": record.match_digest},
                "progress": {"completed": record.files_done, "total": record.files_total},
                "result": None
                if shared["status"] is OperationStatus.QUEUED
                else _result(record, rewrite),
            },
            strict=False,
        )


def _result(record: SearchRecord, rewrite: Rewrite | None) -> dict[str, Any]:
    """Return the fields of `ErasureResult`."""
    names = (name for file in record.found for name in (*file.models, *file.deleted_models))
    return {
        "files": [file.model_dump() for file in record.found],
        "stored_chats": record.chats and record.chats.model_dump(),
        "models": list(dict.fromkeys(names)),
        "places": [place.model_dump() for place in record.places],
        "unreadable_files": record.unreadable_files,
        "rewrite": rewrite and rewrite.model_dump(),
    }
