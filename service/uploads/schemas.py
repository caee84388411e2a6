"""Uploads on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.files.records import FileRecord, Purpose
from service.files.schemas import FileObject, FormatFields
from service.files.upload import MAX_EXPIRY_S, MIN_EXPIRY_S
from service.uploads.records import MAX_PARTS, PartRecord, UploadRecord, UploadStatus

PartId = Annotated[str, Field(max_length=80)]


class ExpiresAfter(BaseModel):
    """When the file of the upload goes, counted from when it is made."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"]
    seconds: int = Field(ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S)


class UploadCreate(BaseModel):
    """What a client says of a file before it sends it. `format` is ours."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field(min_length=1, max_length=1024)
    purpose: Literal[Purpose.FINE_TUNE, Purpose.USER_DATA]
    bytes: int = Field(ge=1, description="Of the whole file.")
    mime_type: str = Field(max_length=255)
    expires_after: ExpiresAfter | None = None
    format: FormatFields | None = None


class UploadComplete(BaseModel):
    """Which parts make the file, in which order."""

    model_config = ConfigDict(extra="forbid")

    part_ids: list[PartId] = Field(max_length=MAX_PARTS)
    md5: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{32}$", description="Of the whole file, as hex."
    )


class UploadObject(BaseModel):
    """OpenAI's upload object."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose
    status: UploadStatus
    expires_at: int
    file: FileObject | None = None

    @classmethod
    def of(cls, upload: UploadRecord, file: FileRecord | None = None) -> UploadObject:
        """The wire form of a record, with the file that it became."""
        made = cls.model_validate(upload, from_attributes=True)
        return made.model_copy(update={"file": file and FileObject.of(file)})


class UploadPartObject(BaseModel):
    """OpenAI's part object. `bytes` and `md5` are ours: a client that resumes compares them."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str
    bytes: int
    md5: str

    @classmethod
    def of(cls, part: PartRecord) -> UploadPartObject:
        """The wire form of a record."""
        return cls.model_validate(part, from_attributes=True)
