"""Request and response schemas of stored chat completions, modeled on OpenAI's."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.files.stored_chats.records import MAX_PER_PROJECT, StoredChatRecord
from service.files.stored_chats.redaction import StoredChat
from service.reasoning import take_out
from service.web.validation import Metadata

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class UpdateStoredChat(BaseModel):
    """Request to replace the metadata of a stored chat completion."""

    model_config = ConfigDict(extra="forbid", strict=True)

    metadata: Metadata | None = Field(
        description="New metadata, which is stored as it is. `null` removes all."
    )


class FileExpiry(BaseModel):
    """Time after which a file expires."""

    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: Literal["created_at"] = Field(description="Time from which the seconds count.")
    seconds: int = Field(ge=3600, le=2_592_000, description="Seconds until the file expires.")


class CreateStoredChatFile(BaseModel):
    """Request to create a training file from stored chat completions."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: ModelName | None = Field(
        default=None, description="Only chats that this model answered; null for all models."
    )
    created_after: int | None = Field(
        default=None, ge=0, description="Earliest time of a chat, as a Unix timestamp in seconds."
    )
    created_before: int | None = Field(
        default=None, ge=0, description="Latest time of a chat, as a Unix timestamp in seconds."
    )
    metadata: Metadata | None = Field(
        default=None, description="Metadata that a chat must have. All pairs must match."
    )
    limit: int = Field(
        default=10_000,
        ge=1,
        le=MAX_PER_PROJECT,
        description="Maximum number of rows. If there are more chats, the newest are used.",
    )
    filename: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(
        default="stored-chats.jsonl", description="Name of the file."
    )
    expires_after: FileExpiry | None = Field(
        default=None, description="When the file expires; null for never."
    )

    def covers(self, record: StoredChatRecord) -> bool:
        """Return whether to take a chat. Cut-off answers would teach the model to stop early."""
        return (
            record.finish_reason in ("stop", "tool_calls")
            and (self.created_after is None or record.created_at >= self.created_after)
            and (self.created_before is None or record.created_at <= self.created_before)
            and has_metadata(record, self.metadata or {})
        )


def has_metadata(record: StoredChatRecord, wanted: dict[str, str]) -> bool:
    """Return whether a chat has all of this metadata."""
    return wanted.items() <= record.metadata.items()


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True)


class StoredChatAnswer(_Shown):
    """The answer in a stored chat completion."""

    role: Literal["assistant"] = Field(
        default="assistant", description="Role of the message's author. Always `assistant`."
    )
    content: str | None = Field(description="Text of the answer, redacted.")
    refusal: None = Field(default=None, description="Always null.")
    reasoning_content: str | None = Field(
        default=None, description="What the model thought before it answered, redacted."
    )
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Calls of tools, redacted."
    )


class StoredChatChoice(_Shown):
    """A choice of a stored chat completion."""

    index: Literal[0] = Field(default=0, description="Position of the choice. Always 0.")
    finish_reason: str = Field(description="Reason generation ended.")
    message: StoredChatAnswer
    logprobs: None = Field(default=None, description="Always null: they are not stored.")


class StoredChatObject(_Shown):
    """A stored chat completion, as in the OpenAI API. Only its first choice is stored."""

    id: str = Field(
        description="ID of the chat completion or response, prefixed with `chatcmpl-` or `resp_`."
    )
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    model: str = Field(description="Model that generated the answer.")
    choices: list[StoredChatChoice]
    usage: dict[str, Any] | None = Field(
        description="Numbers of tokens; null for streams that did not ask for them."
    )
    metadata: dict[str, str] = Field(description="Metadata of the request, redacted.")
    tools: list[dict[str, Any]] | None = Field(description="Tools of the request, redacted.")
    temperature: float | None = Field(description="Temperature of the request.")
    top_p: float | None = Field(description="Nucleus sampling probability of the request.")
    seed: int | None = Field(description="Seed of the request.")
    expires_at: int = Field(
        description="Time at which the chat is deleted, as a Unix timestamp in seconds."
    )
    redactions: dict[str, int] = Field(
        description="Number of values of each kind of personal data that were replaced."
    )

    @classmethod
    def from_record(cls, record: StoredChatRecord, chat: StoredChat) -> Self:
        """Return the API object of a record and the stored chat."""
        answer = chat.row["messages"][-1]
        reasoning, content = take_out(answer.get("content") or "")
        message = StoredChatAnswer(
            content=content or (None if answer.get("tool_calls") else ""),
            reasoning_content=reasoning or None,
            tool_calls=answer.get("tool_calls"),
        )
        return cls(
            id=record.id,
            created=chat.created,
            model=record.model,
            choices=[StoredChatChoice(finish_reason=chat.finish_reason, message=message)],
            usage=chat.usage,
            metadata=record.metadata,
            tools=chat.row.get("tools"),
            temperature=chat.sampling.get("temperature"),
            top_p=chat.sampling.get("top_p"),
            seed=chat.sampling.get("seed"),
            expires_at=record.expires_at,
            redactions=chat.redactions,
        )


class StoredChatMessage(_Shown):
    """A message of the request of a stored chat completion, as in the OpenAI API."""

    id: str = Field(description="ID of the message: that of the chat completion and a number.")
    role: str = Field(description="Role of the message's author.")
    content: str | None = Field(description="Text of the message, redacted.")
    content_parts: None = Field(default=None, description="Always null: parts are joined.")
    refusal: None = Field(default=None, description="Always null.")
    name: str | None = Field(default=None, description="Name of the author, redacted.")
    tool_calls: list[dict[str, Any]] | None = Field(
        default=None, description="Calls of tools, redacted."
    )
    tool_call_id: str | None = Field(
        default=None, description="ID of the tool call that the message answers."
    )

    @classmethod
    def all_of(cls, chat: StoredChat) -> list[Self]:
        """Return the API objects of the messages of a request."""
        return [
            cls(
                id=f"{chat.id}-{number}",
                role=message["role"],
                content=message.get("content"),
                name=message.get("name"),
                tool_calls=message.get("tool_calls"),
                tool_call_id=message.get("tool_call_id"),
            )
            for number, message in enumerate(chat.row["messages"][:-1])
        ]


class StoredChatsDeleted(_Shown):
    """Response to deleting stored chat completions."""

    object: Literal["chat.completions.deleted"] = "chat.completions.deleted"
    deleted: Literal[True] = True
    count: int = Field(description="Number of chat completions that were deleted.")
