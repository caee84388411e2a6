"""Files on the wire."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel

from service.files.records import FileRecord, FileStatus, Purpose


class FileObject(BaseModel):
    """OpenAI's file object. `rows` is ours: what the check counted."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose
    status: FileStatus
    status_details: str | None = None
    expires_at: int | None = None
    rows: int | None = None

    @classmethod
    def of(cls, record: FileRecord) -> Self:
        """The wire form of a record."""
        return cls.model_validate(record, from_attributes=True)


class FileDeleted(BaseModel):
    """What deleting a file answers."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
