"""Wire types of comparisons and merges."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.datasets.contract.versions import Balance, Change, MergeOptions
from service.files.curation.operations import TaskOperation
from service.web.validation import Metadata

_DEFAULTS = MergeOptions()


class DiffRowObject(BaseModel):
    """A row that differs between two files."""

    id: str = Field(description="Position among the rows that differ, as a string.")
    object: Literal["file.diff.row"] = "file.diff.row"
    change: Change = Field(
        description="`changed`: both files have the row, with different texts; `removed`: only "
        "the earlier file has it; `added`: only the later one."
    )
    line: int | None = Field(description="Line of the row in the earlier file; null if added.")
    other_line: int | None = Field(
        description="Line of the row in the later file; null if removed."
    )
    row: dict[str, Any] | None = Field(
        description="Row of the earlier file, as jobs train on it; null if added."
    )
    other_row: dict[str, Any] | None = Field(
        description="Row of the later file, as jobs train on it; null if removed."
    )


class FileToMerge(BaseModel):
    """A file to merge, and how many of its rows to take."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: Annotated[str, Field(max_length=128)] = Field(
        description="ID of the file, which has the purpose `fine-tune`."
    )
    max_rows: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None, description="Maximum number of rows to take, chosen with the seed."
    )
    weight: Annotated[float, Field(gt=0, le=1_000)] | None = Field(
        default=None,
        description="Share of the file in the merged rows, relative to the other files. If any "
        "file has a weight, the others have 1 by default. As many rows are taken as "
        "the weights allow.",
    )


class MergeFields(BaseModel):
    """Files to merge, and options."""

    files: Annotated[list[FileToMerge], Field(min_length=2, max_length=20)] = Field(
        description="Files to merge. Their rows have one format, such as chats or prompts for "
        "graders."
    )
    filename: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="merged.jsonl", description="Name of the merged file."
    )
    exact_duplicates: bool = Field(
        default=_DEFAULTS.exact_duplicates,
        description="Whether to keep only the first of the rows that are identical in all content "
        "used for training, in the order of `files`.",
    )
    balance: Balance = Field(
        default=_DEFAULTS.balance,
        description="`files` takes the same number of rows from each file, and `languages` from "
        "each language. Rows of unknown languages, and of languages with less than 2% "
        "of the rows, are all kept.",
    )
    seed: int = Field(
        default=_DEFAULTS.seed,
        ge=0,
        le=2147483647,
        description="Random seed for choosing rows.",
    )


class MergedFileObject(BaseModel):
    """Result of a merge for the rows of a file."""

    file_id: str = Field(description="ID of the file.")
    rows: int = Field(description="Number of rows in the file.")
    taken: int = Field(description="Number of rows in the merged file.")
    duplicates: int = Field(description="Number of rows that are identical to an earlier one.")
    left_out: int = Field(
        description="Number of rows that `max_rows`, weights or the balance left out."
    )


class RowOfFileObject(BaseModel):
    """A row of a file."""

    file_id: str = Field(description="ID of the file.")
    line: int = Field(description="Line of the row in the file, counted from 1.")


class CreateDatasetDiff(BaseModel):
    """Request to compare a training file with a later one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: Annotated[str, Field(max_length=128)] = Field(description="ID of the earlier file.")
    other_file_id: Annotated[str, Field(max_length=128)] = Field(
        description="ID of the later file, which has passed its check."
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the diff; up to 16."
    )


class DatasetDiffResult(BaseModel):
    """Numbers of rows that differ. The whole comparison is the content of the diff."""

    unchanged: int = Field(description="Number of rows that both files have.")
    changed: int = Field(description="Number of rows that both files have with different texts.")
    removed: int = Field(description="Number of rows that only the earlier file has.")
    added: int = Field(description="Number of rows that only the later file has.")


class DatasetDiff(TaskOperation):
    """Comparison of a training file with a later one."""

    id: str = Field(description="ID of the diff. Starts with `filediff-`.")
    object: Literal["dataset.diff"] = "dataset.diff"
    file_id: str = Field(description="ID of the earlier file.")
    other_file_id: str = Field(description="ID of the later file.")
    result: DatasetDiffResult | None = Field(
        description="Numbers of rows that differ. Null unless the status is `completed`, and for "
        "diffs that version 0.2 created."
    )

    @classmethod
    def inputs_of(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields about the inputs."""
        return {"other_file_id": options["other_file"]}


class CreateDatasetMerge(MergeFields):
    """Request to merge training files."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the merge; up to 16."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        ids = [file.file_id for file in self.files]
        if len(set(ids)) < len(ids):
            raise ValueError("'files' contains a file twice. Use its 'weight' instead.")
        if self.balance == "languages" and any(file.weight is not None for file in self.files):
            raise ValueError("'weight' cannot be combined with the balance 'languages'.")
        return self

    def stored(self, filename: str) -> dict[str, Any]:
        """Return the request as stored in the task."""
        given = self.model_dump(mode="json")
        options = {name: given[name] for name in ("exact_duplicates", "balance", "seed")}
        return {"files": given["files"], "filename": filename, "options": options}


class DatasetMergeResult(BaseModel):
    """Files that a merge made, and what became of the rows."""

    merged_file_id: str = Field(description="ID of the merged file.")
    diff_file_id: str = Field(
        description="ID of a JSON Lines file that names each row that was left out, with the "
        "reason, and each row that conflicts with one of another file."
    )
    rows: int = Field(description="Number of rows in the merged file.")
    sources: list[MergedFileObject] = Field(
        description="Result of the merge for the rows of each file."
    )
    languages: dict[str, int] = Field(description="Number of rows in the merged file, by language.")
    conflicts: int = Field(
        description="Number of questions in the merged file that several files answer differently."
    )
    conflict_examples: list[list[RowOfFileObject]] = Field(
        description="Rows of the first 20 conflicts, up to five each."
    )


class DatasetMerge(MergeFields, TaskOperation):
    """Merge of training files. The merged file is a new file, which is kept when the merge is
    deleted.
    """

    id: str = Field(description="ID of the merge. Starts with `filemerge-`.")
    object: Literal["dataset.merge"] = "dataset.merge"
    file_id: str = Field(
        description="ID of the first of the files. The merge is deleted with this file."
    )
    result: DatasetMergeResult | None = Field(
        description="Files and what became of the rows; null unless the status is `completed`."
    )

    @classmethod
    def inputs_of(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields about the inputs."""
        return {**options, **options["options"]}

    @classmethod
    def result_of(cls, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result."""
        files = {f"{name}_id": result[name] for name in ("merged_file", "diff_file")}
        return {**result, **files}
