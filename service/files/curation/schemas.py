"""Request and response schemas of reports, previews and cleanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.datasets.contract.preview import Preview
from service.datasets.contract.report import Report
from service.datasets.contract.tasks import (
    CleanOptions,
    ContradictionRule,
    UnicodeForm,
)
from service.datasets.contract.versions import Diff
from service.datasets.personal_data.kinds import RedactMode
from service.files.curation.records import Task, TaskState
from service.files.schemas import FormatFields

_DEFAULTS = CleanOptions()


class TaskFailure(BaseModel):
    """Reason a task failed."""

    code: str
    message: str

    @classmethod
    def from_record(cls, task: Task) -> TaskFailure | None:
        """Return why a task failed, or None."""
        error = task.error
        return None if error is None else cls(code=error.code, message=error.message)


class ReportPending(BaseModel):
    """A report in progress. Retry after `retry-after` seconds."""

    id: str = Field(description="ID of the report.")
    object: Literal["file.report"] = "file.report"
    file_id: str = Field(description="ID of the file that the report covers.")
    status: Literal[TaskState.IN_PROGRESS] = TaskState.IN_PROGRESS


class PreviewRequest(BaseModel):
    """A file to preview, and the options to read it with."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: Annotated[str, Field(max_length=128)] = Field(
        description="ID of the file, which has the purpose `fine-tune`."
    )
    format: FormatFields | None = Field(
        default=None,
        description="Format options to read the file with; with `{}`, everything is detected. "
        "Defaults to the options given at upload.",
    )
    limit: Annotated[int, Field(ge=1, le=100)] = Field(
        default=20, description="Maximum number of rows. Fewer are shown if they are large."
    )


class PreviewPending(BaseModel):
    """A preview in progress. Retry after `retry-after` seconds."""

    id: str = Field(description="ID of the preview.")
    object: Literal["file.preview"] = "file.preview"
    file_id: str = Field(description="ID of the file.")
    status: Literal[TaskState.IN_PROGRESS] = TaskState.IN_PROGRESS


class RowFindingObject(BaseModel):
    """A finding on a row."""

    code: str = Field(description="Code of the finding.", examples=["near_duplicate"])
    severity: Literal["error", "warning", "info"]
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


class RowObject(BaseModel):
    """A row of a file, with what the report found in it."""

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


class MarkedRowObject(RowObject):
    """A row of a file, with the positions of personal data in it."""

    personal_data: list[MarkObject] = Field(
        description="Positions of personal data in `row`, or of the labels that replace it. "
        "Numbers that are only possibly personal data are included."
    )


