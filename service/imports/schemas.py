"""Request and response schemas of imports."""

from __future__ import annotations

from typing import Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from service.files.curation.deprecated import TaskFailure
from service.files.curation.records import Task, TaskState


class ImportOptions(msgspec.Struct, frozen=True):
    """The base model, the suffix, and the name that the model will have."""

    base_model: str
    suffix: str | None
    model: str


class CreateModelImport(BaseModel):
    """Request to import an adapter that was trained elsewhere."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: str = Field(
        max_length=128,
        description="ID of a file with the purpose `model-import`: the folder that PEFT's "
        "`save_pretrained` wrote, packed as .tar, .tar.gz, .tar.zst or .zip.",
    )
    base_model: str = Field(
        max_length=128, description="Base model of the catalog that the adapter was trained on."
    )
    suffix: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Suffix to include in the name of the model.",
    )


class ImportFinding(BaseModel):
    """A difference between an adapter's folder and its base model."""

    severity: Literal["warning", "info"] = Field(
        description="Severity: `warning` if the model may answer badly, `info` otherwise."
    )
    code: str = Field(description="Machine-readable code of the finding.")
    message: str = Field(description="What was found.")
    fix: str = Field(description="What to do about it.")


class ModelImport(BaseModel):
    """An import of an adapter."""

    id: str = Field(description="ID of the import, prefixed with `modelimport-`.")
    object: Literal["model.import"] = "model.import"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time the import ended, as a Unix timestamp in seconds; null while it runs."
    )
    file_id: str = Field(description="ID of the archive.")
    base_model: str = Field(description="Base model of the adapter.")
    suffix: str | None = Field(description="Suffix in the model's name; null if none was given.")
    status: TaskState = Field(
        description="Status of the import: `in_progress`, then `completed` or `failed`."
    )
    error: TaskFailure | None = Field(
        description="Reason the adapter was not imported; null otherwise."
    )
    model: str | None = Field(
        default=None, description="Name of the imported model; null until the import is completed."
    )
    base_model_name_or_path: str | None = Field(
        default=None, description="Base model that the adapter's configuration names."
    )
    skipped_files: int | None = Field(
        default=None, description="Number of files in the archive that are not part of an adapter."
    )
    findings: list[ImportFinding] | None = Field(
        default=None,
        description="Differences between the adapter's folder and the base model; null until the "
        "import is completed.",
    )

    @classmethod
    def from_record(cls, task: Task) -> Self:
        """The API object for a record."""
        options = msgspec.convert(task.options, ImportOptions)
        result: dict[str, Any] = task.result or {}
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            base_model=options.base_model,
            suffix=options.suffix,
            status=task.state,
            error=TaskFailure.from_record(task),
            **result,
        )
