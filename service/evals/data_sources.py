"""Wire types of a run's data source: `jsonl`, `completions` and `responses`, as in OpenAI's SDK.

Requests and responses use the same types, so that a run shows its request.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from service.grading.schemas import GraderMessage, ModelName

NO_STORED_SOURCES: Final = (
    "stored completions, responses and logs cannot be evaluated: upload a file with the purpose "
    "'evals' and use the source 'file_id', or 'file_content'"
)
DEFAULT_TEMPERATURE: Final = 1.0
DEFAULT_TOP_P: Final = 1.0
DEFAULT_SEED: Final = 42
_MAX_TOOLS: Final = 128
MAX_MESSAGES: Final = 256
_STORED: Final = ("logs", "stored_completions", "responses")  # looked up with any value


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
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        Field(default=None, description="Reasoning effort, for models that support it.")
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
    """Items whose answers are sampled with chat completions."""

    type: Literal["completions"]
    source: Source = Field(description="Source of the items.")
    model: ModelName | None = Field(
        default=None,
        description="Model to sample from: a base model, a trained model, a checkpoint or an "
        "alias. An alias is resolved for each item.",
    )
    input_messages: InputMessages | None = Field(default=None, description="Prompt of an item.")
    sampling_params: CompletionsSamplingParams | None = None


class ResponsesDataSource(_Strict):
    """Items whose answers are sampled with responses."""

    type: Literal["responses"]
    source: Source = Field(description="Source of the items.")
    model: ModelName | None = Field(
        default=None,
        description="Model to sample from: a base model, a trained model, a checkpoint or an "
        "alias. An alias is resolved for each item.",
    )
    input_messages: InputMessages | None = Field(default=None, description="Prompt of an item.")
    sampling_params: ResponsesSamplingParams | None = None


SampledDataSource = CompletionsDataSource | ResponsesDataSource
DataSource = Annotated[
    JsonlDataSource | CompletionsDataSource | ResponsesDataSource, Field(discriminator="type")
]


def refuse_stored(data_source: Any) -> Any:
    """Refuse a source of stored completions with an explanation. Raises ValueError."""
    source = data_source.get("source") if isinstance(data_source, dict) else None
    if isinstance(source, dict) and source.get("type") in _STORED:
        raise ValueError(NO_STORED_SOURCES)
    return data_source
