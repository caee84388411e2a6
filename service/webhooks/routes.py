"""`/v1/webhook_endpoints` and `/v1/webhook_event_types` of OpenAI's SDK, and the delivery log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query

from service.core.errors import BadRequest, Conflict, NotFound, Unavailable
from service.core.records import Missing
from service.web.deps import AppSettings, Caller, resource
from service.web.http import ListOf, list_of
from service.webhooks.allowed_hosts import AllowedHosts, HostNotAllowed, InvalidUrl, parse_url
from service.webhooks.events import EventType
from service.webhooks.records import MAX_ENDPOINTS, Endpoint, TooMany, Webhooks
from service.webhooks.schemas import (
    CreateWebhookEndpoint,
    RotateWebhookEndpointSecret,
    TestWebhookEndpoint,
    UpdateWebhookEndpoint,
    WebhookDeliveryObject,
    WebhookEndpointDeleted,
    WebhookEndpointObject,
    WebhookEndpointTestObject,
    WebhookEndpointWithSecretObject,
    WebhookEventTypesObject,
)
from service.webhooks.testing import attempt_of_sample

router = APIRouter(prefix="/v1", tags=["Webhooks"])
_SETTING = "FINETUNED_WEBHOOK_ALLOWED_HOSTS"
_ENDPOINT = "/webhook_endpoints/{webhook_endpoint_id}"
_TEST_GRACE_S = 5.0  # for a worker to begin


async def _allowed_hosts(settings: AppSettings) -> AllowedHosts:
    return AllowedHosts(settings.webhook_allowed_hosts)


Store = Annotated[Webhooks, Depends(resource("webhooks"))]
Hosts = Annotated[AllowedHosts, Depends(_allowed_hosts)]
Limit = Annotated[int, Query(ge=1, le=100)]


async def _existing(webhook_endpoint_id: str, caller: Caller, store: Store) -> Endpoint:
    endpoint = await store.get(caller.project_id, webhook_endpoint_id)
    if endpoint is None:
        raise _unknown(webhook_endpoint_id)
    return endpoint


def _unknown(endpoint_id: str) -> NotFound:
    return NotFound(
        f"No such webhook endpoint: {endpoint_id[:80]}",
        param="webhook_endpoint_id",
    )


# Found before the body is read, so that a foreign endpoint is 404 whatever is asked of it.
Existing = Annotated[Endpoint, Depends(_existing)]


def _distinct(event_types: list[EventType]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event_types))


def _check_url(url: str, hosts: AllowedHosts) -> None:
    if not hosts:
        raise BadRequest(
            "Webhooks are turned off in this installation. To turn them on, the operator lists "
            f"the hosts that may be called in {_SETTING}.",
            code="webhooks_disabled",
        )
    try:
        hosts.require(parse_url(url))
    except InvalidUrl as e:
        raise BadRequest(f"Invalid value for 'url': {e}.", param="url", code="invalid_url") from e
    except HostNotAllowed as e:
        raise BadRequest(
            "The host and port of 'url' are not allowed in this installation. Ask the operator to "
            f"add them to {_SETTING}.",
            param="url",
            code="host_not_allowed",
        ) from e


@router.post(
    "/webhook_endpoints", operation_id="createWebhookEndpoint", summary="Create a webhook endpoint"
)
async def create_endpoint(
    body: CreateWebhookEndpoint, caller: Caller, store: Store, hosts: Hosts
) -> WebhookEndpointWithSecretObject:
    """Registers a URL that receives a signed request when a fine-tuning job of the project
    succeeds, fails or is cancelled. The response contains the signing secret, which is not shown
    again. A project can have 10 endpoints.
    """
    _check_url(body.url, hosts)
    try:
        made = await store.create(
            caller.project_id,
            name=body.name,
            url=body.url,
            event_types=_distinct(body.event_types),
        )
    except TooMany as e:
        raise Conflict(
            f"The project has {MAX_ENDPOINTS} webhook endpoints, the most allowed. Delete one "
            "first.",
            code="too_many_webhook_endpoints",
        ) from e
    return WebhookEndpointWithSecretObject.with_secret(made)


@router.get(
    "/webhook_endpoints", operation_id="listWebhookEndpoints", summary="List webhook endpoints"
)
async def list_endpoints(
    caller: Caller, store: Store, after: str | None = None, limit: Limit = 20
) -> ListOf[WebhookEndpointObject]:
    """The project's webhook endpoints without their secrets, newest first."""
    try:
        page = await store.endpoints.page(caller.project_id, after=after, limit=limit)
    except Missing as e:
        raise BadRequest("No webhook endpoint has the id given in 'after'.", param="after") from e
    return list_of([WebhookEndpointObject.of(e) for e in page.items], page.has_more)


