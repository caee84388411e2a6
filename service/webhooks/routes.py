"""Routes of webhook endpoints and event types, as in OpenAI's SDK, and of the delivery log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response
from starlette.routing import BaseRoute

from service.core import clock, ids
from service.core.errors import BadRequest, Conflict, LimitReached, Unavailable
from service.core.outbox import Event
from service.web.audit_events import AuditEvent
from service.web.deps import AppSettings, Caller, resource
from service.web.permissions import Permission, needs
from service.web.resources import Deleted, ListOf, Paged, Resource, deleted, list_of
from service.webhooks.records import (
    MAX_ENDPOINTS,
    MAX_LOGGED,
    Delivery,
    DeliveryAttempt,
    Endpoint,
    TooMany,
    Webhooks,
)
from service.webhooks.schemas import (
    CreateWebhookEndpoint,
    EventType,
    RotateWebhookEndpointSecret,
    TestWebhookEndpoint,
    UpdateWebhookEndpoint,
    WebhookDeliveryObject,
    WebhookEndpointObject,
    WebhookEndpointTestObject,
    WebhookEndpointWithSecretObject,
    WebhookEvent,
    WebhookEventTypesObject,
    event_payload,
)
from service.webhooks.sender import AllowedHosts, HostNotAllowed, InvalidUrl, parse_url

_POLL_S = 0.1
router = APIRouter(prefix="/v1", tags=["Webhooks"])
_SETTING = "FINETUNED_WEBHOOK_ALLOWED_HOSTS"
_ENDPOINT = "/webhook_endpoints/{webhook_endpoint_id}"
_TEST_GRACE_S = 5.0  # for a worker to start the delivery
Store = Annotated[Webhooks, Depends(resource("webhooks"))]


def sample_subject(event_type: EventType | str) -> str:
    """Return the ID of the object in a sample event of this type."""
    kinds = {
        "eval.run": ids.EVAL_RUN,
        "alias": ids.ALIAS_CHECK,
        "alias.check": ids.ALIAS_CHECK,
        "export": ids.EXPORT,
        "batch": ids.BATCH,
        "dataset.generation": ids.GENERATION,
    }
    return f"{kinds.get(event_type.rpartition('.')[0], ids.JOB)}{'0' * 24}"


async def send_sample(
    webhooks: Webhooks, endpoint: Endpoint, event_type: EventType, timeout_s: float
) -> DeliveryAttempt | None:
    """Have a worker send a sample event, and return the attempt.

    Returns None if no worker sends it within `timeout_s`. It is then withdrawn.
    """
    event = Event(
        id=ids.new(ids.WEBHOOK_EVENT),
        project_id=endpoint.project_id,
        created_at=clock.now_s(),
        type=event_type,
        subject_id=sample_subject(event_type),
    )
    delivery = Delivery(
        id=event.id,
        project_id=event.project_id,
        created_at=event.created_at,
        event=event,
        test=True,
    )
    deadline = time.monotonic() + timeout_s
    await webhooks.add(endpoint.address, delivery)
    try:
        while time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            attempts, _ = await webhooks.log(endpoint.address, None, MAX_LOGGED)
            for attempt in attempts:
                if attempt.event_id == event.id:
                    return attempt
        return None
    finally:
        await webhooks.withdraw(endpoint.address, delivery)


async def _allowed_hosts(settings: AppSettings) -> AllowedHosts:
    return AllowedHosts(settings.webhook_allowed_hosts)


Hosts = Annotated[AllowedHosts, Depends(_allowed_hosts)]

ENDPOINT = Resource("webhook endpoint")
DELIVERY = Resource("delivery")


async def _existing(webhook_endpoint_id: str, caller: Caller, store: Store) -> Endpoint:
    endpoint = await store.get(caller.project_id, webhook_endpoint_id)
    return ENDPOINT.get_or_404(endpoint, webhook_endpoint_id)


# Looked up before the body is validated, so that another project's endpoint always answers 404.
Existing = Annotated[Endpoint, Depends(_existing)]


def _distinct(event_types: list[EventType]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event_types))


def _check_url(url: str, hosts: AllowedHosts) -> None:
    if not hosts:
        raise BadRequest(
            "Webhooks are disabled on this server. To enable them, the operator must list the "
            f"hosts that webhooks may call in {_SETTING}.",
            code="feature_disabled",
        )
    try:
        hosts.require(parse_url(url))
    except InvalidUrl as e:
        raise BadRequest(f"Invalid value for 'url': {e}.", param="url", code="invalid_value") from e
    except HostNotAllowed as e:
        raise BadRequest(
            "This server does not allow webhooks to the host and port of 'url'. Ask the operator "
            f"to add them to {_SETTING}.",
            param="url",
            code="host_not_allowed",
        ) from e


@router.post(
    "/webhook_endpoints",
    operation_id="createWebhookEndpoint",
    summary="Create a webhook endpoint",
    openapi_extra=needs(Permission.WEBHOOKS_WRITE, AuditEvent.WEBHOOK_CREATED),
)
async def create_endpoint(
    body: CreateWebhookEndpoint, caller: Caller, store: Store, hosts: Hosts
) -> WebhookEndpointWithSecretObject:
    """Register a URL that receives a signed request for each event of the given types, such as the
    end of a fine-tuning job. The response contains the signing secret, which is not shown again.
    A project can have up to 10 endpoints.
    """
    _check_url(body.url, hosts)
    try:
        created = await store.create(
            caller.project_id,
            name=body.name,
            url=body.url,
            event_types=_distinct(body.event_types),
        )
    except TooMany as e:
        raise LimitReached(
            f"The project already has {MAX_ENDPOINTS} webhook endpoints, which is the maximum. "
            "Delete one first."
        ) from e
    return WebhookEndpointWithSecretObject.with_secret(created)


@router.get(
    "/webhook_endpoints",
    operation_id="listWebhookEndpoints",
    summary="List webhook endpoints",
    openapi_extra=needs(Permission.WEBHOOKS_READ),
)
async def list_endpoints(
    caller: Caller, store: Store, paging: Paged
) -> ListOf[WebhookEndpointObject]:
    """List the project's webhook endpoints, newest first, without their secrets."""
    page = store.endpoints.page(caller.project_id, **paging.bounds)
    return await ENDPOINT.list(page, WebhookEndpointObject.from_record)


