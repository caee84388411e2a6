"""Generations on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.generation.documents import MAX_DOCUMENTS
from service.generation.records import GenerationRecord, GenerationStatus, IncompleteReason, RowKind
from service.grading.language import normalize_tag
from service.web.validation import Metadata

MAX_ROWS = 2_000


def _language_tag(value: str) -> str:
    normalize_tag(value)  # raises TagInvalid
    return value


def _without_repetitions(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class CreateGeneration(BaseModel):
    """Request body to generate training rows from documents."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    documents: Annotated[list[DocumentId], AfterValidator(_without_repetitions)] = Field(
        min_length=1,
        max_length=MAX_DOCUMENTS,
        examples=[["file-abc123"]],
        description="IDs of files with the purpose `user_data`: plain text, Markdown or HTML in "
        "any common encoding, up to 20 MiB together.",
    )
    model: str = Field(
        min_length=1,
        max_length=256,
        description="Model of this installation that writes and checks the rows. A larger model "
        "writes better ones.",
    )
    kinds: Annotated[
        list[Annotated[RowKind, Field(strict=False)]], AfterValidator(_without_repetitions)
    ] = Field(
        default=[RowKind.QUESTIONS],
        min_length=1,
        max_length=8,
        description="Kinds of rows: `questions` that a passage answers, `rewrites` of such "
        "questions in other words, and `refusals`, which are questions that the "
        "documents do not answer. Together with other kinds, one passage in four gets "
        "a refusal.",
    )
    language: Annotated[str, AfterValidator(_language_tag)] | None = Field(
        default=None,
        max_length=35,
        examples=["de"],
        description="BCP 47 tag of the language of the rows; null for the language of each "
        "passage.",
    )
    n: int = Field(default=100, ge=1, le=MAX_ROWS, description="Number of rows wanted.")
    max_tokens_total: int | None = Field(
        default=None,
        ge=1,
        description="Number of input and output tokens after which no more requests are sent to "
        "the model. Requests in progress may exceed it.",
    )
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Random seed for choosing and ordering passages."
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the generation; up to 16."
    )


class GenerationError(BaseModel):
    """Reason why a generation failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Human-readable message.")
    param: str | None = Field(description="Parameter that caused the failure.")


class GenerationIncompleteDetails(BaseModel):
    """Reason why a completed generation has fewer rows than wanted."""

    reason: IncompleteReason = Field(
        description="`max_tokens_total` if the tokens were used up, or `no_more_passages` if all "
        "passages were asked about."
    )


class GenerationCounts(BaseModel):
    """Progress of a generation."""

    passages: int = Field(description="Number of passages in the documents; 0 until they are read.")
    asked: int = Field(description="Number of passages that the model was asked about.")
    kept: int = Field(description="Number of rows kept.")
    dropped: dict[str, int] = Field(
        description="Number of rows and answers left out, by reason: `malformed` (not in the "
        "requested form), `engine_error`, `echo` (repeats the question or the passage), "
        "`wrong_language`, `unsupported_fact` (a number, date or name that the passage does not "
        "have), `unsupported` (the model finds that the passage does not state it), `answered` (a "
        "refused question that the documents answer), `duplicate`, and `surplus` (more than `n`)."
    )


class GenerationUsage(BaseModel):
    """Tokens of the requests of a generation, including the checks."""

    input_tokens: int = Field(description="Number of input tokens.")
    output_tokens: int = Field(description="Number of output tokens.")
    total_tokens: int = Field(description="Number of input and output tokens.")


class DatasetGeneration(BaseModel):
    """Generation of training rows from documents by a model of this installation."""

    id: str = Field(description="ID of the generation, prefixed with `dsgen_`.")
    object: Literal["dataset.generation"] = "dataset.generation"
    documents: list[str] = Field(description="IDs of the documents.")
    model: str = Field(description="Model that writes and checks the rows.")
    kinds: list[RowKind] = Field(description="Kinds of rows.")
    language: str | None = Field(
        description="BCP 47 tag of the language of the rows; null for the language of each passage."
    )
    n: int = Field(description="Number of rows wanted.")
    max_tokens_total: int | None = Field(
        description="Number of tokens after which no more requests are sent, or null."
    )
    seed: int = Field(description="Random seed for choosing and ordering passages.")
    status: GenerationStatus = Field(description="Status of the generation.")
    error: GenerationError | None = Field(description="Reason why the generation failed, or null.")
    incomplete_details: GenerationIncompleteDetails | None = Field(
        description="Reason why a completed generation has fewer rows than wanted, or null."
    )
    output_file_id: str | None = Field(
        description="ID of the file with the rows, whose purpose is `fine-tune`; null until the "
        "generation has ended, or if there are none."
    )
    counts: GenerationCounts
    usage: GenerationUsage
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    in_progress_at: int | None = Field(
        description="Time at which the documents were read, as a Unix timestamp in seconds."
    )
    completed_at: int | None = Field(
        description="Time at which the generation was completed, as a Unix timestamp in seconds."
    )
    failed_at: int | None = Field(
        description="Time at which the generation failed, as a Unix timestamp in seconds."
    )
    cancelling_at: int | None = Field(
        description="Time at which the cancellation was requested, as a Unix timestamp in seconds."
    )
    cancelled_at: int | None = Field(
        description="Time at which the generation was cancelled, as a Unix timestamp in seconds."
    )
    metadata: dict[str, str] | None = Field(
        description="Key-value pairs attached to the generation."
    )

    @classmethod
    def from_record(cls, record: GenerationRecord) -> Self:
        """The API object for a record."""
        tally, incomplete = record.tally, record.incomplete
        return cls.model_validate(
            {
                **record.model_dump(exclude={"tally", "incomplete"}),
                "incomplete_details": None if incomplete is None else {"reason": incomplete},
                "counts": {
                    "passages": record.passages,
                    "asked": tally.asked,
                    "kept": tally.kept,
                    "dropped": tally.dropped,
                },
                "usage": {
                    "input_tokens": tally.input_tokens,
                    "output_tokens": tally.output_tokens,
                    "total_tokens": tally.tokens,
                },
            }
        )


class GenerationDeleted(BaseModel):
    """Response to deleting a generation."""

    id: str = Field(description="ID of the deleted generation.")
    object: Literal["dataset.generation"] = "dataset.generation"
    deleted: Literal[True] = True