class CleanRequest(BaseModel):
    """Cleaning options. The first row of a set of duplicates is kept.

    By default, a row is dropped only if it is invalid, or identical to an earlier row in all
    content used for training.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    drop_broken: bool = Field(
        default=_DEFAULTS.drop_broken,
        description="Whether to drop invalid rows. If false, an invalid row fails the cleaning.",
    )
    exact_duplicates: bool = Field(
        default=_DEFAULTS.exact_duplicates,
        description="Whether to remove exact duplicates: rows identical to an earlier row in all "
        "content used for training (system prompt, tools, messages, rejected answer and label).",
    )
    near_duplicates: bool = Field(
        default=_DEFAULTS.near_duplicates,
        description="Whether to also remove near duplicates: rows that mean the same as an earlier "
        "row with the same system prompt, tools, rejected answer and label. Rows that differ in a "
        "number, a date, a name, or a negation are kept. The report shows the pairs.",
    )
    near_threshold: Annotated[float, Field(ge=0.5, le=1)] = Field(
        default=_DEFAULTS.near_threshold,
        description="Similarity at or above which two rows with the same facts are near "
        "duplicates: the share of words, or of characters in scripts without spaces, that each "
        "turn has in common with its counterpart. At 1, they differ only in case, spacing, "
        "punctuation, and politeness.",
    )
    contradictions: ContradictionRule = Field(
        default=_DEFAULTS.contradictions,
        description="Answer to keep if a question has several different answers. In labeled data: "
        "label to keep if the same answer to a question has both.",
    )
    personal_data: RedactMode = Field(
        default=_DEFAULTS.personal_data,
        description="Treatment of personal data. `mask` replaces a value with a placeholder such "
        "as [EMAIL]; `pseudonym` uses numbered placeholders such as [EMAIL_1], the same for the "
        "same value. A value found anywhere in the file is replaced throughout the file, in every "
        "spelling. The recognizers of the project apply as well.",
    )
    possible_personal_data: bool = Field(
        default=_DEFAULTS.possible_personal_data,
        description="Whether to also treat numbers that are only possibly personal data: they "
        "have the form of a telephone number or a national ID, but no word before "
        "them confirms it. Only with `personal_data`: `mask` or `pseudonym`.",
    )
    unicode: UnicodeForm = Field(
        default=_DEFAULTS.unicode,
        description="Unicode normalization form. NFKC also folds compatibility characters such as "
        "full-width letters.",
    )
    mend_mojibake: bool = Field(
        default=_DEFAULTS.mend_mojibake,
        description="Whether to repair mojibake: text that was decoded with the wrong encoding.",
    )
    drop_control_characters: bool = Field(
        default=_DEFAULTS.drop_control_characters,
        description="Whether to remove control characters other than tabs and line breaks.",
    )
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=_DEFAULTS.validation_share,
        description="Fraction of the rows to write to a validation file.",
    )
    seed: int = Field(
        default=_DEFAULTS.seed,
        ge=0,
        le=2147483647,
        description="Random seed of the validation split.",
    )
    decisions_file: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="ID of a file of the purpose `user_data` with decisions on single rows, one "
        'JSON object per line: `{"line": 7, "action": "keep"}`, `"drop"`, or `"edit"` with the '
        "`row` to use instead. A row that is kept or edited is not dropped as a duplicate or "
        "contradiction.",
    )
    use_reviews: bool = Field(
        default=False,
        description="Whether to apply the reviews that the file has when the cleaning is created, "
        "as decisions on single rows: approved rows are kept, rejected ones dropped, and edited "
        "ones replaced. Not together with `decisions_file`.",
    )
    format: FormatFields | None = Field(
        default=None,
        description="Format options of the file. Defaults to the options given at upload.",
    )

    @model_validator(mode="after")
    def _decides_once(self) -> Self:
        if self.use_reviews and self.decisions_file is not None:
            raise ValueError("'use_reviews' and 'decisions_file' exclude each other.")
        return self

    @model_validator(mode="after")
    def _redacts(self) -> Self:
        if self.possible_personal_data and self.personal_data == "keep":
            raise ValueError(
                "'possible_personal_data' requires 'personal_data' to be 'mask' or 'pseudonym'."
            )
        return self

    def options(self) -> dict[str, Any]:
        """Return the options as stored in the task."""
        given = self.model_dump(mode="json", exclude={"format"})
        for name in ("decisions_file", "use_reviews"):
            if not given[name]:
                del given[name]
        stored = self.format.stored() if self.format else None
        return {**given, "format": stored} if stored else given


class CleaningObject(BaseModel):
    """A cleaning of a file. Its outputs are separate files."""

    id: str = Field(description="ID of the cleaning, prefixed with `fileclean-`.")
    object: Literal["file.cleaning"] = "file.cleaning"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    finished_at: int | None = Field(
        description="Time the cleaning ended, as a Unix timestamp in seconds; null while it runs."
    )
    file_id: str = Field(description="ID of the source file.")
    status: TaskState = Field(
        description="Status of the cleaning: `in_progress`, then `completed` or `failed`."
    )
    options: dict[str, Any] = Field(description="Options of the cleaning.")
    error: TaskFailure | None = Field(
        description="Error that made the cleaning fail; null otherwise."
    )
    training_file: str | None = Field(
        default=None, description="ID of the file with the rows to train on."
    )
    validation_file: str | None = Field(
        default=None, description="ID of the file with the held-out rows."
    )
    diff_file: str | None = Field(
        default=None,
        description="ID of a JSON Lines file that describes what happened to each affected row.",
    )
    source_rows: int | None = Field(default=None, description="Number of rows in the source file.")
    training_rows: int | None = Field(
        default=None, description="Number of rows in `training_file`."
    )
    validation_rows: int | None = Field(
        default=None, description="Number of rows in `validation_file`."
    )
    dropped: dict[str, int] | None = Field(
        default=None, description="Number of dropped rows, by reason."
    )
    changed: dict[str, int] | None = Field(default=None, description="Number of changes, by kind.")
    changed_rows: int | None = Field(default=None, description="Number of rows with changes.")

    @classmethod
    def from_record(cls, task: Task) -> Self:
        """Return the API object of a record."""
        return cls(
            id=task.id,
            created_at=task.created_at,
            finished_at=task.finished_at,
            file_id=task.file_id,
            status=task.state,
            options=task.options,
            error=TaskFailure.from_record(task),
            **(task.result or {}),
        )


def task_schemas() -> dict[str, Any]:
    """Return the components of openapi.json that `service.datasets` defines: reports and others."""
    _, parts = msgspec.json.schema_components(
        [Report, Preview, Diff], ref_template="#/components/schemas/{name}"
    )
    report, preview, diff = (parts.pop(name) for name in ("Report", "Preview", "Diff"))
    used = {"format": {"type": "object", "additionalProperties": True}}
    return {
        **parts,
        "FileReport": _with_head(report, "FileReport", "file.report"),
        "FilePreview": _with_head(preview, "FilePreview", "file.preview", **used),
        "FileDiff": _with_head(diff, "FileDiff", "file.diff", other_file={"type": "string"}),
    }


def _with_head(
    whole: dict[str, Any], title: str, kind: str, **more: dict[str, Any]
) -> dict[str, Any]:
    head = {
        "id": {"type": "string"},
        "object": {"const": kind},
        "file_id": {"type": "string"},
        "status": {"const": TaskState.COMPLETED},
        **more,
    }
    return {
        **whole,
        "title": title,
        "properties": {**head, **whole["properties"]},
        "required": [*head, *whole["required"]],
    }
