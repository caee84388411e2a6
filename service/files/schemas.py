"""Files on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.datasets.formats.options import Container, Shape
from service.files.records import FileRecord, FileStatus, Purpose

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class FormatFields(BaseModel):
    """How to read a file whose format cannot be found out, or is not to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    container: Container | None = Field(default=None, description="What the bytes are.")
    shape: Shape | None = Field(default=None, description="What a row is.")
    encoding: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")] | None = Field(
        default=None, description="Of text, as Python names it.", examples=["gb18030"]
    )
    columns: dict[Name, Name] = Field(
        default_factory=dict,
        max_length=32,
        description="A field of the shape → the column that holds it.",
        examples=[{"prompt": "Frage", "completion": "Antwort"}],
    )
    roles: dict[Name, Literal["system", "user", "assistant", "tool"]] = Field(
        default_factory=dict,
        max_length=32,
        description="A role in the data → one of ours.",
        examples=[{"kunde": "user"}],
    )
    system: Annotated[str, StringConstraints(max_length=16_384)] | None = Field(
        default=None, description="A system message for rows that have none."
    )
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    sheet: Name | None = Field(default=None, description="Of a workbook; else the first.")

    def stored(self) -> dict[str, Any] | None:
        """What a record keeps; None where nothing was said."""
        return self.model_dump(mode="json", exclude_defaults=True) or None


class FileObject(BaseModel):
    """OpenAI's file object. Ours: `rows` and `warnings` that the check counted, the `format`
    that was said at the upload, and what was `found`.
    """

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
    warnings: int | None = None
    format: dict[str, Any] | None = None
    found: dict[str, Any] | None = None

    @classmethod
    def of(cls, record: FileRecord) -> Self:
        """The wire form of a record."""
        return cls.model_validate(record, from_attributes=True)


class FileDeleted(BaseModel):
    """What deleting a file answers."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
