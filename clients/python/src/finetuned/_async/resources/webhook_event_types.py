"""Methods of `client.webhook_event_types`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions
from finetuned._raw import async_raw
from finetuned._request import Request


class AsyncWebhookEventTypes(AsyncResource):
    """Methods of `client.webhook_event_types`."""

    @cached_property
    def with_raw_response(self) -> AsyncWebhookEventTypesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncWebhookEventTypesWithRawResponse(self)

    async def list(self, **options: Unpack[RequestOptions]) -> types.WebhookEventTypeList:
        """List the event types that an endpoint can subscribe to."""
        return await self._transport.request(
            types.WebhookEventTypeList, Request("GET", "webhook_event_types", options=options)
        )


class AsyncWebhookEventTypesWithRawResponse:
    """Raw responses of `client.webhook_event_types`."""

    def __init__(self, resource: AsyncWebhookEventTypes) -> None:
        self.list = async_raw(resource.list)
