"""Request and response schemas of the uploads API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.files.records import FileRecord, Purpose
from service.files.schemas import FileObject, FormatFields
from service.files.upload import MAX_EXPIRY_S, MIN_EXPIRY_S
from service.files.uploads.records import MAX_PARTS, PartRecord, UploadRecord, UploadStatus

PartId = Annotated[str, Field(max_length=80)]


class ExpiresAfter(BaseModel):
    """Lifetime of the uploaded file, counted from its creation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: Literal["created_at"] = Field(description="Event from which the lifetime is counted.")
    seconds: int = Field(
        ge=MIN_EXPIRY_S,
        le=MAX_EXPIRY_S,
        description="Lifetime in seconds, from one hour to 30 days.",
    )


class UploadCreate(BaseModel):
    """Request to create an upload. `format` is an extension of OpenAI's schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    filename: str = Field(min_length=1, max_length=1024, description="Name of the resulting file.")
    purpose: Literal[
        Purpose.FINE_TUNE,
        Purpose.EVALS,
        Purpose.BATCH,
        Purpose.USER_DATA,
        Purpose.MODEL_IMPORT,
    ] = Field(
        description="Purpose of the file. `fine-tune` and `evals` files are checked, `batch` files "
        "when a batch is created. `model-import`, an extension, is for archives of adapters."
    )
    bytes: int = Field(ge=1, description="Size of the complete file in bytes.")
    mime_type: str = Field(
        max_length=255,
        description="MIME type of the file. Required for OpenAI compatibility; the format is "
        "detected from the content.",
    )
    expires_after: ExpiresAfter | None = Field(
        default=None,
        description="Lifetime of the resulting file. If omitted, the file never expires.",
    )
    format: FormatFields | None = Field(default=None, description="Format options of the file.")


class UploadComplete(BaseModel):
    """Request to complete an upload: the parts of the file, in order."""

    model_config = ConfigDict(extra="forbid", strict=True)

    part_ids: list[PartId] = Field(
        max_length=MAX_PARTS, description="IDs of the parts, in file order."
    )
    md5: str | None = Field(
        default=None,
        pattern="^[0-9a-fA-F]{32}$",
        description="MD5 digest of the complete file, in hexadecimal.",
    )


class UploadObject(BaseModel):
    """OpenAI's upload object."""

    id: str = Field(description="ID of the upload, prefixed with `upload_`.")
    object: Literal["upload"] = "upload"
    bytes: int = Field(description="Declared size of the complete file in bytes.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    filename: str = Field(description="Name of the resulting file.")
    purpose: Purpose
    status: UploadStatus
    expires_at: int = Field(
        description="Time until which the upload accepts parts, as a Unix timestamp in seconds."
    )
    file: FileObject | None = Field(
        default=None, description="Resulting file; null until the upload is completed."
    )

    @classmethod
    def from_record(cls, upload: UploadRecord, file: FileRecord | None = None) -> UploadObject:
        """Return the API object of a record and the resulting file."""
        upload_object = cls.model_validate(upload, from_attributes=True)
        return upload_object.model_copy(update={"file": file and FileObject.from_record(file)})


class UploadPartObject(BaseModel):
    """OpenAI's part object, extended with `bytes` and `md5` so that clients can resume uploads."""

    id: str = Field(description="ID of the part, prefixed with `part_`, for use in `part_ids`.")
    object: Literal["upload.part"] = "upload.part"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    upload_id: str = Field(description="ID of the upload that the part belongs to.")
    bytes: int = Field(description="Number of bytes received.")
    md5: str = Field(description="MD5 digest of the received bytes, in hexadecimal.")

    @classmethod
    def from_record(cls, part: PartRecord) -> UploadPartObject:
        """Return the API object of a record."""
        return cls.model_validate(part, from_attributes=True)
