# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.webhook_endpoints`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import Omit, RequestOptions, body_of, changes_of, omit
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource


class WebhookEndpoints(Resource):
    """Methods of `client.webhook_endpoints`."""

    @cached_property
    def with_raw_response(self) -> WebhookEndpointsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return WebhookEndpointsWithRawResponse(self)

    def create(
        self,
        *,
        name: str,
        url: str,
        event_types: Sequence[
            Literal[
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "eval.run.succeeded",
                "eval.run.failed",
                "eval.run.canceled",
                "batch.completed",
                "batch.failed",
                "batch.expired",
                "batch.cancelled",
                "alias.worsened",
                "sweep.completed",
                "sweep.failed",
                "sweep.cancelled",
                "advice.completed",
                "advice.failed",
                "advice.cancelled",
                "dataset.report.completed",
                "dataset.report.failed",
                "dataset.report.cancelled",
                "dataset.preview.completed",
                "dataset.preview.failed",
                "dataset.preview.cancelled",
                "dataset.cleaning.completed",
                "dataset.cleaning.failed",
                "dataset.cleaning.cancelled",
                "dataset.diff.completed",
                "dataset.diff.failed",
                "dataset.diff.cancelled",
                "dataset.merge.completed",
                "dataset.merge.failed",
                "dataset.merge.cancelled",
                "dataset.generation.completed",
                "dataset.generation.failed",
                "dataset.generation.cancelled",
                "model.import.completed",
                "model.import.failed",
                "model.import.cancelled",
                "model.export.completed",
                "model.export.failed",
                "model.export.cancelled",
                "alias.check.completed",
                "alias.check.failed",
                "alias.check.cancelled",
                "organization.erasure.completed",
                "organization.erasure.failed",
                "organization.erasure.cancelled",
                "fine_tuning.sweep.succeeded",
                "fine_tuning.sweep.failed",
                "fine_tuning.sweep.cancelled",
                "export.succeeded",
                "export.failed",
                "export.cancelled",
            ]
        ],
        **options: Unpack[RequestOptions],
    ) -> types.WebhookEndpointWithSecret:
        """Register a URL that receives a signed request for each event of the given types, such as
        the end of a fine-tuning job. The response contains the signing secret, which is not shown
        again. A project can have up to 10 endpoints.

        Args:
            name: Name of the endpoint.
            url: Absolute http or https URL. The operator must allow its host and port.
            event_types: Event types to deliver.
        """
        return self._transport.request(
            types.WebhookEndpointWithSecret,
            Request(
                "POST",
                "webhook_endpoints",
                json=body_of(name=name, url=url, event_types=event_types),
                options=options,
            ),
        )

    def retrieve(
        self, webhook_endpoint_id: str, **options: Unpack[RequestOptions]
    ) -> types.WebhookEndpoint:
        """Retrieve a webhook endpoint without its secret. `status` shows whether it still receives
        events.

        Args:
            webhook_endpoint_id: Identifier of a webhook endpoint of the project.
        """
        return self._transport.request(
            types.WebhookEndpoint,
            Request("GET", at("webhook_endpoints", webhook_endpoint_id), options=options),
        )

    def update(
        self,
        webhook_endpoint_id: str,
        *,
        name: str | Omit | None = omit,
        url: str | Omit | None = omit,
        event_types: Sequence[
            Literal[
                "fine_tuning.job.succeeded",
                "fine_tuning.job.failed",
                "fine_tuning.job.cancelled",
                "eval.run.succeeded",
                "eval.run.failed",
                "eval.run.canceled",
                "batch.completed",
                "batch.failed",
                "batch.expired",
                "batch.cancelled",
                "alias.worsened",
                "sweep.completed",
                "sweep.failed",
                "sweep.cancelled",
                "advice.completed",
                "advice.failed",
                "advice.cancelled",
                "dataset.report.completed",
                "dataset.report.failed",
                "dataset.report.cancelled",
                "dataset.preview.completed",
                "dataset.preview.failed",
                "dataset.preview.cancelled",
                "dataset.cleaning.completed",
                "dataset.cleaning.failed",
                "dataset.cleaning.cancelled",
                "dataset.diff.completed",
                "dataset.diff.failed",
                "dataset.diff.cancelled",
                "dataset.merge.completed",
                "dataset.merge.failed",
                "dataset.merge.cancelled",
                "dataset.generation.completed",
                "dataset.generation.failed",
                "dataset.generation.cancelled",
                "model.import.completed",
                "model.import.failed",
                "model.import.cancelled",
                "model.export.completed",
                "model.export.failed",
                "model.export.cancelled",
                "alias.check.completed",
                "alias.check.failed",
                "alias.check.cancelled",
                "organization.erasure.completed",
                "organization.erasure.failed",
                "organization.erasure.cancelled",
                "fine_tuning.sweep.succeeded",
                "fine_tuning.sweep.failed",
                "fine_tuning.sweep.cancelled",
                "export.succeeded",
                "export.failed",
                "export.cancelled",
            ]
        ]
        | Omit
        | None = omit,
        **options: Unpack[RequestOptions],
    ) -> types.WebhookEndpoint:
        """Update the given fields. Pending deliveries go to the new URL. An update with `url` also
        enables an endpoint that was disabled because it answered 410.

        Args:
            webhook_endpoint_id: Identifier of a webhook endpoint of the project.
            name: New name.
            url: New URL. The operator must allow its host and port. Any value, even the current
                URL, enables a disabled endpoint.
            event_types: Event types to deliver. Replaces the current list.
        """
        return self._transport.request(
            types.WebhookEndpoint,
            Request(
                "POST",
                at("webhook_endpoints", webhook_endpoint_id),
                json=changes_of(name=name, url=url, event_types=event_types),
                options=options,
            ),
        )

    def delete(
        self, webhook_endpoint_id: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Delete an endpoint and its delivery log. Pending deliveries are dropped; a request in
        progress may still arrive.

        Args:
            webhook_endpoint_id: Identifier of a webhook endpoint of the project.
        """
        return self._transport.request(
            types.ProjectObjectDeleted,
            Request("DELETE", at("webhook_endpoints", webhook_endpoint_id), options=options),
        )

    def rotate_secret(
        self,
        webhook_endpoint_id: str,
        *,
        keep_old_secret_active_for_24_hours: bool | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.WebhookEndpointWithSecret:
        """Replace the signing secret immediately. All later requests, including retries, are signed
        with the new secret, and for 24 hours also with the old one if you ask for that. The
        response contains the new secret, which is not shown again.

        Args:
            webhook_endpoint_id: Identifier of a webhook endpoint of the project.
            keep_old_secret_active_for_24_hours: Whether requests are also signed with the old
                secret for 24 hours, so that receivers can switch to the new one without losing
                events.
        """
        return self._transport.request(
            types.WebhookEndpointWithSecret,
            Request(
                "POST",
                at("webhook_endpoints", webhook_endpoint_id, "rotate_secret"),
                json=body_of(
                    keep_old_secret_active_for_24_hours=keep_old_secret_active_for_24_hours
                )
                or None,
                options=options,
            ),
        )

    def test(
        self,
        webhook_endpoint_id: str,
        *,
        event_type: Literal[
            "fine_tuning.job.succeeded",
            "fine_tuning.job.failed",
            "fine_tuning.job.cancelled",
            "eval.run.succeeded",
            "eval.run.failed",
            "eval.run.canceled",
            "batch.completed",
            "batch.failed",
            "batch.expired",
            "batch.cancelled",
            "alias.worsened",
            "sweep.completed",
            "sweep.failed",
            "sweep.cancelled",
            "advice.completed",
            "advice.failed",
            "advice.cancelled",
            "dataset.report.completed",
            "dataset.report.failed",
            "dataset.report.cancelled",
            "dataset.preview.completed",
            "dataset.preview.failed",
            "dataset.preview.cancelled",
            "dataset.cleaning.completed",
            "dataset.cleaning.failed",
            "dataset.cleaning.cancelled",
            "dataset.diff.completed",
            "dataset.diff.failed",
            "dataset.diff.cancelled",
            "dataset.merge.completed",
            "dataset.merge.failed",
            "dataset.merge.cancelled",
            "dataset.generation.completed",
            "dataset.generation.failed",
            "dataset.generation.cancelled",
            "model.import.completed",
            "model.import.failed",
            "model.import.cancelled",
            "model.export.completed",
            "model.export.failed",
            "model.export.cancelled",
            "alias.check.completed",
            "alias.check.failed",
            "alias.check.cancelled",
            "organization.erasure.completed",
            "organization.erasure.failed",
            "organization.erasure.cancelled",
            "fine_tuning.sweep.succeeded",
            "fine_tuning.sweep.failed",
            "fine_tuning.sweep.cancelled",
            "export.succeeded",
            "export.failed",
            "export.cancelled",
        ],
        **options: Unpack[RequestOptions],
    ) -> types.WebhookEndpointTestResult:
        """Send a signed sample event and wait for the response. The event type need not be one that
        the endpoint subscribes to. A worker sends the event once, ahead of the endpoint's other
        events, and the delivery log shows the attempt. The error `webhook_test_failed` means that
        the endpoint did not respond.

        Args:
            webhook_endpoint_id: Identifier of a webhook endpoint of the project.
            event_type: Type of the sample event.
        """
        return self._transport.request(
            types.WebhookEndpointTestResult,
            Request(
                "POST",
                at("webhook_endpoints", webhook_endpoint_id, "test"),
                json=body_of(event_type=event_type),
                options=options,
            ),
        )

    def deliveries(
        self,
        webhook_endpoint_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.WebhookDelivery]:
        """List the latest attempts to deliver events to an endpoint, newest first. The log keeps
        100 attempts and expires 30 days after the last one. Extension of OpenAI's API.

        Args:
            webhook_endpoint_id: Identifier of a webhook endpoint of the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.WebhookDelivery,
            Request(
                "GET",
                at("webhook_endpoints", webhook_endpoint_id, "deliveries"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.WebhookEndpoint]:
        """List the project's webhook endpoints, newest first, without their secrets.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.WebhookEndpoint,
            Request(
                "GET", "webhook_endpoints", params={"after": after, "limit": limit}, options=options
            ),
        )


class WebhookEndpointsWithRawResponse:
    """Raw responses of `client.webhook_endpoints`."""

    def __init__(self, resource: WebhookEndpoints) -> None:
        self.create = raw(resource.create)
        self.retrieve = raw(resource.retrieve)
        self.update = raw(resource.update)
        self.delete = raw(resource.delete)
        self.rotate_secret = raw(resource.rotate_secret)
        self.test = raw(resource.test)
        self.deliveries = raw_list(resource.deliveries)
        self.list = raw_list(resource.list)
