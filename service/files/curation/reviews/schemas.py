"""Request and response schemas of reviews."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.files.curation.reviews.records import ReviewRecord, ReviewText
from service.files.records import ReviewLabel
from service.web.resources import ListOf

MAX_NOTE_CHARS = 2_000


class PutRowReview(BaseModel):
    """Request to review a row."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: Annotated[ReviewLabel, Field(strict=False)] = Field(
        description="What a cleaning does with the row: `approved` keeps it, `rejected` drops it, "
        "`edited` replaces it by `row`, and `unsure` decides nothing.",
        examples=["approved"],
    )
    row: dict[str, Any] | None = Field(
        default=None, description="Row to use instead, if the label is `edited`."
    )
    note: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_NOTE_CHARS,
        description="Note for other reviewers.",
        examples=["The price changed in May."],
    )

    @model_validator(mode="after")
    def _edits(self) -> Self:
        if (self.row is not None) != (self.label is ReviewLabel.EDITED):
            raise ValueError("The label 'edited' needs a 'row', and no other label has one.")
        return self


class RowReview(BaseModel):
    """A review of a row."""

    id: str = Field(description="Line of the row as a string.", examples=["7"])
    object: Literal["file.review"] = "file.review"
    line: int = Field(description="Line of the row in the uploaded file, counted from 1.")
    label: ReviewLabel = Field(description="What the reviewer decided.")
    row: dict[str, Any] | None = Field(
        description="Row to use instead; null unless the label is `edited`."
    )
    note: str | None = Field(description="Note for other reviewers, or null.")
    reviewer: str = Field(
        description="ID of the API key, or subject of the token, that wrote the review.",
        examples=["key_abc123"],
    )
    reviewed_at: int = Field(description="Time of the review, in Unix seconds.")
    created_at: int = Field(description="Time of the row's first review, in Unix seconds.")

    @classmethod
    def from_record(cls, record: ReviewRecord, text: ReviewText) -> Self:
        """Return the API object of a record."""
        return cls(
            id=record.id,
            line=int(record.id),
            label=record.label,
            row=text.row,
            note=text.note,
            reviewer=record.reviewer,
            reviewed_at=record.reviewed_at,
            created_at=record.created_at,
        )


class RowReviewCounts(BaseModel):
    """Number of a file's reviews by label."""

    approved: int = Field(description="Number of rows to keep.")
    rejected: int = Field(description="Number of rows to drop.")
    edited: int = Field(description="Number of rows to replace.")
    unsure: int = Field(description="Number of rows that someone else should review.")


class RowReviewList(ListOf[RowReview]):
    """A page of the reviews of a file."""

    counts: RowReviewCounts = Field(description="Number of all reviews of the file by label.")