@router.get(
    _ENDPOINT,
    operation_id="getWebhookEndpoint",
    summary="Retrieve a webhook endpoint",
    openapi_extra=needs(Permission.WEBHOOKS_READ),
)
async def retrieve_endpoint(endpoint: Existing) -> WebhookEndpointObject:
    """Retrieve a webhook endpoint without its secret. `status` shows whether it still receives
    events.
    """
    return WebhookEndpointObject.from_record(endpoint)


@router.post(
    _ENDPOINT,
    operation_id="updateWebhookEndpoint",
    summary="Update a webhook endpoint",
    openapi_extra=needs(Permission.WEBHOOKS_WRITE, AuditEvent.WEBHOOK_UPDATED),
)
async def update_endpoint(
    body: UpdateWebhookEndpoint, endpoint: Existing, store: Store, hosts: Hosts
) -> WebhookEndpointObject:
    """Update the given fields. Pending deliveries go to the new URL. An update with `url` also
    enables an endpoint that was disabled because it answered 410.
    """
    if body.url is not None:
        _check_url(body.url, hosts)
    event_types = None if body.event_types is None else _distinct(body.event_types)
    with ENDPOINT.existing(endpoint.id):
        changed = await store.update(
            endpoint, name=body.name, url=body.url, event_types=event_types
        )
    return WebhookEndpointObject.from_record(changed)


@router.delete(
    _ENDPOINT,
    operation_id="deleteWebhookEndpoint",
    summary="Delete a webhook endpoint",
    openapi_extra=needs(Permission.WEBHOOKS_WRITE, AuditEvent.WEBHOOK_DELETED),
)
async def delete_endpoint(webhook_endpoint_id: str, caller: Caller, store: Store) -> Deleted:
    """Delete an endpoint and its delivery log. Pending deliveries are dropped; a request in
    progress may still arrive.
    """
    if not await store.delete(caller.project_id, webhook_endpoint_id):
        raise ENDPOINT.not_found(webhook_endpoint_id)
    return deleted(webhook_endpoint_id, "webhook_endpoint")


@router.post(
    f"{_ENDPOINT}/rotate_secret",
    operation_id="rotateWebhookEndpointSecret",
    summary="Rotate a signing secret",
    openapi_extra=needs(Permission.WEBHOOKS_WRITE, AuditEvent.WEBHOOK_SECRET_ROTATED),
)
async def rotate_secret(
    endpoint: Existing, store: Store, body: RotateWebhookEndpointSecret | None = None
) -> WebhookEndpointWithSecretObject:
    """Replace the signing secret immediately. All later requests, including retries, are signed
    with the new secret, and for 24 hours also with the old one if you ask for that. The response
    contains the new secret, which is not shown again.
    """
    keep_old = (body or RotateWebhookEndpointSecret()).keep_old_secret_active_for_24_hours
    with ENDPOINT.existing(endpoint.id):
        changed = await store.rotate_secret(endpoint, keep_old=keep_old)
    return WebhookEndpointWithSecretObject.with_secret(changed)


