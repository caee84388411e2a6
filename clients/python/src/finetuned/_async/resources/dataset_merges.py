"""Methods of `client.dataset_merges`.

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


class AsyncDatasetMerges(AsyncResource):
    """Methods of `client.dataset_merges`."""

    @cached_property
    def with_raw_response(self) -> AsyncDatasetMergesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncDatasetMergesWithRawResponse(self)

    async def create(
        self,
        *,
        files: Sequence[types.FileToMerge | params.FileToMerge],
        filename: str | None = None,
        exact_duplicates: bool | None = None,
        balance: Literal["none", "files", "languages"] | None = None,
        seed: int | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.DatasetMerge:
        """Merge 2 to 20 training files into a new file in the background. The files are not
        modified.

        Exact duplicates are kept once, and rows can be balanced between files or languages.
        Questions that several files answer differently are counted and named. The same files and
        options produce identical bytes. When the merge is completed, train on
        `result.merged_file_id`, which names the files and the merge that it comes from.

        Args:
            files: Files to merge. Their rows have one format, such as chats or prompts for graders.
            filename: Name of the merged file.
            exact_duplicates: Whether to keep only the first of the rows that are identical in all
                content used for training, in the order of `files`.
            balance: `files` takes the same number of rows from each file, and `languages` from each
                language. Rows of unknown languages, and of languages with less than 2% of the rows,
                are all kept.
            seed: Random seed for choosing rows.
            metadata: Key-value pairs attached to the merge; up to 16.
        """
        return await self._transport.request(
            types.DatasetMerge,
            Request(
                "POST",
                "dataset_merges",
                json=body_of(
                    files=files,
                    filename=filename,
                    exact_duplicates=exact_duplicates,
                    balance=balance,
                    seed=seed,
                    metadata=metadata,
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.DatasetMerge:
        """Get a merge: its status, its progress, and its result once it is completed. With `wait`,
        the response is sent when it ends.

        Args:
            id: ID of the merge.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.DatasetMerge,
            Request("GET", at("dataset_merges", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a merge. If it is in progress, it stops. The files that it created are kept.

        Args:
            id: ID of the merge.
        """
        return await self._transport.request(
            types.OperationDeleted, Request("DELETE", at("dataset_merges", id), options=options)
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetMerge:
        """Cancel a merge. The status is `cancelling` while its work is still being stopped. Returns
        409 if it has already completed or failed.

        Args:
            id: ID of the merge.
        """
        return await self._transport.request(
            types.DatasetMerge, Request("POST", at("dataset_merges", id, "cancel"), options=options)
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
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.DatasetMerge]:
        """List the project's merges, newest first by default.

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
            file_id: ID of one of the merged files.
        """
        return self._transport.pages(
            types.DatasetMerge,
            Request(
                "GET",
                "dataset_merges",
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
                },
                options=options,
            ),
        )

    async def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.DatasetMerge], object] | None = None,
    ) -> types.DatasetMerge:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset merge {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncDatasetMergesWithRawResponse:
    """Raw responses of `client.dataset_merges`."""

    def __init__(self, resource: AsyncDatasetMerges) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
