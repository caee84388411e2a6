"""Generations on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.generation.documents import MAX_DOCUMENTS
from service.generation.records import (
    GenerationRecord,
    IncompleteReason,
    RowKind,
)
from service.grading.language import normalize_tag
from service.web.operations import Operation, shared_fields
from service.web.validation import Metadata

MAX_ROWS = 2_000


def _language_tag(value: str) -> str:
    normalize_tag(value)  # raises TagInvalid
    return value


def _without_repetitions(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class CreateDatasetGeneration(BaseModel):
    """Request to generate training rows from documents."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    document_ids: Annotated[list[DocumentId], AfterValidator(_without_repetitions)] = Field(
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
    n: int = Field(default=100, ge=1, le=MAX_ROWS, description="Target row count.")
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


class GenerationIncompleteDetails(BaseModel):
    """Reason why a completed generation has fewer rows than the target."""

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
        description="Number of rows and answers dropped, by reason: `malformed` (not in the "
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


class DatasetGenerationResult(BaseModel):
    """Rows of a generation that has ended. A failed or cancelled one keeps its rows so far."""

    output_file_id: str | None = Field(
        description="ID of the file with the rows, whose purpose is `fine-tune`; null if there are "
        "none."
    )
    incomplete_details: GenerationIncompleteDetails | None = Field(
        description="Reason why there are fewer rows than the target, or null."
    )


class DatasetGeneration(Operation):
    """Generation of training rows from documents by a model of this installation."""

    id: str = Field(description="ID of the generation. Starts with `dsgen_`.")
    object: Literal["dataset.generation"] = "dataset.generation"
    document_ids: list[str] = Field(description="IDs of the documents.")
    model: str = Field(description="Model that writes and checks the rows.")
    kinds: list[RowKind] = Field(description="Kinds of rows.")
    language: str | None = Field(
        description="BCP 47 tag of the language of the rows; null for the language of each passage."
    )
    n: int = Field(description="Target row count.")
    max_tokens_total: int | None = Field(
        description="Number of tokens after which no more requests are sent, or null."
    )
    seed: int = Field(description="Random seed for choosing and ordering passages.")
    counts: GenerationCounts = Field(description="Number of passages and rows so far.")
    usage: GenerationUsage = Field(description="Tokens used so far.")
    result: DatasetGenerationResult | None = Field(
        description="The rows; null until the generation has ended."
    )

    @classmethod
    def from_record(cls, record: GenerationRecord) -> Self:
        """Build the API object of a record."""
        shared, tally = shared_fields(record), record.tally
        inputs = {"model", "kinds", "language", "n", "max_tokens_total", "seed"}
        return cls.model_validate(
            {
                **shared,
                **record.model_dump(include=inputs),
                "document_ids": record.documents,
                "progress": {"completed": tally.kept, "total": record.n},
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
                "result": {
                    "output_file_id": record.output_file_id,
                    "incomplete_details": record.incomplete and {"reason": record.incomplete},
                }
                if record.is_final
                else None,
            }
        )
