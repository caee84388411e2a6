"""Wire types of a run's data source: `jsonl`, `completions` and `responses`, as in OpenAI's SDK.

Requests and responses use the same types, so that a run shows its request.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeGuard

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from service.datasets.limits import MAX_EVAL_ITEMS
from service.grading.schemas import GraderMessage, ModelName
from service.reasoning import ReasoningEffort
from service.web.validation import Metadata

DEFAULT_TEMPERATURE: Final = 1.0
DEFAULT_TOP_P: Final = 1.0
DEFAULT_SEED: Final = 42
_MAX_TOOLS: Final = 128
MAX_MESSAGES: Final = 256


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, serialize_by_alias=True
    )


class EvalItem(_Strict):
    """Item of a run, and the answer to grade if it is given rather than sampled."""

    item: dict[str, Any] = Field(description="Item, which matches the item schema of the eval.")
    sample: dict[str, Any] | None = Field(
        default=None,
        description="Answer to grade, such as `output_text`. Used by the data source `jsonl`.",
    )


class FileContentSource(_Strict):
    """Items given in the request."""

    type: Literal["file_content"]
    content: list[EvalItem] = Field(min_length=1, description="Items of the run.")


class FileIdSource(_Strict):
    """Items in a file."""

    type: Literal["file_id"]
    id: Annotated[str, Field(max_length=128)] = Field(
        description="ID of a file with the purpose `evals`."
    )


Source = Annotated[FileContentSource | FileIdSource, Field(discriminator="type")]


class _StoredSource(_Strict):
    model: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="Only chats that this model answered; null for all models."
    )
    metadata: Metadata | None = Field(
        default=None,
        description="Metadata that a chat must have, besides the eval's. All pairs must match.",
    )
    created_after: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Earliest time of a chat, as a Unix timestamp in seconds."
    )
    created_before: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Latest time of a chat, as a Unix timestamp in seconds."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_EVAL_ITEMS)] | None = Field(
        default=None,
        description="Maximum number of items. If there are more chats, the newest are used.",
    )
    personal_data: Literal["keep", "mask"] | None = Field(
        default=None,
        description="`mask` replaces values that are found to be personal, and numbers that may "
        "be, in the chats before they are sampled, graded and stored with the run. By default, "
        "they are as they were stored. An extension of OpenAI's schema.",
    )


class StoredCompletionsSource(_StoredSource):
    """Stored chat completions."""

    type: Literal["stored_completions"]


class StoredResponsesSource(_StoredSource):
    """Stored responses. `limit` and `personal_data` are extensions of OpenAI's schema."""

    type: Literal["responses"]
    instructions_search: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None,
        description="Text in the instructions of a response. Case is ignored.",
    )
    reasoning_effort: ReasoningEffort | None = Field(
        default=None, description="Reasoning effort of the request."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="Temperature of the request."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Nucleus sampling probability of the request."
    )
    tools: Annotated[list[str], Field(max_length=_MAX_TOOLS)] | None = Field(
        default=None, description="Names of functions, all of which the request must have."
    )
    users: list[str] | None = Field(
        default=None, description="Must be null or empty: `user` is not stored."
    )

    @field_validator("users")
    @classmethod
    def _not_stored(cls, users: list[str] | None) -> list[str] | None:
        if users:
            raise ValueError(
                "responses are stored without 'user': use 'metadata' to tell users apart"
            )
        return users

    @property
    def reads_texts(self) -> bool:
        """Whether a filter needs what is only in storage."""
        names = ("instructions_search", "reasoning_effort", "temperature", "top_p", "tools")
        return any(getattr(self, name) is not None for name in names)


StoredSource = StoredCompletionsSource | StoredResponsesSource


class TemplateMessages(_Strict):
    """Prompt made of messages that contain template variables such as `{{item.question}}`."""

    type: Literal["template"]
    template: list[GraderMessage] = Field(
        min_length=1, max_length=MAX_MESSAGES, description="Messages of the prompt."
    )


