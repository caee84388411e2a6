"""Webhook endpoints on the wire, in OpenAI's shapes. `status` and the delivery log are ours."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.webhooks.events import EventType
from service.webhooks.records import Attempt, Endpoint
from service.webhooks.signing import hint

_EXAMPLE_URL = "https://hooks.example.com/finetuned"

Name = Annotated[str, Field(min_length=1, max_length=200)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
EventTypes = Annotated[list[EventType], Field(min_length=1)]


class CreateWebhookEndpoint(BaseModel):
    """Request body to create a webhook endpoint."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="Name for the people who manage the endpoint.")
    url: Url = Field(
        description="Absolute http or https URL. The operator must have allowed its host.",
        examples=[_EXAMPLE_URL],
    )
    event_types: EventTypes = Field(description="Event types to deliver.")


class UpdateWebhookEndpoint(BaseModel):
    """Request body to update a webhook endpoint. Fields that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = Field(default=None, description="New name.")
    url: Url | None = Field(
        default=None,
        description="New URL. The operator must have allowed its host. Any value, even the old "
        "one, enables a disabled endpoint.",
        examples=[_EXAMPLE_URL],
    )
    event_types: EventTypes | None = Field(
        default=None, description="Complete list of event types to deliver from now on."
    )


class RotateWebhookEndpointSecret(BaseModel):
    """Request body to rotate a signing secret."""

    model_config = ConfigDict(extra="forbid")

    keep_old_secret_active_for_24_hours: bool = Field(
        default=False,
        description="Wish to keep the old secret valid for a day. Only `false` is supported.",
    )


class TestWebhookEndpoint(BaseModel):
    """Request body to test a webhook endpoint."""

    __test__ = False  # not a class of pytest
    model_config = ConfigDict(extra="forbid")

    event_type: EventType = Field(description="Type of the sample event.")


class WebhookEndpointObject(BaseModel):
    """Webhook endpoint without its signing secret."""

    id: str = Field(description="Identifier: `webhook_` and letters.")
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int = Field(description="Unix timestamp in seconds.")
    updated_at: int = Field(
        description="Unix timestamp in seconds of the last change of the endpoint or its secret."
    )
    name: str = Field(description="Name for the people who manage the endpoint.")
    url: str = Field(description="URL that receives the events.")
    event_types: list[str] = Field(description="Event types that are delivered.")
    signing_secret_hint: str = Field(description="Last four characters of the signing secret.")
    status: Literal["enabled", "disabled"] = Field(
        description="State of the endpoint. `disabled` means that it answered 410 and receives no "
        "more events. OpenAI's API has no such field."
    )

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The wire form of a record."""
        return cls(
            id=endpoint.id,
            created_at=endpoint.created_at,
            updated_at=endpoint.updated_at,
            name=endpoint.name,
            url=endpoint.url,
            event_types=list(endpoint.event_types),
            signing_secret_hint=hint(endpoint.secret),
            status="enabled" if endpoint.disabled_at is None else "disabled",
        )


class WebhookEndpointWithSecretObject(WebhookEndpointObject):
    """Webhook endpoint with its new signing secret. No later response contains this secret."""

    signing_secret: str = Field(description="Signing secret: `whsec_` and base64.")

    @classmethod
    def with_secret(cls, endpoint: Endpoint) -> Self:
        """The wire form of a record whose secret is new."""
        shown = WebhookEndpointObject.of(endpoint).model_dump()
        return cls(**shown, signing_secret=endpoint.secret)


class WebhookEndpointTestObject(BaseModel):
    """Result of a test that the endpoint responded to."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str = Field(description="Identifier of the endpoint.")
    event_type: str = Field(description="Type of the sample event.")
    status_code: int = Field(description="HTTP status of the endpoint's response.")
    success: Literal[True] = Field(
        default=True, description="Completion of the request, whatever its status."
    )


class WebhookEventTypesObject(BaseModel):
    """List of the event types that an endpoint can subscribe to."""

    object: Literal["list"] = "list"
    data: list[str] = Field(description="Event types.")


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


class WebhookEndpointDeleted(BaseModel):
    """Confirmation that a webhook endpoint was deleted."""

    id: str = Field(description="Identifier of the deleted endpoint.")
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True
