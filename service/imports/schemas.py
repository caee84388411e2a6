"""Wire types of imports."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.files.curation.operations import TaskOperation
from service.web.validation import Metadata


class CreateModelImport(BaseModel):
    """Request to import an adapter that was trained elsewhere."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: str = Field(
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
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the import; up to 16."
    )


class ImportFinding(BaseModel):
    """A difference between an adapter's folder and its base model."""

    severity: Literal["warning", "info"] = Field(
        description="Severity: `warning` if the model may answer badly, `info` otherwise."
    )
    code: str = Field(description="Machine-readable code of the finding.")
    message: str = Field(description="What was found.")
    fix: str = Field(description="What to do about it.")


class ModelImportResult(BaseModel):
    """Imported model, and the differences that were found."""

    model: str = Field(description="Name of the imported model.")
    base_model_name_or_path: str | None = Field(
        description="Base model that the adapter's configuration names."
    )
    skipped_files: int = Field(
        description="Number of files in the archive that are not part of an adapter."
    )
    findings: list[ImportFinding] = Field(
        description="Differences between the adapter's folder and the base model."
    )


class ModelImport(TaskOperation):
    """Import of an adapter. The model is kept when the import is deleted."""

    id: str = Field(description="ID of the import. Starts with `modelimport-`.")
    object: Literal["model.import"] = "model.import"
    file_id: str = Field(description="ID of the archive. The import is deleted with it.")
    base_model: str = Field(description="Base model of the adapter.")
    suffix: str | None = Field(description="Suffix in the model's name; null if none was given.")
    result: ModelImportResult | None = Field(
        description="Imported model; null unless the status is `completed`."
    )

    @classmethod
    def inputs_of(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields about the inputs."""
        return {name: options[name] for name in ("base_model", "suffix")}
