"""Wire types of reports and previews of files, and of the rows of a report."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from service.datasets.contract.preview import Preview
from service.datasets.contract.report import Report
from service.datasets.contract.versions import Diff
from service.files.curation.operations import TaskOperation
from service.files.curation.rows import PersonalDataMode
from service.files.schemas import FormatFields
from service.web.validation import Metadata

FileId = Annotated[str, Field(max_length=128)]


class CreateDatasetReport(BaseModel):
    """Request for a report on a training file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: FileId = Field(description="ID of the file.")
    models: Annotated[list[str], Field(min_length=1, max_length=100)] | None = Field(
        default=None,
        description="Base models whose tokenizers count tokens; all base models if omitted.",
    )
    validation_file_id: FileId | None = Field(
        default=None, description="ID of a validation file to check for shared rows."
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the report; up to 16."
    )


class DatasetReportResult(BaseModel):
    """Main figures of a report. The report itself is its content."""

    rows: int = Field(description="Number of valid rows.")
    invalid_rows: int = Field(description="Number of rows that jobs cannot train on.")
    mean_score: float | None = Field(
        description="Mean quality score of the rows, from 0 to 1; null without rows."
    )
    finding_counts: dict[str, int] = Field(description="Number of findings, by their code.")
    advice: list[str] = Field(
        description="Codes of the recommendations, the most urgent first. Empty if there are none.",
        examples=[["fix_broken_rows", "contradictions"]],
    )


class DatasetReport(TaskOperation):
    """Report on a training file: statistics, findings and recommendations."""

    id: str = Field(description="ID of the report. Starts with `filereport-`.")
    object: Literal["dataset.report"] = "dataset.report"
    file_id: str = Field(description="ID of the file.")
    models: list[str] = Field(description="Base models whose tokenizers count tokens.")
    validation_file_id: str | None = Field(
        description="ID of the validation file that is checked for shared rows, or null."
    )
    result: DatasetReportResult | None = Field(
        description="Main figures of the report. Null unless the status is `completed`, and for "
        "reports that version 0.2 created."
    )

    @classmethod
    def inputs_of(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields about the inputs."""
        return {"models": options["models"], "validation_file_id": options["validation_file"]}


class CreateDatasetPreview(BaseModel):
    """Request for a preview of a training file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: FileId = Field(description="ID of the file, which has the purpose `fine-tune`.")
    format: FormatFields | None = Field(
        default=None,
        description="Format options to read the file with; with `{}`, everything is detected. "
        "Defaults to the options given at upload.",
    )
    limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=20, description="Maximum number of rows. Fewer are shown if they are large."
    )
    personal_data: PersonalDataMode = Field(
        default="show",
        description="Whether to replace personal data in the rows by labels such as `[EMAIL]`, or "
        "to show it.",
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the preview; up to 16."
    )


class DatasetPreviewResult(BaseModel):
    """Detected format and main figures of a preview. The preview itself is its content."""

    container: str | None = Field(description="Container format; null if it is unknown.")
    compression: str | None = Field(description="Compression; null if there is none.")
    encoding: str | None = Field(description="Text encoding; null if the file is not a text.")
    shape: str | None = Field(description="Structure of a row; null if the columns form none.")
    rows: int = Field(description="Number of rows in the preview.")
    findings: int = Field(description="Number of findings about the file and these rows.")
    error_code: str | None = Field(
        description="Code of the reason why the file cannot be read, if there is one."
    )


class DatasetPreview(TaskOperation):
    """Preview of a training file: its first rows, as other format options would read them."""

    id: str = Field(description="ID of the preview. Starts with `filepreview-`.")
    object: Literal["dataset.preview"] = "dataset.preview"
    file_id: str = Field(description="ID of the file.")
    format: dict[str, Any] = Field(description="Format options that the file is read with.")
    limit: int = Field(description="Maximum number of rows.")
    personal_data: PersonalDataMode = Field(
        default="show", description="Whether personal data in the rows is masked or shown."
    )
    result: DatasetPreviewResult | None = Field(
        description="Detected format and main figures. Null unless the status is `completed`, and "
        "for previews that version 0.2 created."
    )


class MarkObject(BaseModel):
    """Personal data in a row, or the label that replaces it."""

    pointer: str = Field(
        description="JSON Pointer to the text in the row, which may be JSON itself.",
        examples=["/messages/0/content"],
    )
    start: int = Field(description="Start in the text, in Unicode code points.")
    end: int = Field(
        description="End in the text, in Unicode code points. Start and end are 0 if the value is "
        "not a text, and is personal data as a whole."
    )
    kind: str = Field(
        description="Kind of personal data, or the name of a recognizer.", examples=["email"]
    )


class RowFindingObject(BaseModel):
    """A finding on a row."""

    code: str = Field(description="Code of the finding.", examples=["near_duplicate"])
    severity: Literal["error", "warning", "info"] = Field(description="Severity of the finding.")
    weight: float = Field(
        description="Amount by which this kind of finding lowers the row's score, however often "
        "it occurs in the row. Zero if it says nothing about quality."
    )
    message: str = Field(description="What was found.")
    figures: dict[str, int | float | str] = Field(
        description="Numbers and names in the message, by name. Empty in reports of earlier "
        "versions."
    )
    fix: str = Field(description="Recommended correction.")
    pointer: str = Field(description="JSON Pointer to the place in the row; may be empty.")
    other_line: int | None = Field(
        description="Line of the other row, if the finding is about a pair of rows."
    )
    similarity: float | None = Field(
        description="Similarity of the two rows from 0 to 1; of their questions if they contradict "
        "each other. Null if it was not measured."
    )


class MarkedRowObject(BaseModel):
    """A row of a file, with what the report found in it, and the positions of personal data."""

    id: str = Field(description="Position of the row: its line as a string.")
    object: Literal["file.row"] = "file.row"
    line: int = Field(description="Line of the row in the uploaded file, counted from 1.")
    language: str | None = Field(
        description="Language of the row; `und` if unknown, null if the row is broken."
    )
    score: float | None = Field(
        description="Quality of the row from 0 to 1: 1, minus the `weight` of each kind of finding "
        "in the row. Zero if the row is broken; null if the line has no row."
    )
    row: dict[str, Any] | None = Field(
        description="The row as jobs train on it: `messages` and `tools` of a chat, with a `label` "
        "in labeled data, or `input`, `preferred_output` and `non_preferred_output` of a "
        "preference, `text` of a text, or `messages` and `item` of a prompt for a grader. "
        "Null if the row is broken."
    )
    findings: list[RowFindingObject]
    personal_data: list[MarkObject] = Field(
        description="Positions of personal data in `row`, or of the labels that replace it. "
        "Numbers that are only possibly personal data are included."
    )


def task_schemas() -> dict[str, Any]:
    """Return the components of openapi.json that `service.datasets` defines: reports and others."""
    _, parts = msgspec.json.schema_components(
        [Report, Preview, Diff], ref_template="#/components/schemas/{name}"
    )
    report, preview, diff = (parts.pop(name) for name in ("Report", "Preview", "Diff"))
    return {
        **parts,
        "DatasetReportContent": report | {"title": "DatasetReportContent"},
        "DatasetPreviewContent": preview | {"title": "DatasetPreviewContent"},
        "DatasetDiffContent": diff | {"title": "DatasetDiffContent"},
    }
