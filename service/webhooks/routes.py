"""`/v1/webhooks`: create, list, retrieve, delete, and the delivery log."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request

from service.config import Settings
from service.core.errors import BadRequest, Conflict, NotFound
from service.core.records import Missing
from service.web.deps import Caller
from service.web.http import ListOf, list_of
from service.webhooks.allowed_hosts import AllowedHosts, HostNotAllowed, InvalidUrl, parse_url
from service.webhooks.records import MAX_ENDPOINTS, Endpoint, TooMany, Webhooks
from service.webhooks.schemas import (
    CreateWebhook,
    NewWebhookObject,
    WebhookDeleted,
    WebhookDeliveryObject,
    WebhookObject,
)

router = APIRouter(prefix="/v1/webhooks", tags=["Webhooks"])
_SETTING = "FINETUNED_WEBHOOK_ALLOWED_HOSTS"


def _webhooks(request: Request) -> Webhooks:
    return cast("Webhooks", request.app.state.webhooks)


def _allowed_hosts(request: Request) -> AllowedHosts:
    return AllowedHosts(cast("Settings", request.app.state.settings).webhook_allowed_hosts)


Store = Annotated[Webhooks, Depends(_webhooks)]
Hosts = Annotated[AllowedHosts, Depends(_allowed_hosts)]
Limit = Annotated[int, Query(ge=1, le=100)]


async def _existing(store: Webhooks, project_id: str, webhook_id: str) -> Endpoint:
    endpoint = await store.get(project_id, webhook_id)
    if endpoint is None:
        raise _unknown(webhook_id)
    return endpoint


def _unknown(webhook_id: str) -> NotFound:
    return NotFound(f"No such webhook: {webhook_id[:80]}", param="webhook_id")


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


@router.post("", operation_id="createWebhook", summary="Create a webhook", status_code=201)
async def create_webhook(
    body: CreateWebhook, caller: Caller, store: Store, hosts: Hosts
) -> NewWebhookObject:
    """Registers a URL that receives a signed request when a fine-tuning job of the project
    succeeds, fails or is cancelled. The response contains the signing secret, which is shown only
    once. A project can have 10 webhooks.
    """
    _check_url(body.url, hosts)
    events = tuple(dict.fromkeys(body.events))
    try:
        made = await store.create(caller.project_id, body.url, events, body.description)
    except TooMany as e:
        raise Conflict(
            f"The project has {MAX_ENDPOINTS} webhooks, the most allowed. Delete one first.",
            code="too_many_webhooks",
        ) from e
    return NewWebhookObject(**WebhookObject.of(made).model_dump(), secret=made.secret)


@router.get("", operation_id="listWebhooks", summary="List webhooks")
async def list_webhooks(
    caller: Caller, store: Store, after: str | None = None, limit: Limit = 20
) -> ListOf[WebhookObject]:
    """The project's webhooks without their secrets, newest first."""
    try:
        page = await store.endpoints.page(caller.project_id, after=after, limit=limit)
    except Missing as e:
        raise BadRequest("No webhook has the id given in 'after'.", param="after") from e
    return list_of([WebhookObject.of(e) for e in page.items], page.has_more)


@router.get("/{webhook_id}", operation_id="retrieveWebhook", summary="Retrieve a webhook")
async def retrieve_webhook(webhook_id: str, caller: Caller, store: Store) -> WebhookObject:
    """One webhook without its secret. `status` shows whether it still receives events."""
    return WebhookObject.of(await _existing(store, caller.project_id, webhook_id))


@router.delete("/{webhook_id}", operation_id="deleteWebhook", summary="Delete a webhook")
async def delete_webhook(webhook_id: str, caller: Caller, store: Store) -> WebhookDeleted:
    """Deletes the webhook with its delivery log. Events that wait for delivery are dropped; a
    request that is being sent may still arrive.
    """
    if not await store.delete(caller.project_id, webhook_id):
        raise _unknown(webhook_id)
    return WebhookDeleted(id=webhook_id)


@router.get(
    "/{webhook_id}/deliveries",
    operation_id="listWebhookDeliveries",
    summary="List webhook deliveries",
)
async def list_deliveries(
    webhook_id: str,
    caller: Caller,
    store: Store,
    after: str | None = None,
    limit: Limit = 20,
) -> ListOf[WebhookDeliveryObject]:
    """The latest attempts to deliver events to this webhook, newest first. The log keeps 100
    attempts, and expires 30 days after the last one.
    """
    endpoint = await _existing(store, caller.project_id, webhook_id)
    try:
        attempts, has_more = await store.log(endpoint.address, after, limit)
    except Missing as e:
        raise BadRequest("No delivery has the id given in 'after'.", param="after") from e
    return list_of([WebhookDeliveryObject.of(a) for a in attempts], has_more)
