"""Request and response schemas of comparisons and merges."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.datasets.contract.versions import Balance, Change, MergeOptions
from service.files.curation.deprecated import TaskFailure
from service.files.curation.records import Task, TaskState

_DEFAULTS = MergeOptions()


class DiffPending(BaseModel):
    """A comparison in progress. Retry after `retry-after` seconds."""

    id: str = Field(description="ID of the diff.")
    object: Literal["file.diff"] = "file.diff"
    file_id: str = Field(description="ID of the earlier file.")
    other_file: str = Field(description="ID of the later file.")
    status: Literal[TaskState.IN_PROGRESS] = TaskState.IN_PROGRESS


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


class MergeRequest(BaseModel):
    """Files to merge, and options."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

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


class MergeObject(BaseModel):
    """A merge of files. The merged file is a new file."""

    id: str = Field(description="ID of the merge, prefixed with `filemerge-`.")
    object: Literal["file.merge"] = "file.merge"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time the merge ended, as a Unix timestamp in seconds; null while it runs."
    )
    file_id: str = Field(
        description="ID of the first file, below which the merge is retrieved and listed."
    )
    files: list[FileToMerge] = Field(description="Files to merge, as requested.")
    filename: str = Field(description="Name of the merged file.")
    status: TaskState = Field(
        description="Status of the merge: `in_progress`, then `completed` or `failed`."
    )
    options: dict[str, Any] = Field(description="Options of the merge.")
    error: TaskFailure | None = Field(description="Error that made the merge fail; null otherwise.")
    merged_file: str | None = Field(default=None, description="ID of the merged file.")
    diff_file: str | None = Field(
        default=None,
        description="ID of a JSON Lines file that names each row that was left out, with the "
        "reason, and each row that conflicts with one of another file.",
    )
    rows: int | None = Field(default=None, description="Number of rows in the merged file.")
    sources: list[MergedFileObject] | None = Field(
        default=None, description="Result of the merge for the rows of each file."
    )
    languages: dict[str, int] | None = Field(
        default=None, description="Number of rows in the merged file, by language."
    )
    conflicts: int | None = Field(
        default=None,
        description="Number of questions in the merged file that several files answer differently.",
    )
    conflict_examples: list[list[RowOfFileObject]] | None = Field(
        default=None, description="Rows of the first 20 conflicts, up to five each."
    )

    @classmethod
    def from_record(cls, task: Task) -> Self:
        """Return the API object of a record."""
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            status=task.state,
            error=TaskFailure.from_record(task),
            **task.options,
            **(task.result or {}),
        )
