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
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = Field(
        default=None, description="Of CSV; found out where it is not given."
    )
    sheet: Name | None = Field(default=None, description="Of a workbook; else the first.")

    def stored(self) -> dict[str, Any] | None:
        """What a record keeps; None where nothing was said."""
        return self.model_dump(mode="json", exclude_defaults=True) or None


class FileObject(BaseModel):
    """OpenAI's file object. Ours: `rows` and `warnings` that the check counted, the `format`
    that was said at the upload, and what was `found`.
    """

    id: str = Field(description="`file-` and letters.")
    object: Literal["file"] = "file"
    bytes: int = Field(description="Its size.")
    created_at: int = Field(description="Seconds since 1970, UTC.")
    filename: str = Field(description="As the client named it.")
    purpose: Purpose
    status: FileStatus = Field(
        description="`uploaded` until it was checked, then `processed` or `error`."
    )
    status_details: str | None = Field(
        default=None, description="Why it cannot be used: the line, and the fault."
    )
    expires_at: int | None = Field(default=None, description="When it goes; null: never.")
    rows: int | None = Field(default=None, description="That the check counted.")
    warnings: int | None = Field(
        default=None, description="That the check counted; see the report."
    )
    format: dict[str, Any] | None = Field(
        default=None, description="What the uploader said of the format."
    )
    found: dict[str, Any] | None = Field(
        default=None, description="Container, encoding, shape and columns, as the check found them."
    )

    @classmethod
    def of(cls, record: FileRecord) -> Self:
        """The wire form of a record."""
        return cls.model_validate(record, from_attributes=True)


class FileDeleted(BaseModel):
    """What deleting a file answers."""

    id: str = Field(description="Of the file that is gone.")
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
