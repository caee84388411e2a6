# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.files`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import Omit, RequestOptions, changes_of, omit
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource


class FilesReviews(Resource):
    """Methods of `client.files.reviews`."""

    @cached_property
    def with_raw_response(self) -> FilesReviewsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return FilesReviewsWithRawResponse(self)

    def retrieve(
        self, file_id: str, line: int, **options: Unpack[RequestOptions]
    ) -> types.RowReview:
        """Get the review of a row.

        Args:
            file_id: ID of a file in the project.
            line: Line of the row in the uploaded file, from 1.
        """
        return self._transport.request(
            types.RowReview, Request("GET", at("files", file_id, "reviews", line), options=options)
        )

    def set(
        self,
        file_id: str,
        line: int,
        *,
        label: Literal["approved", "rejected", "edited", "unsure"],
        row: Mapping[str, Any] | Omit | None = omit,
        note: str | Omit | None = omit,
        **options: Unpack[RequestOptions],
    ) -> types.RowReview:
        """Write the review of a row, or replace it. If several people review a row, the last review
        counts.

        A cleaning with `use_reviews` applies the reviews of its file: it keeps, drops and replaces
        rows as the labels say. Reviews are deleted with their file.

        Args:
            file_id: ID of a file in the project.
            line: Line of the row in the uploaded file, from 1.
            label: What a cleaning does with the row: `approved` keeps it, `rejected` drops it,
                `edited` replaces it by `row`, and `unsure` decides nothing.
            row: Row to use instead, if the label is `edited`.
            note: Note for other reviewers.
        """
        return self._transport.request(
            types.RowReview,
            Request(
                "PUT",
                at("files", file_id, "reviews", line),
                json=changes_of(label=label, row=row, note=note),
                options=options,
            ),
        )

    def delete(
        self, file_id: str, line: int, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Delete the review of a row with its text.

        Args:
            file_id: ID of a file in the project.
            line: Line of the row in the uploaded file, from 1.
        """
        return self._transport.request(
            types.ProjectObjectDeleted,
            Request("DELETE", at("files", file_id, "reviews", line), options=options),
        )

    def list(
        self,
        file_id: str,
        *,
        label: Literal["approved", "rejected", "edited", "unsure"] | None = None,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.RowReview]:
        """List the reviews of a file in the order of its lines, with the number of reviews by
        label.

        Args:
            file_id: ID of a file in the project.
            label: Label to filter by.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.RowReview,
            Request(
                "GET",
                at("files", file_id, "reviews"),
                params={"label": label, "after": after, "limit": limit},
                options=options,
            ),
        )


class FilesReviewsWithRawResponse:
    """Raw responses of `client.files.reviews`."""

    def __init__(self, resource: FilesReviews) -> None:
        self.retrieve = raw(resource.retrieve)
        self.set = raw(resource.set)
        self.delete = raw(resource.delete)
        self.list = raw_list(resource.list)


class FilesBase(Resource):
    """Methods of `client.files`."""

    @cached_property
    def reviews(self) -> FilesReviews:
        """Reviews."""
        return FilesReviews(self._transport)

    @cached_property
    def with_raw_response(self) -> FilesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return FilesWithRawResponse(self)

    def retrieve(self, file_id: str, **options: Unpack[RequestOptions]) -> types.FileObject:
        """Retrieve a file's metadata and the result of its check: `status`, plus the number of rows
        and warnings, or the line and the error in `status_details`.

        Args:
            file_id: ID of a file in the project.
        """
        return self._transport.request(
            types.FileObject, Request("GET", at("files", file_id), options=options)
        )

    def delete(
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
        return self._transport.request(
            types.FileDeleted,
            Request("DELETE", at("files", file_id), params={"cascade": cascade}, options=options),
        )

    def content(self, file_id: str, **options: Unpack[RequestOptions]) -> bytes:
        """Download the exact bytes that were uploaded, or that a job or a cleaning wrote.

        Args:
            file_id: ID of a file in the project.
        """
        return self._transport.request(
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
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        status: Sequence[Literal["uploaded", "processed", "error"]] | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.FileObject]:
        """List the project's files, newest first by default. Expired files are omitted.

        Args:
            purpose: Purpose to filter by.
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
            status: Values of `status` to filter by.
        """
        return self._transport.pages(
            types.FileObject,
            Request(
                "GET",
                "files",
                params={
                    "purpose": purpose,
                    "after": after,
                    "limit": limit,
                    "order": order,
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


class FilesWithRawResponse:
    """Raw responses of `client.files`."""

    def __init__(self, resource: FilesBase) -> None:
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
        self.content = raw(resource.content)
        self.list = raw_list(resource.list)
