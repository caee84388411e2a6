"""Request and response schemas of the files API."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.datasets.formats.options import Container, Shape
from service.files.records import FileRecord, FileStatus, Purpose

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class FormatFields(BaseModel):
    """Format options of a file. They override automatic detection."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    container: Container | None = Field(
        default=None,
        description="Container format of the file. With `text`, plain text or Markdown is cut to "
        "rows of texts.",
    )
    shape: Shape | None = Field(default=None, description="Structure of a row.")
    encoding: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")] | None = Field(
        default=None, description="Text encoding, by its Python name.", examples=["gb18030"]
    )
    columns: dict[Name, Name] = Field(
        default_factory=dict,
        max_length=32,
        description="Mapping from a field of the shape to the column that holds it.",
        examples=[{"prompt": "Frage", "completion": "Antwort"}],
    )
    roles: dict[Name, Literal["system", "user", "assistant", "tool"]] = Field(
        default_factory=dict,
        max_length=32,
        description="Mapping from a role in the data to a supported role.",
        examples=[{"kunde": "user"}],
    )
    system: Annotated[str, StringConstraints(max_length=16_384)] | None = Field(
        default=None, description="System message for rows that have none."
    )
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = Field(
        default=None, description="CSV delimiter. Detected if omitted."
    )
    sheet: Name | None = Field(
        default=None,
        description="Sheet of a workbook. Defaults to the first whose columns can be read.",
    )
    header_row: Annotated[int, Field(ge=0, le=1_000)] | None = Field(
        default=None,
        description="Number of the row or line that names the columns of a table, from 1. With 0, "
        "no row does, and the columns are named `column 1`, `column 2` and so on. Detected if "
        "omitted.",
        examples=[3],
    )
    group_by: Name | None = Field(
        default=None,
        description="Column with the ID of the conversation, if each row is one message. Its "
        "columns can be mapped as `role`, `content` and `order`.",
        examples=["ticket"],
    )

    def stored(self) -> dict[str, Any] | None:
        """Return the options as stored in a record, or None without any."""
        return self.model_dump(mode="json", exclude_defaults=True) or None


class FileObject(BaseModel):
    """OpenAI's file object, extended with what the check found and where the file comes from."""

    id: str = Field(description="ID of the file, prefixed with `file-`.")
    object: Literal["file"] = "file"
    bytes: int = Field(description="File size in bytes.")
    sha256: str | None = Field(  # always sent; older servers do not know it
        default=None, description="SHA-256 digest of the file's bytes, in hexadecimal."
    )
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    filename: str = Field(description="Name of the file, as given by the client.")
    purpose: Purpose
    status: FileStatus = Field(
        description="Status of the file: `uploaded` until it is checked, then `processed` or "
        "`error`."
    )
    status_details: str | None = Field(
        default=None, description="Reason the file cannot be used, with the line and the error."
    )
    expires_at: int | None = Field(
        default=None,
        description="Expiration time, as a Unix timestamp in seconds; null if the file never "
        "expires.",
    )
    rows: int | None = Field(default=None, description="Number of rows found by the check.")
    warnings: int | None = Field(
        default=None, description="Number of warnings found by the check; the report lists them."
    )
    format: dict[str, Any] | None = Field(
        default=None, description="Format options given at upload."
    )
    found: dict[str, Any] | None = Field(
        default=None, description="Container, encoding, shape and columns found by the check."
    )
    derived_from: str | None = Field(
        default=None, description="ID of the file that a cleaning made this one from, if one did."
    )
    cleaning: str | None = Field(
        default=None, description="ID of the cleaning that made this file, if one did."
    )
    merged_from: list[str] | None = Field(
        default=None, description="IDs of the files that a merge made this one from, if one did."
    )
    merge: str | None = Field(
        default=None, description="ID of the merge that made this file, if one did."
    )
    generation: str | None = Field(
        default=None,
        description="ID of the generation whose rows this file has, if a model wrote them.",
    )
    documents: list[str] | None = Field(
        default=None, description="IDs of the documents that a model wrote the rows from."
    )

    @classmethod
    def from_record(cls, record: FileRecord) -> Self:
        """Return the API object of a record."""
        return cls.model_validate(record, from_attributes=True)


class FileDeleted(BaseModel):
    """Response to deleting a file."""

    id: str = Field(description="ID of the deleted file.")
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
    unfinished_jobs: list[str] = Field(
        default=[],
        description="IDs of unfinished jobs, batches and generations that read the file, and may "
        "fail without it.",
    )
    models: list[str] = Field(
        default=[],
        description="Names of the trained models and checkpoints whose jobs read the file. They "
        "are kept.",
    )
    deleted_models: list[str] = Field(
        default=[],
        description="Names of the trained models and checkpoints that `cascade` deleted.",
    )
    derived_files: list[str] = Field(
        default=[],
        description="IDs of the files that cleanings, merges and generations made from the file. "
        "They are kept.",
    )
    receipts: list[str] = Field(
        default=[],
        description="IDs of the receipts of the erasure: of the file, then of each deleted model.",
    )
