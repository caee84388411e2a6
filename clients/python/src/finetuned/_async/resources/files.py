"""Methods of `client.files`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at


class AsyncFilesBase(AsyncResource):
    """Methods of `client.files`."""

    @cached_property
    def with_raw_response(self) -> AsyncFilesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncFilesWithRawResponse(self)

    async def retrieve(self, file_id: str, **options: Unpack[RequestOptions]) -> types.FileObject:
        """Retrieve a file's metadata and the result of its check: `status`, plus the number of rows
        and warnings, or the line and the error in `status_details`.

        Args:
            file_id: ID of a file in the project.
        """
        return await self._transport.request(
            types.FileObject, Request("GET", at("files", file_id), options=options)
        )

    async def delete(
        self, file_id: str, *, cascade: bool | None = None, **options: Unpack[RequestOptions]
    ) -> types.FileDeleted:
        """Delete a file's record, content and reports immediately. `models` lists the models that
        were trained on the file, and `derived_files` the files that were made from it. Both are
        kept.

        With `cascade=true`, the models of all jobs that read the file are deleted with their
        checkpoints, exports and evaluations, and unfinished jobs are cancelled. The request fails
        with 409 while an alias points at one of the models; then nothing is deleted.

        `unfinished_jobs` lists the jobs, batches and generations that still read the file: they
        fail unless they have already started. `receipts` has the IDs of signed receipts, which say
        what was erased; see `GET /v1/erasure_receipts/{receipt_id}`.

        Args:
            file_id: ID of a file in the project.
            cascade: Whether to delete everything that was trained on the file too: models,
                checkpoints, exports and evaluations. Needs the permission `model.write`.
        """
        return await self._transport.request(
            types.FileDeleted,
            Request("DELETE", at("files", file_id), params={"cascade": cascade}, options=options),
        )

    async def content(self, file_id: str, **options: Unpack[RequestOptions]) -> bytes:
        """Download the exact bytes that were uploaded, or that a job or a cleaning wrote.

        Args:
            file_id: ID of a file in the project.
        """
        return await self._transport.request(
            bytes, Request("GET", at("files", file_id, "content"), options=options)
        )

    def list(
        self,
        *,
        purpose: Literal[
            "fine-tune",
            "fine-tune-results",
            "user_data",
            "evals",
            "model-import",
            "batch",
            "batch_output",
        ]
        | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.FileObject]:
        """List the project's files, newest first by default. Expired files are omitted.

        Args:
            purpose: Purpose to filter by.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
        """
        return self._transport.pages(
            types.FileObject,
            Request(
                "GET",
                "files",
                params={"purpose": purpose, "after": after, "limit": limit, "order": order},
                options=options,
            ),
        )


class AsyncFilesWithRawResponse:
    """Raw responses of `client.files`."""

    def __init__(self, resource: AsyncFilesBase) -> None:
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.content = async_raw(resource.content)
        self.list = async_raw_list(resource.list)
