"""Response schemas of the usage API, modeled on OpenAI's Usage API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

BucketWidth = Literal["1m", "1h", "1d"]
# OpenAI's values. This service has no users, tiers or sources, so grouping by them has
# no effect.
GroupBy = Literal[
    "project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source"
]


class UsageResult(BaseModel):
    """Usage of one group in one bucket. Fields that are not grouped by are null."""

    object: Literal["organization.usage.completions.result"] = (
        "organization.usage.completions.result"
    )
    input_tokens: int = Field(description="Number of prompt tokens, including cached tokens.")
    output_tokens: int = Field(description="Number of generated tokens.")
    input_cached_tokens: int = Field(
        description="Number of prompt tokens served from the engine's cache."
    )
    num_model_requests: int = Field(
        description="Number of requests that an engine answered, including those whose client "
        "disconnected."
    )
    input_audio_tokens: int = Field(
        default=0, description="Number of audio input tokens. Always 0."
    )
    output_audio_tokens: int = Field(
        default=0, description="Number of audio output tokens. Always 0."
    )
    project_id: str | None = Field(
        default=None, description="ID of the project, if grouped by `project_id`."
    )
    user_id: str | None = Field(
        default=None, description="ID of the user. Always null, because there are no users."
    )
    api_key_id: str | None = Field(
        default=None, description="ID of the API key, if grouped by `api_key_id`."
    )
    model: str | None = Field(
        default=None, description="Model that answered, if grouped by `model`."
    )
    batch: bool | None = Field(
        default=None,
        description="Whether the requests belong to batches, if grouped by `batch`.",
    )
    service_tier: str | None = Field(default=None, description="Service tier. Always null.")

    # Extensions of OpenAI's schema.
    num_failed_requests: int = Field(description="Number of requests that ended in an error.")
    mean_time_to_first_token_ms: float | None = Field(
        description="Mean time to first token of streams, in milliseconds; null without streams."
    )
    mean_time_per_output_token_ms: float | None = Field(
        description="Mean time per output token of streams after the first token, in "
        "milliseconds; null without such tokens."
    )


class UsageBucket(BaseModel):
    """A time interval with an exclusive end. `results` is empty if there was no usage."""

    object: Literal["bucket"] = "bucket"
    start_time: int = Field(
        description="Start of the bucket (inclusive), as a Unix timestamp in seconds."
    )
    end_time: int = Field(
        description="End of the bucket (exclusive), as a Unix timestamp in seconds."
    )
    results: list[UsageResult] = Field(description="Usage results, one per group.")


class UsagePage(BaseModel):
    """A page of usage buckets in chronological order."""

    object: Literal["page"] = "page"
    data: list[UsageBucket] = Field(description="Buckets, oldest first.")
    has_more: bool = Field(description="Whether another page follows.")
    next_page: str | None = Field(description="Cursor of the next page, to be passed as `page`.")