@router.get(
    _ENDPOINT, operation_id="retrieveWebhookEndpoint", summary="Retrieve a webhook endpoint"
)
async def retrieve_endpoint(endpoint: Existing) -> WebhookEndpointObject:
    """One webhook endpoint without its secret. `status` shows whether it still receives events."""
    return WebhookEndpointObject.of(endpoint)


@router.post(_ENDPOINT, operation_id="updateWebhookEndpoint", summary="Update a webhook endpoint")
async def update_endpoint(
    body: UpdateWebhookEndpoint, endpoint: Existing, store: Store, hosts: Hosts
) -> WebhookEndpointObject:
    """Changes the fields that are given. Deliveries that wait go to the new URL. An update with
    `url` also enables an endpoint that was disabled because it answered 410.
    """
    if body.url is not None:
        _check_url(body.url, hosts)
    event_types = None if body.event_types is None else _distinct(body.event_types)
    try:
        changed = await store.update(
            endpoint, name=body.name, url=body.url, event_types=event_types
        )
    except Missing as e:
        raise _unknown(endpoint.id) from e
    return WebhookEndpointObject.of(changed)


@router.delete(_ENDPOINT, operation_id="deleteWebhookEndpoint", summary="Delete a webhook endpoint")
async def delete_endpoint(
    webhook_endpoint_id: str, caller: Caller, store: Store
) -> WebhookEndpointDeleted:
    """Deletes the endpoint with its delivery log. Events that wait for delivery are dropped; a
    request that is being sent may still arrive.
    """
    if not await store.delete(caller.project_id, webhook_endpoint_id):
        raise _unknown(webhook_endpoint_id)
    return WebhookEndpointDeleted(id=webhook_endpoint_id)


@router.post(
    f"{_ENDPOINT}/rotate_secret",
    operation_id="rotateWebhookEndpointSecret",
    summary="Rotate a signing secret",
)
async def rotate_secret(
    body: Annotated[RotateWebhookEndpointSecret, Body(default_factory=RotateWebhookEndpointSecret)],
    endpoint: Existing,
    store: Store,
) -> WebhookEndpointWithSecretObject:
    """Replaces the signing secret at once: every later request, repeats included, is signed with
    the new one only. The response contains it, and no other does.
    """
    if body.keep_old_secret_active_for_24_hours:
        raise BadRequest(
            "The old secret cannot stay valid: requests are signed with one secret. Leave out "
            "'keep_old_secret_active_for_24_hours'.",
            param="keep_old_secret_active_for_24_hours",
            code="unsupported_value",
        )
    try:
        changed = await store.rotate_secret(endpoint)
    except Missing as e:
        raise _unknown(endpoint.id) from e
    return WebhookEndpointWithSecretObject.with_secret(changed)


@router.post(
    f"{_ENDPOINT}/test", operation_id="testWebhookEndpoint", summary="Test a webhook endpoint"
)
async def test_endpoint(
    body: TestWebhookEndpoint, endpoint: Existing, store: Store, settings: AppSettings
) -> WebhookEndpointTestObject:
    """Sends a signed sample event once, whether or not the endpoint subscribes to its type, and
    waits for the response. A worker sends it, before all other events of the endpoint, and the
    delivery log shows it. The error `webhook_test_failed` means that there was no response.
    """
    if endpoint.disabled_at is not None:
        raise Conflict(
            "The endpoint is disabled because it answered 410. Update its 'url' to enable it.",
            code="webhook_endpoint_disabled",
        )
    # A request that is being sent comes first, then the test.
    within_s = 2 * settings.webhook_timeout_s + _TEST_GRACE_S
    attempt = await attempt_of_sample(store, endpoint, body.event_type, within_s)
    if attempt is None:
        raise Unavailable("No worker sent the test in time. Try again later.")
    if attempt.response_status is None:
        raise BadRequest(
            f"The endpoint sent no response: {attempt.error}.", code="webhook_test_failed"
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
)
async def list_deliveries(
    endpoint: Existing, store: Store, after: str | None = None, limit: Limit = 20
) -> ListOf[WebhookDeliveryObject]:
    """The latest attempts to deliver events to this endpoint, newest first. The log keeps 100
    attempts, and expires 30 days after the last one. OpenAI's API has no such list.
    """
    try:
        attempts, has_more = await store.log(endpoint.address, after, limit)
    except Missing as e:
        raise BadRequest("No delivery has the id given in 'after'.", param="after") from e
    return list_of([WebhookDeliveryObject.of(a) for a in attempts], has_more)


@router.get(
    "/webhook_event_types", operation_id="listWebhookEventTypes", summary="List webhook event types"
)
async def list_event_types(_: Caller) -> WebhookEventTypesObject:
    """The event types that an endpoint can subscribe to. They are the same for all projects."""
    return WebhookEventTypesObject(data=list(EventType))
