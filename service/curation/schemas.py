"""Reports and cleanings on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from service.curation.records import Failure, State, Task
from service.datasets.report.report import Report
from service.files.schemas import FormatFields


class ReportPending(BaseModel):
    """A report that is being made; ask again after `retry-after` seconds."""

    id: str = Field(description="Of the report.")
    object: Literal["file.report"] = "file.report"
    file_id: str = Field(description="What it is on.")
    status: Literal[State.IN_PROGRESS] = State.IN_PROGRESS


class CleanRequest(BaseModel):
    """What to clean. Of duplicates the first row stays.

    By default a row is dropped only if it is broken, or equal to an earlier one in everything that
    is trained on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop_broken: bool = Field(
        default=True, description="Otherwise a broken row fails the cleaning."
    )
    exact_duplicates: bool = Field(
        default=True,
        description="Drop rows that equal an earlier row, to the letter, in everything that is "
        "trained on: system prompt, tools, all messages, and the rejected answer.",
    )
    near_duplicates: bool = Field(
        default=False,
        description="Also drop rows that are nearly the same as an earlier row with the same "
        "system prompt, tools and rejected answer. Such rows may differ in a number, a date, or "
        "yes and no; the report lists them.",
    )
    near_threshold: Annotated[float, Field(ge=0.5, le=1)] = Field(
        default=0.8,
        description="Jaccard likeness from which two rows are nearly the same. At 1 they differ "
        "in case and spacing alone.",
    )
    contradictions: Literal["keep", "first", "last", "most_common", "longest", "drop"] = Field(
        default="keep", description="Which answer stays where a question has several."
    )
    personal_data: Literal["keep", "mask", "pseudonym"] = Field(
        default="keep",
        description="`mask` writes [EMAIL]; `pseudonym` [EMAIL_1], the same for the same value. "
        "A value found anywhere in the file is replaced everywhere in it, in every spelling.",
    )
    unicode: Literal["keep", "NFC", "NFKC"] = Field(
        default="NFC", description="NFKC also folds full-width letters and the like."
    )
    mend_mojibake: bool = Field(default=True, description="Text that was decoded wrongly once.")
    drop_control_characters: bool = Field(default=True, description="But tabs and line ends.")
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.0, description="Share of the rows that goes to a validation file."
    )
    seed: int = Field(default=0, ge=0, le=2147483647, description="Of the split.")
    format: FormatFields | None = Field(
        default=None, description="How to read the file; else as its upload said."
    )

    def options(self) -> dict[str, Any]:
        """As the task keeps them."""
        given = self.model_dump(mode="json", exclude={"format"})
        said = self.format.stored() if self.format else None
        return {**given, "format": said} if said else given


class CleaningObject(BaseModel):
    """A cleaning of a file. Its outputs are files of their own."""

    id: str = Field(description="`fileclean-` and letters.")
    object: Literal["file.cleaning"] = "file.cleaning"
    created_at: int = Field(description="Seconds since 1970, UTC.")
    finished_at: int | None = Field(description="Null while it runs.")
    file_id: str = Field(description="What is cleaned.")
    status: State = Field(description="`in_progress`, then `completed` or `failed`.")
    options: dict[str, Any] = Field(description="As they were chosen.")
    error: Failure | None = Field(description="Why it failed.")
    training_file: str | None = Field(default=None, description="The rows to train on.")
    validation_file: str | None = Field(default=None, description="The rows that are held out.")
    diff_file: str | None = Field(
        default=None, description="JSON Lines: what became of each row that was touched."
    )
    source_rows: int | None = Field(default=None, description="Of the file.")
    training_rows: int | None = Field(default=None, description="Of `training_file`.")
    validation_rows: int | None = Field(default=None, description="Of `validation_file`.")
    dropped: dict[str, int] | None = Field(default=None, description="Rows, by reason.")
    changed: dict[str, int] | None = Field(default=None, description="Changes, by kind.")
    changed_rows: int | None = Field(default=None, description="Rows with a change.")

    @classmethod
    def of(cls, task: Task) -> Self:
        """The wire form of a record."""
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            status=task.state,
            options=task.options,
            error=task.error,
            **(task.result or {}),
        )


def report_schemas() -> dict[str, Any]:
    """The parts of openapi.json that describe a report, which is made by the data desk."""
    _, parts = msgspec.json.schema_components([Report], ref_template="#/components/schemas/{name}")
    whole = parts.pop("Report")
    head = {
        "id": {"type": "string"},
        "object": {"const": "file.report"},
        "file_id": {"type": "string"},
        "status": {"const": State.COMPLETED},
    }
    whole["title"] = "FileReport"
    whole["properties"] = {**head, **whole["properties"]}
    whole["required"] = [*head, *whole["required"]]
    return {**parts, "FileReport": whole}
