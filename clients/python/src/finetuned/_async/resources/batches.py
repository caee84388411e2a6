"""Methods of `client.batches`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions, body_of
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline

if TYPE_CHECKING:
    from finetuned import params


class AsyncBatches(AsyncResource):
    """Methods of `client.batches`."""

    @cached_property
    def with_raw_response(self) -> AsyncBatchesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncBatchesWithRawResponse(self)

    async def create(
        self,
        *,
        input_file_id: str,
        endpoint: Literal[
            "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"
        ],
        completion_window: Literal["24h"],
        metadata: Mapping[str, str] | None = None,
        output_expires_after: types.BatchOutputExpiresAfter
        | params.BatchOutputExpiresAfter
        | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Batch:
        """Create a batch. A worker answers the requests of an uploaded file at the lowest priority,
        and writes the answers to a file.

        The status changes from `validating` to `in_progress`, `finalizing` and `completed`. If a
        line of the file is not a valid request, the batch becomes `failed`, and `errors` lists the
        lines. After 24 hours, it becomes `expired`; the answers so far are kept.

        Args:
            input_file_id: ID of a file with the purpose `batch`: JSON Lines with one request per
                line, up to 50,000 requests and 200 MiB.
            endpoint: Endpoint to which every request of the batch is sent.
            completion_window: Time after which the batch expires. Only `24h` is supported.
            metadata: Key-value pairs attached to the batch; up to 16.
            output_expires_after: Lifetime of the output file and the error file.
        """
        return await self._transport.request(
            types.Batch,
            Request(
                "POST",
                "batches",
                json=body_of(
                    input_file_id=input_file_id,
                    endpoint=endpoint,
                    completion_window=completion_window,
                    metadata=metadata,
                    output_expires_after=output_expires_after,
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(self, batch_id: str, **options: Unpack[RequestOptions]) -> types.Batch:
        """Retrieve a batch: its status, its counters, and its files once it has ended.

        Args:
            batch_id: ID of a batch in the project.
        """
        return await self._transport.request(
            types.Batch, Request("GET", at("batches", batch_id), options=options)
        )

    async def cancel(self, batch_id: str, **options: Unpack[RequestOptions]) -> types.Batch:
        """Cancel a batch. The status is `cancelling` until a worker has written the files, which
        usually takes seconds, and then `cancelled`. The answers so far are kept. Returns 409 if the
        batch has ended or is `finalizing`.

        Args:
            batch_id: ID of a batch in the project.
        """
        return await self._transport.request(
            types.Batch, Request("POST", at("batches", batch_id, "cancel"), options=options)
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        status: Sequence[
            Literal[
                "validating",
                "failed",
                "in_progress",
                "finalizing",
                "completed",
                "expired",
                "cancelling",
                "cancelled",
            ]
        ]
        | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.Batch]:
        """List the project's batches, newest first.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
            status: Values of `status` to filter by.
        """
        return self._transport.pages(
            types.Batch,
            Request(
                "GET",
                "batches",
                params={
                    "after": after,
                    "limit": limit,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                    "status": status,
                },
                options=options,
            ),
        )

    async def wait(
        self,
        batch_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.Batch], object] | None = None,
    ) -> types.Batch:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The batche {batch_id}")
        return await self._transport.wait(
            lambda: self.retrieve(batch_id), deadline, on_change=on_change
        )


class AsyncBatchesWithRawResponse:
    """Raw responses of `client.batches`."""

    def __init__(self, resource: AsyncBatches) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
