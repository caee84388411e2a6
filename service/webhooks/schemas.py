"""Request and response schemas of webhook endpoints, and the payload of events, as in OpenAI's API.

`status` and the delivery log are extensions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.core.outbox import Event
from service.web.names import VisibleName
from service.webhooks.records import DeliveryAttempt, Endpoint
from service.webhooks.signing import hint

_EXAMPLE_URL = "https://hooks.example.com/finetuned"
Name = Annotated[VisibleName, Field(min_length=1, max_length=200)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]


class EventType(StrEnum):
    """Event types that an endpoint can subscribe to."""

    SUCCEEDED = "fine_tuning.job.succeeded"
    FAILED = "fine_tuning.job.failed"
    CANCELLED = "fine_tuning.job.cancelled"
    EVAL_SUCCEEDED = "eval.run.succeeded"
    EVAL_FAILED = "eval.run.failed"
    EVAL_CANCELED = "eval.run.canceled"
    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_EXPIRED = "batch.expired"
    BATCH_CANCELLED = "batch.cancelled"
    ALIAS_WORSENED = "alias.worsened"
    ADVICE_COMPLETED = "advice.completed"
    ADVICE_FAILED = "advice.failed"
    ADVICE_CANCELLED = "advice.cancelled"
    REPORT_COMPLETED = "dataset.report.completed"
    REPORT_FAILED = "dataset.report.failed"
    REPORT_CANCELLED = "dataset.report.cancelled"
    PREVIEW_COMPLETED = "dataset.preview.completed"
    PREVIEW_FAILED = "dataset.preview.failed"
    PREVIEW_CANCELLED = "dataset.preview.cancelled"
    CLEANING_COMPLETED = "dataset.cleaning.completed"
    CLEANING_FAILED = "dataset.cleaning.failed"
    CLEANING_CANCELLED = "dataset.cleaning.cancelled"
    DIFF_COMPLETED = "dataset.diff.completed"
    DIFF_FAILED = "dataset.diff.failed"
    DIFF_CANCELLED = "dataset.diff.cancelled"
    MERGE_COMPLETED = "dataset.merge.completed"
    MERGE_FAILED = "dataset.merge.failed"
    MERGE_CANCELLED = "dataset.merge.cancelled"
    GENERATION_COMPLETED = "dataset.generation.completed"
    GENERATION_FAILED = "dataset.generation.failed"
    GENERATION_CANCELLED = "dataset.generation.cancelled"
    IMPORT_COMPLETED = "model.import.completed"
    IMPORT_FAILED = "model.import.failed"
    IMPORT_CANCELLED = "model.import.cancelled"
    EXPORT_COMPLETED = "model.export.completed"
    EXPORT_FAILED = "model.export.failed"
    EXPORT_CANCELLED = "model.export.cancelled"
    ALIAS_CHECK_COMPLETED = "alias.check.completed"
    ALIAS_CHECK_FAILED = "alias.check.failed"
    ALIAS_CHECK_CANCELLED = "alias.check.cancelled"
    ERASURE_COMPLETED = "organization.erasure.completed"
    ERASURE_FAILED = "organization.erasure.failed"
    ERASURE_CANCELLED = "organization.erasure.cancelled"

    # Names of version 0.2, which endpoints that subscribe to them receive for one more version.
    OLD_EXPORT_COMPLETED = "export.succeeded"
    OLD_EXPORT_FAILED = "export.failed"
    OLD_EXPORT_CANCELLED = "export.cancelled"


RENAMED: Final[Mapping[str, str]] = {
    EventType.OLD_EXPORT_COMPLETED: EventType.EXPORT_COMPLETED,
    EventType.OLD_EXPORT_FAILED: EventType.EXPORT_FAILED,
    EventType.OLD_EXPORT_CANCELLED: EventType.EXPORT_CANCELLED,
}
"""The new names of events. Events keep their old names in the outbox, where versions meet."""


class WebhookEventData(BaseModel):
    """Object that a webhook event is about."""

    id: str = Field(description="ID of the object, such as a job, a run or an export.")


class WebhookEvent(BaseModel):
    """Event as it is sent to webhook endpoints. It has IDs, but no data of the object."""

    id: str = Field(description="ID of the event, prefixed with `evt_`. The same in every attempt.")
    object: Literal["event"] = "event"
    created_at: int = Field(description="Time of the event as a Unix timestamp in seconds.")
    type: EventType = Field(description="Type of the event.")
    data: WebhookEventData = Field(description="Object that the event is about.")


def event_payload(event: Event) -> str:
    """Return the request body of an event as JSON. It contains IDs, but no text of the job."""
    return json.dumps(
        {
            "id": event.id,
            "object": "event",
            "created_at": event.created_at,
            "type": event.type,
            "data": {"id": event.subject_id},
        },
        separators=(",", ":"),
    )


# Not strict, since pydantic's strict enums reject strings.
EventTypeName = Annotated[EventType, Field(strict=False)]
EventTypes = Annotated[list[EventTypeName], Field(min_length=1)]


class CreateWebhookEndpoint(BaseModel):
    """Request to create a webhook endpoint."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = Field(description="Name of the endpoint.")
    url: Url = Field(
        description="Absolute http or https URL. The operator must allow its host and port.",
        examples=[_EXAMPLE_URL],
    )
    event_types: EventTypes = Field(description="Event types to deliver.")


