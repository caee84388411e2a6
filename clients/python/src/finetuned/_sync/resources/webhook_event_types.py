# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.webhook_event_types`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions
from finetuned._raw import raw
from finetuned._request import Request
from finetuned._sync.transport import Resource


class WebhookEventTypes(Resource):
    """Methods of `client.webhook_event_types`."""

    @cached_property
    def with_raw_response(self) -> WebhookEventTypesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return WebhookEventTypesWithRawResponse(self)

    def list(self, **options: Unpack[RequestOptions]) -> types.WebhookEventTypeList:
        """List the event types that an endpoint can subscribe to."""
        return self._transport.request(
            types.WebhookEventTypeList, Request("GET", "webhook_event_types", options=options)
        )


class WebhookEventTypesWithRawResponse:
    """Raw responses of `client.webhook_event_types`."""

    def __init__(self, resource: WebhookEventTypes) -> None:
        self.list = raw(resource.list)