class ItemReferenceMessages(_Strict):
    """Prompt that each item contains."""

    type: Literal["item_reference"]
    item_reference: Annotated[str, Field(max_length=512)] = Field(
        description="Variable of the item that holds the list of messages.",
        examples=["item.messages"],
    )


InputMessages = Annotated[TemplateMessages | ItemReferenceMessages, Field(discriminator="type")]


class _Sampling(_Strict):
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_048_576)] | None = Field(
        default=None,
        validation_alias=AliasChoices("max_completion_tokens", "max_completions_tokens"),
        description="Maximum number of tokens of an answer. Defaults to the rest of the model's "
        "context.",
    )
    reasoning_effort: ReasoningEffort | None = Field(
        default=None, description="Reasoning effort, for models that support it."
    )
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(
        default=None, description="Sampling seed. Defaults to 42."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="Sampling temperature. Defaults to 1."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Probability mass of the tokens to sample from. Defaults to 1."
    )


class CompletionsSamplingParams(_Sampling):
    """Sampling parameters of chat completions."""

    response_format: dict[str, Any] | None = Field(
        default=None,
        description="Format of the answers, as in chat completions.",
        examples=[{"type": "json_object"}],
    )
    tools: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=_MAX_TOOLS,
        description="Functions that the model may call, as in chat completions.",
    )


class ResponsesSamplingParams(_Sampling):
    """Sampling parameters of responses."""

    text: dict[str, Any] | None = Field(
        default=None,
        description="Format of the answers, as in responses.",
        examples=[{"format": {"type": "json_object"}}],
    )
    tools: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=_MAX_TOOLS,
        description="Functions that the model may call, as in responses.",
    )

    @model_validator(mode="after")
    def _functions(self) -> ResponsesSamplingParams:
        for tool in self.tools or ():
            if tool.get("type") != "function":
                raise ValueError("tools may be functions only: their type must be 'function'")
        return self


class JsonlDataSource(_Strict):
    """Items that include the answers to grade."""

    type: Literal["jsonl"]
    source: Source = Field(description="Source of the items.")


class CompletionsDataSource(_Strict):
    """Items whose answers are sampled with chat completions, or stored chat completions."""

    type: Literal["completions"]
    source: Annotated[
        FileContentSource | FileIdSource | StoredCompletionsSource, Field(discriminator="type")
    ] = Field(description="Source of the items.")
    model: ModelName | None = Field(
        default=None,
        description="Model to sample from: a base model, a trained model, a checkpoint or an "
        "alias. An alias is resolved for each item.",
    )
    input_messages: InputMessages | None = Field(
        default=None,
        description="Prompt of an item. If it is omitted, stored answers are graded as they are.",
    )
    sampling_params: CompletionsSamplingParams | None = None


class ResponsesDataSource(_Strict):
    """Items whose answers are sampled with responses, or stored responses."""

    type: Literal["responses"]
    source: Annotated[
        FileContentSource | FileIdSource | StoredResponsesSource, Field(discriminator="type")
    ] = Field(description="Source of the items.")
    model: ModelName | None = Field(
        default=None,
        description="Model to sample from: a base model, a trained model, a checkpoint or an "
        "alias. An alias is resolved for each item.",
    )
    input_messages: InputMessages | None = Field(
        default=None,
        description="Prompt of an item. If it is omitted, stored answers are graded as they are.",
    )
    sampling_params: ResponsesSamplingParams | None = None


SampledDataSource = CompletionsDataSource | ResponsesDataSource
DataSource = Annotated[
    JsonlDataSource | CompletionsDataSource | ResponsesDataSource, Field(discriminator="type")
]


def stored_source(source: DataSource) -> StoredSource | None:
    """Return the source if the items are stored chats, or None."""
    return source.source if isinstance(source.source, StoredSource) else None


def is_sampled(source: DataSource) -> TypeGuard[SampledDataSource]:
    """Return whether the answers are sampled, not given with the items or stored."""
    if isinstance(source, JsonlDataSource):
        return False
    asked = (source.model, source.input_messages, source.sampling_params)
    return stored_source(source) is None or any(one is not None for one in asked)
