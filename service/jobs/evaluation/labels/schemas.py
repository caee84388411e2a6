"""Request and response schemas of the labels of an evaluation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.evaluation.labels.queue import Queue
from service.jobs.evaluation.labels.records import TIE, LabelRecord
from service.jobs.evaluation.schemas import HumanReviewObject
from service.web.resources import ListOf

FIRST, SECOND = "first", "second"
"""The better answer of a pair whose columns the reviewer does not know."""
MAX_NOTE_CHARS = 2_000
_MAX_TOOK_MS = 24 * 60 * 60 * 1000
Column = Annotated[str, Field(min_length=1, max_length=64)]


class PutEvaluationLabel(BaseModel):
    """Request to say which of two answers to a row is better."""

    model_config = ConfigDict(extra="forbid", strict=True)

    compared: Annotated[list[Column], Field(min_length=2, max_length=2)] = Field(
        description="The two columns of the report whose answers were compared, in the order in "
        "which they were shown; with `shown`, in any order.",
        examples=[["tuned", "prompt"]],
    )
    winner: Column = Field(
        description=f"Column of the better answer, or `{TIE}`; with `shown`, `{FIRST}`, "
        f"`{SECOND}` or `{TIE}`.",
        examples=["tuned"],
    )
    shown: str | None = Field(
        default=None,
        max_length=64,
        description="`shown` of the queue's task, if the answers were shown without their columns. "
        "A label of answers that have changed since then is refused.",
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


class AnswerToLabel(BaseModel):
    """An answer without the column that gave it."""

    text: str = Field(description="Text of the answer.")
    tool_calls: list[dict[str, Any]] = Field(description="Tool calls of the answer.")


class EvaluationLabelTask(BaseModel):
    """Two answers to a row for the caller to compare, without the columns that gave them."""

    row: int = Field(description="`line` of the row in the report.", examples=[7])
    language: str | None = Field(description="Language of the row; null if unknown.")
    prompt: list[dict[str, Any]] = Field(description="Messages that were answered.")
    answers: list[AnswerToLabel] = Field(
        description="The two answers. Their order is random for each reviewer and row, and stays."
    )
    shown: str = Field(description="Digest of what is shown. Send it with the label.")
    labels: int = Field(description="Number of labels that the pair of answers has.")
    masked_values: int | None = Field(
        default=None,
        exclude_if=lambda count: count is None,
        description="Number of values replaced by labels such as `[EMAIL]`. Only with "
        "`personal_data=mask`.",
    )


class ReviewerProgress(BaseModel):
    """Number of rows that a reviewer has labeled."""

    reviewer: str = Field(description="ID of the API key, or subject of the token.")
    is_own: bool = Field(description="Whether it is the caller.")
    labels: int = Field(description="Number of rows with a label of the reviewer.")


class LabelProgress(BaseModel):
    """Progress of the review of a pair of columns."""

    rows: int = Field(description="Number of rows with two different answers.")
    done: int = Field(description="Number of rows with `overlap` labels.")
    open: int = Field(description="Number of rows in the caller's queue.")
    own: int = Field(description="Number of rows that the caller has labeled.")
    reviewers: list[ReviewerProgress] = Field(description="Reviewers, the most labels first.")

    @classmethod
    def from_queue(cls, queue: Queue, caller: str, overlap: int) -> Self:
        """Return the progress of a queue."""
        return cls(
            rows=len(queue.comparable),
            done=sum(queue.labels[row.line or 0] >= overlap for row in queue.comparable),
            open=len(queue.open),
            own=queue.by_reviewer[caller],
            reviewers=[
                ReviewerProgress(reviewer=name, is_own=name == caller, labels=count)
                for name, count in queue.by_reviewer.most_common()
            ],
        )


class EvaluationLabelQueue(BaseModel):
    """The next answers for the caller to compare."""

    object: Literal["fine_tuning.job.evaluation.label_queue"] = (
        "fine_tuning.job.evaluation.label_queue"
    )
    tasks: list[EvaluationLabelTask] = Field(description="Answers to compare, the next first.")
    compared: list[str] = Field(
        description="The columns that are compared, by name.", examples=[["prompt", "tuned"]]
    )
    pairs: list[list[str]] = Field(
        description="All pairs of columns that can be compared, the most important first.",
        examples=[[["prompt", "tuned"], ["base", "tuned"]]],
    )
    progress: LabelProgress = Field(description="Progress of all reviewers.")


class EvaluationLabelList(ListOf[EvaluationLabel]):
    """A page of the labels of an evaluation."""

    human_review: HumanReviewObject | None = Field(
        description="What all current labels of the evaluation say; null if there is none."
    )
