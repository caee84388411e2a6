# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.erasure_receipts`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource


class ErasureReceipts(Resource):
    """Methods of `client.erasure_receipts`."""

    @cached_property
    def with_raw_response(self) -> ErasureReceiptsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return ErasureReceiptsWithRawResponse(self)

    def retrieve(self, receipt_id: str, **options: Unpack[RequestOptions]) -> types.ErasureReceipt:
        """Retrieve the receipt of a deletion: the objects that were removed from storage with their
        digests, when, and the key that asked for it, if it did not expire.

        A worker signs the receipt once nothing is left and the files of Redis are rewritten, some
        seconds after the request that deletes. While another worker may still write, or storage is
        unavailable, the status stays `in_progress`. Save the receipt: `finetuned-server erasure
        verify` checks it without this service.

        Args:
            receipt_id: ID of an erasure receipt of the project.
        """
        return self._transport.request(
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
    ) -> Page[types.ErasureReceipt]:
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

    def wait(
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
        return self._transport.wait(
            lambda: self.retrieve(receipt_id), deadline, on_change=on_change
        )


class ErasureReceiptsWithRawResponse:
    """Raw responses of `client.erasure_receipts`."""

    def __init__(self, resource: ErasureReceipts) -> None:
        self.retrieve = raw(resource.retrieve)
        self.list = raw_list(resource.list)
