"""Methods of `client.erasure_receipts`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline


class AsyncErasureReceipts(AsyncResource):
    """Methods of `client.erasure_receipts`."""

    @cached_property
    def with_raw_response(self) -> AsyncErasureReceiptsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncErasureReceiptsWithRawResponse(self)

    async def retrieve(
        self, receipt_id: str, **options: Unpack[RequestOptions]
    ) -> types.ErasureReceipt:
        """Retrieve the receipt of a deletion: the objects that were removed from storage with their
        digests, when, and the key that asked for it, if it did not expire.

        A worker signs the receipt once nothing is left and the files of Redis are rewritten, some
        seconds after the request that deletes. While another worker may still write, or storage is
        unavailable, the status stays `in_progress`. Save the receipt: `finetuned-server erasure
        verify` checks it without this service.

        Args:
            receipt_id: ID of an erasure receipt of the project.
        """
        return await self._transport.request(
            types.ErasureReceipt,
            Request("GET", at("erasure_receipts", receipt_id), options=options),
        )

    def list(
        self,
        *,
        subject_id: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.ErasureReceipt]:
        """List the receipts of what the project deleted and of what expired, newest first by
        default: files, models and checkpoints, exports, evals and their runs.

        Args:
            subject_id: Deleted object whose receipts to return: a file, for example.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
        """
        return self._transport.pages(
            types.ErasureReceipt,
            Request(
                "GET",
                "erasure_receipts",
                params={"subject_id": subject_id, "after": after, "limit": limit, "order": order},
                options=options,
            ),
        )

    async def wait(
        self,
        receipt_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.ErasureReceipt], object] | None = None,
    ) -> types.ErasureReceipt:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The erasure receipt {receipt_id}")
        return await self._transport.wait(
            lambda: self.retrieve(receipt_id), deadline, on_change=on_change
        )


class AsyncErasureReceiptsWithRawResponse:
    """Raw responses of `client.erasure_receipts`."""

    def __init__(self, resource: AsyncErasureReceipts) -> None:
        self.retrieve = async_raw(resource.retrieve)
        self.list = async_raw_list(resource.list)
