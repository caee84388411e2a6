"""Methods of `client.dataset_diffs`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions, body_of
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline


class AsyncDatasetDiffs(AsyncResource):
    """Methods of `client.dataset_diffs`."""

    @cached_property
    def with_raw_response(self) -> AsyncDatasetDiffsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncDatasetDiffsWithRawResponse(self)

    async def create(
        self,
        *,
        file_id: str,
        other_file_id: str,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.DatasetDiff:
        """Compare a training file with a later one, such as the output of a cleaning: how many rows
        are unchanged, changed, removed and added, and what shifts in languages, lengths, turns,
        system prompts, tools, classes and personal data.

        The order of the rows does not matter, and each copy of a row counts. The same request
        returns the same diff, until a recognizer of the project changes. Returns 409 while the
        later file is being checked.

        Args:
            file_id: ID of the earlier file.
            other_file_id: ID of the later file, which has passed its check.
            metadata: Key-value pairs attached to the diff; up to 16.
        """
        return await self._transport.request(
            types.DatasetDiff,
            Request(
                "POST",
                "dataset_diffs",
                json=body_of(file_id=file_id, other_file_id=other_file_id, metadata=metadata),
                idempotent=True,
                options=options,
            ),
        )

    async def content(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetDiffContent:
        """Get the comparison, with statistics of both files and what shifts between them. Returns
        409 if it is not completed.

        Args:
            id: ID of the operation.
        """
        return await self._transport.request(
            types.DatasetDiffContent,
            Request("GET", at("dataset_diffs", id, "content"), options=options),
        )

    def rows(
        self,
        id: str,
        *,
        change: Literal["changed", "removed", "added"] | None = None,
        after: str | None = None,
        limit: int | None = None,
        personal_data: Literal["mask", "show"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.FileDiffRow]:
        """List the rows that differ between a training file and a later one, each with its lines
        and both versions: first the changed rows, then the removed ones, then the added ones. A
        page has at most 4 MiB of rows, so it may have fewer rows than `limit`. Returns 409 if the
        diff is not completed.

        Args:
            id: ID of the operation.
            change: Kind of difference; all if omitted.
            after: Position to start after: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            personal_data: Whether to show personal data in the rows, or to replace it by labels
                such as `[EMAIL]`.
        """
        return self._transport.pages(
            types.FileDiffRow,
            Request(
                "GET",
                at("dataset_diffs", id, "rows"),
                params={
                    "change": change,
                    "after": after,
                    "limit": limit,
                    "personal_data": personal_data,
                },
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.DatasetDiff:
        """Get a diff: its status, its progress, and its result once it is completed. With `wait`,
        the response is sent when it ends.

        Args:
            id: ID of the diff.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.DatasetDiff,
            Request("GET", at("dataset_diffs", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a diff and its result. If it is in progress, it stops.

        Args:
            id: ID of the diff.
        """
        return await self._transport.request(
            types.OperationDeleted, Request("DELETE", at("dataset_diffs", id), options=options)
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetDiff:
        """Cancel a diff. The status is `cancelling` while its work is still being stopped. Returns
        409 if it has already completed or failed.

        Args:
            id: ID of the diff.
        """
        return await self._transport.request(
            types.DatasetDiff, Request("POST", at("dataset_diffs", id, "cancel"), options=options)
        )

    def list(
        self,
        *,
        status: Literal["queued", "in_progress", "cancelling", "completed", "failed", "cancelled"]
        | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        file_id: str | None = None,
        other_file_id: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.DatasetDiff]:
        """List the project's diffs, newest first by default.

        Args:
            status: Status to filter by.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
            file_id: ID of the earlier file.
            other_file_id: ID of the later file.
        """
        return self._transport.pages(
            types.DatasetDiff,
            Request(
                "GET",
                "dataset_diffs",
                params={
                    "status": status,
                    "after": after,
                    "limit": limit,
                    "order": order,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                    "file_id": file_id,
                    "other_file_id": other_file_id,
                },
                options=options,
            ),
        )

    async def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.DatasetDiff], object] | None = None,
    ) -> types.DatasetDiff:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset diff {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncDatasetDiffsWithRawResponse:
    """Raw responses of `client.dataset_diffs`."""

    def __init__(self, resource: AsyncDatasetDiffs) -> None:
        self.create = async_raw(resource.create)
        self.content = async_raw(resource.content)
        self.rows = async_raw_list(resource.rows)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
