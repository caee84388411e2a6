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

    anchor: Literal["created_at"] = Field(description="From when it is counted.")
    seconds: int = Field(ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S, description="From an hour to 30 days.")


class UploadCreate(BaseModel):
    """What a client says of a file before it sends it. `format` is ours."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field(
        min_length=1, max_length=1024, description="What the file will be called."
    )
    purpose: Literal[Purpose.FINE_TUNE, Purpose.USER_DATA] = Field(
        description="What it is for; `fine-tune` has it checked."
    )
    bytes: int = Field(ge=1, description="Of the whole file.")
    mime_type: str = Field(
        max_length=255, description="As OpenAI asks for it; what counts is the content."
    )
    expires_after: ExpiresAfter | None = Field(
        default=None, description="When the file goes; for good where nothing is said."
    )
    format: FormatFields | None = Field(default=None, description="How to read it.")


class UploadComplete(BaseModel):
    """Which parts make the file, in which order."""

    model_config = ConfigDict(extra="forbid")

    part_ids: list[PartId] = Field(max_length=MAX_PARTS, description="In the order of the file.")
    md5: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{32}$", description="Of the whole file, as hex."
    )


class UploadObject(BaseModel):
    """OpenAI's upload object."""

    id: str = Field(description="`upload_` and letters.")
    object: Literal["upload"] = "upload"
    bytes: int = Field(description="Of the whole file, as declared.")
    created_at: int = Field(description="Seconds since 1970, UTC.")
    filename: str = Field(description="What the file will be called.")
    purpose: Purpose
    status: UploadStatus
    expires_at: int = Field(description="Until when it takes parts.")
    file: FileObject | None = Field(
        default=None, description="What it became; null until it is completed."
    )

    @classmethod
    def of(cls, upload: UploadRecord, file: FileRecord | None = None) -> UploadObject:
        """The wire form of a record, with the file that it became."""
        made = cls.model_validate(upload, from_attributes=True)
        return made.model_copy(update={"file": file and FileObject.of(file)})


class UploadPartObject(BaseModel):
    """OpenAI's part object. `bytes` and `md5` are ours: a client that resumes compares them."""

    id: str = Field(description="`part_` and letters, for `part_ids`.")
    object: Literal["upload.part"] = "upload.part"
    created_at: int = Field(description="Seconds since 1970, UTC.")
    upload_id: str = Field(description="Whose part it is.")
    bytes: int = Field(description="That have come.")
    md5: str = Field(description="Of these bytes, as hex.")

    @classmethod
    def of(cls, part: PartRecord) -> UploadPartObject:
        """The wire form of a record."""
        return cls.model_validate(part, from_attributes=True)