@router.post(
    f"{_ENDPOINT}/test",
    operation_id="testWebhookEndpoint",
    summary="Test a webhook endpoint",
    openapi_extra=needs(Permission.WEBHOOKS_WRITE, AuditEvent.WEBHOOK_TESTED),
)
async def test_endpoint(
    body: TestWebhookEndpoint, endpoint: Existing, store: Store, settings: AppSettings
) -> WebhookEndpointTestObject:
    """Send a signed sample event and wait for the response. The event type need not be one that
    the endpoint subscribes to. A worker sends the event once, ahead of the endpoint's other
    events, and the delivery log shows the attempt. The error `webhook_test_failed` means that the
    endpoint did not respond.
    """
    if endpoint.disabled_at is not None:
        raise Conflict(
            "The endpoint is disabled because it answered 410. Update its 'url' to enable it."
        )
    # The worker may first have to finish another request to the endpoint.
    timeout_s = 2 * settings.webhook_timeout_s + _TEST_GRACE_S
    attempt = await send_sample(store, endpoint, body.event_type, timeout_s)
    if attempt is None:
        raise Unavailable("No worker sent the test in time. Try again later.")
    if attempt.response_status is None:
        raise BadRequest(
            f"The endpoint did not respond: {attempt.error}.", code="webhook_test_failed"
        )
    return WebhookEndpointTestObject(
        webhook_endpoint_id=endpoint.id,
        event_type=attempt.event_type,
        status_code=attempt.response_status,
    )


@router.get(
    f"{_ENDPOINT}/deliveries",
    operation_id="listWebhookEndpointDeliveries",
    summary="List webhook deliveries",
    openapi_extra=needs(Permission.WEBHOOKS_READ),
)
async def list_deliveries(
    endpoint: Existing, store: Store, paging: Paged
) -> ListOf[WebhookDeliveryObject]:
    """List the latest attempts to deliver events to an endpoint, newest first. The log keeps 100
    attempts and expires 30 days after the last one. Extension of OpenAI's API.
    """
    attempts, has_more = await DELIVERY.read(
        store.log(endpoint.address, paging.after, paging.limit)
    )
    return list_of([WebhookDeliveryObject.from_record(a) for a in attempts], has_more)


@router.get(
    "/webhook_event_types",
    operation_id="listWebhookEventTypes",
    summary="List webhook event types",
    openapi_extra=needs(Permission.WEBHOOKS_READ),
)
async def list_event_types(_: Caller) -> WebhookEventTypesObject:
    """List the event types that an endpoint can subscribe to."""
    return WebhookEventTypesObject(data=list(EventType))


async def _receive(
    _: WebhookEvent,
    webhook_id: Annotated[str, Header(description="ID of the event. Ignore IDs seen before.")],
    webhook_timestamp: Annotated[
        int, Header(description="Time of the attempt as a Unix timestamp in seconds.")
    ],
    webhook_signature: Annotated[
        str,
        Header(
            description="Signatures by the Standard Webhooks specification, separated by spaces. "
            "Accept the event if one of them was made with the endpoint's secret."
        ),
    ],
) -> None:
    raise NotImplementedError  # it runs in the receiver


def event_routes() -> Sequence[BaseRoute]:
    """Return what receivers of webhooks implement, for openapi.json: a route per event type."""
    receiver = APIRouter(tags=["Webhook events"])
    for event_type in EventType:
        words = event_type.replace("_", ".").split(".")
        sample = Event(
            id=f"{ids.WEBHOOK_EVENT}{'0' * 24}",
            project_id="",
            created_at=1_767_225_600,
            type=event_type,
            subject_id=sample_subject(event_type),
        )
        body = {"examples": {"sample": {"value": json.loads(event_payload(sample))}}}
        receiver.add_api_route(
            event_type,
            _receive,
            methods=["POST"],
            operation_id="receive" + "".join(word.title() for word in words),
            summary=f"Receive `{event_type}`",
            description=f"Sent to the endpoints that subscribe to `{event_type}`. An event can "
            "arrive several times, and in any order.",
            openapi_extra={"requestBody": {"content": {"application/json": body}}},
            response_class=Response,
            response_description="A status 2xx accepts the event. After 410, the endpoint is "
            "disabled; after others, the service tries again.",
        )
    return receiver.routes
