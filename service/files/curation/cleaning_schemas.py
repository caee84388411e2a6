"""Wire types of cleanings."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.datasets.contract.tasks import (
    CleanOptions,
    ContradictionRule,
    UnicodeForm,
)
from service.datasets.personal_data.kinds import RedactMode
from service.files.curation.operations import TaskOperation
from service.files.schemas import FormatFields
from service.web.validation import Metadata

_DEFAULTS = CleanOptions()


class CleaningOptions(BaseModel):
    """Options of a cleaning. The first row of a set of duplicates is kept.

    By default, a row is dropped only if it is invalid, or identical to an earlier row in all
    content used for training.
    """

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


class CreateDatasetCleaning(CleaningOptions):
    """Request to clean a file. The first row of a set of duplicates is kept.

    By default, a row is dropped only if it is invalid, or identical to an earlier row in all
    content used for training.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file_id: Annotated[str, Field(max_length=128)] = Field(description="ID of the source file.")
    decisions_file_id: Annotated[str, Field(max_length=128)] | None = Field(
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
        "ones replaced. Not together with `decisions_file_id`.",
    )
    format: FormatFields | None = Field(
        default=None,
        description="Format options of the file. Defaults to the options given at upload.",
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the cleaning; up to 16."
    )

    @model_validator(mode="after")
    def _decides_once(self) -> Self:
        if self.use_reviews and self.decisions_file_id is not None:
            raise ValueError("'use_reviews' and 'decisions_file_id' exclude each other.")
        return self

    @model_validator(mode="after")
    def _redacts(self) -> Self:
        if self.possible_personal_data and self.personal_data == "keep":
            raise ValueError(
                "'possible_personal_data' requires 'personal_data' to be 'mask' or 'pseudonym'."
            )
        return self

    def stored(self) -> dict[str, Any]:
        """Return the options as stored in the task, with the format of the file and the decisions
        on its rows.
        """
        stored = self.model_dump(mode="json", include=set(CleaningOptions.model_fields))
        if self.decisions_file_id is not None:
            stored["decisions_file"] = self.decisions_file_id
        if self.use_reviews:
            stored["use_reviews"] = True
        given = self.format.stored() if self.format else None
        return {**stored, "format": given} if given else stored


class DatasetCleaningResult(BaseModel):
    """Files that a cleaning made, and what it did."""

    training_file_id: str = Field(description="ID of the file with the rows to train on.")
    validation_file_id: str | None = Field(
        default=None, description="ID of the file with the held-out rows; null if there are none."
    )
    diff_file_id: str = Field(
        description="ID of a JSON Lines file that describes what happened to each affected row."
    )
    source_rows: int = Field(description="Number of rows in the source file.")
    training_rows: int = Field(description="Number of rows in the training file.")
    validation_rows: int = Field(description="Number of rows in the validation file.")
    dropped: dict[str, int] = Field(description="Number of dropped rows, by reason.")
    changed: dict[str, int] = Field(description="Number of changes, by kind.")
    changed_rows: int = Field(description="Number of rows with changes.")
    model_search: str | None = Field(
        default=None, description="What the operator's model searched; null without one."
    )


class DatasetCleaning(CleaningOptions, TaskOperation):
    """Cleaning of a file. Its outputs are separate files, which are kept when it is deleted."""

    id: str = Field(description="ID of the cleaning. Starts with `fileclean-`.")
    object: Literal["dataset.cleaning"] = "dataset.cleaning"
    file_id: str = Field(description="ID of the source file.")
    decisions_file_id: str | None = Field(
        description="ID of the file with decisions on single rows; null if there is none."
    )
    use_reviews: bool = Field(
        description="Whether the reviews of the file are applied as decisions on single rows."
    )
    format: dict[str, Any] | None = Field(
        description="Format options of the file; null if those given at upload are used."
    )
    result: DatasetCleaningResult | None = Field(
        description="Files and what was done; null unless the status is `completed`."
    )

    @classmethod
    def inputs_of(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Return the fields about the inputs."""
        references = {
            "decisions_file_id": options.get("decisions_file"),
            "use_reviews": options.get("use_reviews", False),
            "format": options.get("format"),
        }
        return {**options, **references}

    @classmethod
    def result_of(cls, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result."""
        files = {
            name: result.get(name) for name in ("training_file", "validation_file", "diff_file")
        }
        return {**result, **{f"{name}_id": file_id for name, file_id in files.items()}}
