"""Usage on the wire, shaped as OpenAI's Usage API."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

BucketWidth = Literal["1m", "1h", "1d"]
# OpenAI's. We have no users, batches, tiers or sources: grouping by them makes no difference.
GroupBy = Literal[
    "project_id", "user_id", "api_key_id", "model", "batch", "service_tier", "api_source"
]


class UsageResult(BaseModel):
    """Usage of one group in one bucket. A field that was not grouped by is null."""

    object: Literal["organization.usage.completions.result"] = (
        "organization.usage.completions.result"
    )
    input_tokens: int = Field(description="Prompt tokens, the cached ones among them.")
    output_tokens: int = Field(description="Tokens of the answers.")
    input_cached_tokens: int = Field(
        description="Prompt tokens that the engine had computed before."
    )
    num_model_requests: int = Field(
        description="Requests that an engine answered, those whose client left among them."
    )
    input_audio_tokens: int = Field(default=0, description="Always 0.")
    output_audio_tokens: int = Field(default=0, description="Always 0.")
    project_id: str | None = Field(default=None, description="Whose requests, where grouped by it.")
    user_id: str | None = Field(default=None, description="Always null: there are no users.")
    api_key_id: str | None = Field(default=None, description="Whose requests, where grouped by it.")
    model: str | None = Field(default=None, description="That answered, where grouped by it.")
    batch: bool | None = Field(default=None, description="Always null.")
    service_tier: str | None = Field(default=None, description="Always null.")

    # Ours.
    num_failed_requests: int = Field(description="Requests that ended in an error.")
    mean_time_to_first_token_ms: float | None = Field(description="Of streams; null without any.")
    mean_time_per_output_token_ms: float | None = Field(description="Of streams, after the first.")


class UsageBucket(BaseModel):
    """A span of time, its end exclusive. Without usage it has no results."""

    object: Literal["bucket"] = "bucket"
    start_time: int = Field(description="Its first second.")
    end_time: int = Field(description="The first second after it.")
    results: list[UsageResult] = Field(description="One a group.")


class UsagePage(BaseModel):
    """Buckets in the order of time."""

    object: Literal["page"] = "page"
    data: list[UsageBucket] = Field(description="Oldest first.")
    has_more: bool = Field(description="Whether another page follows.")
    next_page: str | None = Field(description="For `page`, to go on.")