class UpdateWebhookEndpoint(BaseModel):
    """Request to update a webhook endpoint. Omitted fields remain unchanged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = Field(default=None, description="New name.")
    url: Url | None = Field(
        default=None,
        description="New URL. The operator must allow its host and port. Any value, even the "
        "current URL, enables a disabled endpoint.",
        examples=[_EXAMPLE_URL],
    )
    event_types: EventTypes | None = Field(
        default=None, description="Event types to deliver. Replaces the current list."
    )


class RotateWebhookEndpointSecret(BaseModel):
    """Request to rotate a signing secret."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keep_old_secret_active_for_24_hours: bool = Field(
        default=False,
        description="Whether requests are also signed with the old secret for 24 hours, so that "
        "receivers can switch to the new one without losing events.",
    )


class TestWebhookEndpoint(BaseModel):
    """Request to test a webhook endpoint."""

    __test__ = False  # keeps pytest from collecting the class
    model_config = ConfigDict(extra="forbid", strict=True)

    event_type: EventTypeName = Field(description="Type of the sample event.")


class WebhookEndpointObject(BaseModel):
    """Webhook endpoint without its signing secret."""

    id: str = Field(description="ID of the endpoint, prefixed with `webhook_`.")
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int = Field(description="Creation time as a Unix timestamp in seconds.")
    updated_at: int = Field(
        description="Time of the last change to the endpoint or its secret, as a Unix timestamp "
        "in seconds."
    )
    name: str = Field(description="Name of the endpoint.")
    url: str = Field(description="URL that receives the events.")
    event_types: list[str] = Field(description="Event types to deliver.")
    signing_secret_hint: str = Field(
        description="Abbreviated signing secret: `whsec_…` and its last four characters."
    )
    status: Literal["enabled", "disabled"] = Field(
        description="Status of the endpoint. `disabled`: the endpoint answered 410 and receives no "
        "more events. Extension of OpenAI's object."
    )

    @classmethod
    def from_record(cls, endpoint: Endpoint) -> Self:
        """Convert a record to its wire type."""
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
    """Webhook endpoint with its new signing secret. No later response contains the secret."""

    signing_secret: str = Field(description="Signing secret: `whsec_` and the base64-encoded key.")

    @classmethod
    def with_secret(cls, endpoint: Endpoint) -> Self:
        """Convert a record whose secret is new to its wire type."""
        fields = WebhookEndpointObject.from_record(endpoint).model_dump()
        return cls(**fields, signing_secret=endpoint.secret)


class WebhookEndpointTestObject(BaseModel):
    """Result of a test in which the endpoint responded."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str = Field(description="ID of the endpoint.")
    event_type: str = Field(description="Type of the sample event.")
    status_code: int = Field(description="HTTP status of the endpoint's response.")
    success: Literal[True] = Field(
        default=True, description="Whether the endpoint responded, with any status. Always true."
    )


class WebhookEventTypesObject(BaseModel):
    """List of event types that an endpoint can subscribe to."""

    object: Literal["list"] = "list"
    data: list[str] = Field(description="Event types.")


class WebhookDeliveryObject(BaseModel):
    """Attempt to deliver an event to a webhook endpoint."""

    id: str = Field(description="ID of the attempt, prefixed with `whdelivery-`.")
    object: Literal["webhook_endpoint.delivery"] = "webhook_endpoint.delivery"
    created_at: int = Field(
        description="Time at which the attempt ended, as a Unix timestamp in seconds."
    )
    event_id: str = Field(
        description="ID of the event, sent as the `webhook-id` header of the request."
    )
    event_type: str = Field(description="Type of the event.")
    attempt: int = Field(description="Number of the attempt, starting at 1.")
    outcome: str = Field(
        description="Outcome of the attempt. `delivered`: the endpoint accepted the event. "
        "`retrying`: the attempt failed, and another one follows. `failed`: the last attempt "
        "failed. `disabled`: the endpoint answered 410."
    )
    response_status: int | None = Field(
        description="HTTP status of the endpoint's response; null if there was none."
    )
    error: str | None = Field(description="Error class; null if the endpoint responded.")
    next_attempt_at: int | None = Field(
        description="Time of the next attempt as a Unix timestamp in seconds; null if there is "
        "none."
    )

    @classmethod
    def from_record(cls, attempt: DeliveryAttempt) -> Self:
        """Convert a record to its wire type."""
        return cls.model_validate(attempt.model_dump())
