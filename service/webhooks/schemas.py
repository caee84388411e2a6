"""Webhooks on the wire."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.webhooks.events import EventType
from service.webhooks.records import Attempt, Endpoint

_SECONDS = "Unix timestamp in seconds."


class CreateWebhook(BaseModel):
    """Request body to create a webhook."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="Absolute http or https URL. The operator must have allowed its host.",
        examples=["https://hooks.example.com/finetuned"],
    )
    events: list[EventType] = Field(
        default=list(EventType),
        min_length=1,
        description="Event types to deliver. Default: all of them.",
    )
    description: str | None = Field(
        default=None, max_length=500, description="Note for the people who manage the webhook."
    )


class WebhookObject(BaseModel):
    """Webhook endpoint without its signing secret."""

    id: str = Field(description="Identifier: `webhook_` and letters.")
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int = Field(description=_SECONDS)
    url: str = Field(description="URL that receives the events.")
    events: list[str] = Field(description="Event types that are delivered.")
    description: str | None = Field(description="Note for the people who manage the webhook.")
    status: Literal["enabled", "disabled"] = Field(
        description="`disabled`: the endpoint answered 410, and receives no more events."
    )

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The wire form of a record."""
        return cls(
            id=endpoint.id,
            created_at=endpoint.created_at,
            url=endpoint.url,
            events=list(endpoint.events),
            description=endpoint.description,
            status="enabled" if endpoint.disabled_at is None else "disabled",
        )


class NewWebhookObject(WebhookObject):
    """New webhook endpoint with its signing secret. No other response contains the secret."""

    secret: str = Field(description="Signing secret: `whsec_` and base64. Shown only once.")


class WebhookDeliveryObject(BaseModel):
    """Attempt to deliver an event to a webhook endpoint."""

    id: str = Field(description="Identifier: `whdelivery-` and numbers.")
    object: Literal["webhook_endpoint.delivery"] = "webhook_endpoint.delivery"
    created_at: int = Field(description="Unix timestamp in seconds at the end of the attempt.")
    event_id: str = Field(description="Identifier of the event, the `webhook-id` of the request.")
    event_type: str = Field(description="Type of the event.")
    attempt: int = Field(description="Number of the attempt, starting at 1.")
    outcome: str = Field(
        description="`delivered`; `retrying`: failed, with another attempt to come; `failed`: the "
        "last attempt; `disabled`: the endpoint answered 410."
    )
    response_status: int | None = Field(description="HTTP status of the endpoint's response.")
    error: str | None = Field(description="Class of the error if there was no response.")
    next_attempt_at: int | None = Field(
        description="Unix timestamp in seconds of the next attempt."
    )

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """The wire form of a record."""
        return cls.model_validate(attempt.model_dump())


class WebhookDeleted(BaseModel):
    """Confirmation that a webhook was deleted."""

    id: str = Field(description="Identifier of the deleted webhook.")
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True
