"""Methods of `client.dataset_merges`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        **options: Unpack[RequestOptions],
    ) -> types.FileMerge:
        """Merge 2 to 20 training files into a new file in the background. The files are not
        modified.

        Exact duplicates are kept once, and rows can be balanced between files or languages.
        Questions that several files answer differently are counted and named. The same files and
        options produce identical bytes. Poll `retrieveFileMerge` until the status is `completed` or
        `failed`, then train on `merged_file`, which names the files and the merge that it comes
        from.

        Args:
            files: Files to merge. Their rows have one format, such as chats or prompts for graders.
            filename: Name of the merged file.
            exact_duplicates: Whether to keep only the first of the rows that are identical in all
                content used for training, in the order of `files`.
            balance: `files` takes the same number of rows from each file, and `languages` from each
                language. Rows of unknown languages, and of languages with less than 2% of the rows,
                are all kept.
            seed: Random seed for choosing rows.
        """
        return await self._transport.request(
            types.FileMerge,
            Request(
                "POST",
                "files/merge",
                json=body_of(
                    files=files,
                    filename=filename,
                    exact_duplicates=exact_duplicates,
                    balance=balance,
                    seed=seed,
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, file_id: str, merge_id: str, **options: Unpack[RequestOptions]
    ) -> types.FileMerge:
        """Retrieve a merge's status, its output files, what became of the rows of each file, and
        the conflicts between the files. `file_id` is the first of the merged files.

        Args:
            file_id: ID of a file in the project.
            merge_id: ID of a merge whose first file this is.
        """
        return await self._transport.request(
            types.FileMerge,
            Request("GET", at("files", file_id, "merges", merge_id), options=options),
        )

    def list(
        self,
        file_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.FileMerge]:
        """List the merges whose first file this is, newest first. They are deleted with the file.

        Args:
            file_id: ID of a file in the project.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.FileMerge,
            Request(
                "GET",
                at("files", file_id, "merges"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )

    async def wait(
        self,
        file_id: str,
        merge_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.FileMerge], object] | None = None,
    ) -> types.FileMerge:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset merge {merge_id}")
        return await self._transport.wait(
            lambda: self.retrieve(file_id, merge_id), deadline, on_change=on_change
        )


class AsyncDatasetMergesWithRawResponse:
    """Raw responses of `client.dataset_merges`."""

    def __init__(self, resource: AsyncDatasetMerges) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.list = async_raw_list(resource.list)
