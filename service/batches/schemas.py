"""Batches on the wire, in OpenAI's shapes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.batches.records import BatchRecord, BatchStatus
from service.files.upload import MAX_EXPIRY_S, MIN_EXPIRY_S
from service.web.validation import Metadata

Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BatchOutputExpiresAfter(_Strict):
    """Lifetime of the files of a batch."""

    anchor: Literal["created_at"] = Field(
        description="Event at which the lifetime begins: the creation of the file."
    )
    seconds: int = Field(
        ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S, description="Lifetime of the files in seconds."
    )


class CreateBatch(_Strict):
    """Request body to create a batch."""

    input_file_id: str = Field(
        min_length=1,
        max_length=128,
        examples=["file-abc123"],
        description="ID of a file with the purpose `batch`: JSON Lines with one request per line, "
        "up to 50,000 requests and 200 MiB.",
    )
    endpoint: Endpoint = Field(description="Endpoint to which every request of the batch is sent.")
    completion_window: Literal["24h"] = Field(
        description="Time after which the batch expires. Only `24h` is supported."
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the batch; up to 16."
    )
    output_expires_after: BatchOutputExpiresAfter | None = Field(
        default=None, description="Lifetime of the output file and the error file."
    )


class BatchError(BaseModel):
    """Reason why a batch failed."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Human-readable message.")
    param: str | None = Field(description="Parameter or field that caused the failure.")
    line: int | None = Field(description="Line of the input file, from 1; null for other reasons.")


class BatchErrors(BaseModel):
    """Reasons why a batch failed."""

    object: Literal["list"] = "list"
    data: list[BatchError] = Field(description="The first 50 reasons.")


class BatchRequestCounts(BaseModel):
    """Request counts of a batch."""

    total: int = Field(description="Number of requests; 0 until the file is checked.")
    completed: int = Field(description="Number of requests that were answered.")
    failed: int = Field(description="Number of requests that were refused or failed.")


class BatchInputTokensDetails(BaseModel):
    """Breakdown of the input tokens."""

    cached_tokens: int = Field(description="Number of input tokens from the prefix cache.")


class BatchOutputTokensDetails(BaseModel):
    """Breakdown of the output tokens."""

    reasoning_tokens: int = Field(description="Number of output tokens of reasoning.")


class BatchUsage(BaseModel):
    """Tokens of the answered requests of a batch."""

    input_tokens: int = Field(description="Number of input tokens.")
    input_tokens_details: BatchInputTokensDetails
    output_tokens: int = Field(description="Number of output tokens.")
    output_tokens_details: BatchOutputTokensDetails
    total_tokens: int = Field(description="Number of input and output tokens.")


class BatchObject(BaseModel):
    """Batch of requests from a file, which are answered at the lowest priority."""

    id: str = Field(description="ID of the batch, prefixed with `batch_`.")
    object: Literal["batch"] = "batch"
    endpoint: str = Field(description="Endpoint to which every request of the batch is sent.")
    model: str | None = Field(
        description="Model that all requests name; null until the input file is checked."
    )
    errors: BatchErrors | None = Field(description="Reasons why the batch failed, or null.")
    input_file_id: str = Field(description="ID of the input file.")
    completion_window: str = Field(description="Time after which the batch expires.")
    status: BatchStatus = Field(description="Status of the batch.")
    output_file_id: str | None = Field(
        description="ID of the file with the answers; null until the batch has ended, or if there "
        "are none."
    )
    error_file_id: str | None = Field(
        description="ID of the file with the requests that were refused, failed or not sent; null "
        "until the batch has ended, or if there are none."
    )
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    in_progress_at: int | None = Field(
        description="Time at which the first request was sent, as a Unix timestamp in seconds."
    )
    expires_at: int = Field(description="Expiration time, as a Unix timestamp in seconds.")
    finalizing_at: int | None = Field(
        description="Time at which the writing of the files began, as a Unix timestamp in seconds."
    )
    completed_at: int | None = Field(
        description="Time at which the batch was completed, as a Unix timestamp in seconds."
    )
    failed_at: int | None = Field(
        description="Time at which the batch failed, as a Unix timestamp in seconds."
    )
    expired_at: int | None = Field(
        description="Time at which the batch expired, as a Unix timestamp in seconds."
    )
    cancelling_at: int | None = Field(
        description="Time at which the cancellation was requested, as a Unix timestamp in seconds."
    )
    cancelled_at: int | None = Field(
        description="Time at which the batch was cancelled, as a Unix timestamp in seconds."
    )
    request_counts: BatchRequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None = Field(description="Key-value pairs attached to the batch.")

    @classmethod
    def from_record(cls, record: BatchRecord) -> Self:
        """The API object for a record."""
        tally = record.tally
        errors = [fault.model_dump() for fault in record.errors]
        return cls.model_validate(
            {
                **record.model_dump(exclude={"errors", "tally"}),
                "errors": {"data": errors} if errors else None,
                "request_counts": {
                    "total": record.total,
                    "completed": tally.completed,
                    "failed": tally.failed,
                },
                "usage": {
                    "input_tokens": tally.input_tokens,
                    "input_tokens_details": {"cached_tokens": tally.cached_tokens},
                    "output_tokens": tally.output_tokens,
                    "output_tokens_details": {"reasoning_tokens": tally.reasoning_tokens},
                    "total_tokens": tally.input_tokens + tally.output_tokens,
                },
            }
        )
