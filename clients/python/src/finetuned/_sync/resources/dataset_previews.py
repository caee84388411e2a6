# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.dataset_previews`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions, body_of
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource

if TYPE_CHECKING:
    from finetuned import params


class DatasetPreviews(Resource):
    """Methods of `client.dataset_previews`."""

    @cached_property
    def with_raw_response(self) -> DatasetPreviewsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return DatasetPreviewsWithRawResponse(self)

    def create(
        self,
        *,
        file_id: str,
        format: types.FileFormat | params.FileFormat | None = None,
        limit: int | None = None,
        personal_data: Literal["mask", "show"] | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.DatasetPreview:
        """Read the first rows of a training file with other format options, without uploading it
        again.

        Each row has the record that was read, the row that jobs would train on, and its findings.
        The preview also has the format that was found, why the file cannot be read if it cannot,
        and the other format options that the file allows: sheets, rows that could name the columns,
        encodings, delimiters, shapes and columns. It works for files in any status. The same
        request returns the same preview.

        With `personal_data=mask`, values that are found to be personal, and numbers that may be,
        are replaced in the texts of all rows and choices.

        Args:
            file_id: ID of the file, which has the purpose `fine-tune`.
            format: Format options to read the file with; with `{}`, everything is detected.
                Defaults to the options given at upload.
            limit: Maximum number of rows. Fewer are shown if they are large.
            personal_data: Whether to replace personal data in the rows by labels such as `[EMAIL]`,
                or to show it.
            metadata: Key-value pairs attached to the preview; up to 16.
        """
        return self._transport.request(
            types.DatasetPreview,
            Request(
                "POST",
                "dataset_previews",
                json=body_of(
                    file_id=file_id,
                    format=format,
                    limit=limit,
                    personal_data=personal_data,
                    metadata=metadata,
                ),
                idempotent=True,
                options=options,
            ),
        )

    def content(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetPreviewContent:
        """Get the rows, the findings and the other format options. Returns 409 if the preview is
        not completed.

        Args:
            id: ID of the operation.
        """
        return self._transport.request(
            types.DatasetPreviewContent,
            Request("GET", at("dataset_previews", id, "content"), options=options),
        )

    def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.DatasetPreview:
        """Get a preview: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the preview.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return self._transport.request(
            types.DatasetPreview,
            Request("GET", at("dataset_previews", id), params={"wait": wait}, options=options),
        )

    def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a preview and its result. If it is in progress, it stops.

        Args:
            id: ID of the preview.
        """
        return self._transport.request(
            types.OperationDeleted, Request("DELETE", at("dataset_previews", id), options=options)
        )

    def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetPreview:
        """Cancel a preview. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the preview.
        """
        return self._transport.request(
            types.DatasetPreview,
            Request("POST", at("dataset_previews", id, "cancel"), options=options),
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
    ) -> Page[types.DatasetPreview]:
        """List the project's previews, newest first by default.

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
            file_id: ID of the file.
        """
        return self._transport.pages(
            types.DatasetPreview,
            Request(
                "GET",
                "dataset_previews",
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

    def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.DatasetPreview], object] | None = None,
    ) -> types.DatasetPreview:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset preview {id}")
        return self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class DatasetPreviewsWithRawResponse:
    """Raw responses of `client.dataset_previews`."""

    def __init__(self, resource: DatasetPreviews) -> None:
        self.create = raw(resource.create)
        self.content = raw(resource.content)
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
        self.cancel = raw(resource.cancel)
        self.list = raw_list(resource.list)
