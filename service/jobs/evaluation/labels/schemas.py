"""Request and response schemas of the labels of an evaluation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.evaluation.labels.records import TIE, LabelRecord
from service.jobs.evaluation.schemas import HumanReviewObject
from service.web.resources import ListOf

MAX_NOTE_CHARS = 2_000
_MAX_TOOK_MS = 24 * 60 * 60 * 1000
Column = Annotated[str, Field(min_length=1, max_length=64)]


class PutEvaluationLabel(BaseModel):
    """Request to say which of two answers to a row is better."""

    model_config = ConfigDict(extra="forbid", strict=True)

    compared: Annotated[list[Column], Field(min_length=2, max_length=2)] = Field(
        description="The two columns of the report whose answers were compared, in the order in "
        "which they were shown.",
        examples=[["tuned", "prompt"]],
    )
    winner: Column = Field(
        description=f"Column of the better answer, or `{TIE}`.", examples=["tuned"]
    )
    note: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_NOTE_CHARS,
        description="Note for other reviewers.",
        examples=["The other one names the wrong fee."],
    )
    took_ms: int | None = Field(
        default=None,
        ge=0,
        le=_MAX_TOOK_MS,
        description="Milliseconds that the decision took.",
        examples=[5400],
    )


class EvaluationLabel(BaseModel):
    """A person's label: which of two answers to a row is better."""

    id: str = Field(
        description="ID of the label, unique in the evaluation.",
        examples=["7:prompt:tuned:3f2ab1c09d4e"],
    )
    object: Literal["fine_tuning.job.evaluation.label"] = "fine_tuning.job.evaluation.label"
    row: int = Field(description="`line` of the row in the report.", examples=[7])
    compared: list[str] = Field(
        description="The two columns of the report that were compared, in the order shown.",
        examples=[["tuned", "prompt"]],
    )
    winner: str = Field(description=f"Column of the better answer, or `{TIE}`.", examples=["tuned"])
    note: str | None = Field(description="Note for other reviewers, or null.")
    took_ms: int | None = Field(description="Milliseconds that the decision took; null if unknown.")
    reviewer: str = Field(
        description="ID of the API key, or subject of the token, that wrote the label.",
        examples=["key_abc123"],
    )
    is_own: bool = Field(description="Whether the caller wrote the label.")
    is_current: bool = Field(
        description="Whether the report still has these answers. Other labels do not count."
    )
    created_at: int = Field(description="Time of the first label, in Unix seconds.")
    labeled_at: int = Field(description="Time of the last change, in Unix seconds.")

    @classmethod
    def from_record(
        cls, label: LabelRecord, note: str | None, *, caller: str, is_current: bool
    ) -> Self:
        """Return the API object of a record, for this caller."""
        return cls(
            id=label.id,
            row=label.row,
            compared=list(label.compared),
            winner=label.winner,
            note=note,
            took_ms=label.took_ms,
            reviewer=label.reviewer,
            is_own=label.reviewer == caller,
            is_current=is_current,
            created_at=label.created_at,
            labeled_at=label.labeled_at,
        )


class EvaluationLabelList(ListOf[EvaluationLabel]):
    """A page of the labels of an evaluation."""

    human_review: HumanReviewObject | None = Field(
        description="What all current labels of the evaluation say; null if there is none."
    )
