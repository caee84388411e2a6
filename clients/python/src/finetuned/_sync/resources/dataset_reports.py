# Generated from finetuned._async by `make clients`. Do not edit.
"""Methods of `client.dataset_reports`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._options import RequestOptions, body_of
from finetuned._raw import raw, raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline
from finetuned._sync.pages import Page
from finetuned._sync.transport import Resource


class DatasetReports(Resource):
    """Methods of `client.dataset_reports`."""

    @cached_property
    def with_raw_response(self) -> DatasetReportsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return DatasetReportsWithRawResponse(self)

    def create(
        self,
        *,
        file_id: str,
        models: Sequence[str] | None = None,
        validation_file_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.DatasetReport:
        """Create a report with statistics, findings and recommendations: lengths and tokens,
        languages, duplicates, contradictions, personal data, and whether the data is suitable for
        training.

        The same request returns the same report, until a recognizer of the project changes. A
        report that failed or was cancelled is created again.

        Args:
            file_id: ID of the file.
            models: Base models whose tokenizers count tokens; all base models if omitted.
            validation_file_id: ID of a validation file to check for shared rows.
            metadata: Key-value pairs attached to the report; up to 16.
        """
        return self._transport.request(
            types.DatasetReport,
            Request(
                "POST",
                "dataset_reports",
                json=body_of(
                    file_id=file_id,
                    models=models,
                    validation_file_id=validation_file_id,
                    metadata=metadata,
                ),
                idempotent=True,
                options=options,
            ),
        )

    def content(
        self,
        id: str,
        *,
        format: Literal["json", "html", "md"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> str:
        """Get a report as JSON, as an HTML page without external resources, or as Markdown. Returns
        409 if the report is not completed.

        Args:
            id: ID of the operation.
            format: Format of the report: JSON, HTML or Markdown.
        """
        return self._transport.request(
            str,
            Request(
                "GET",
                at("dataset_reports", id, "content"),
                params={"format": format},
                options=options,
            ),
        )

    def rows(
        self,
        id: str,
        *,
        personal_data: Literal["mask", "show"] | None = None,
        issue: str | None = None,
        language: str | None = None,
        max_score: float | None = None,
        sort: Literal["line", "score"] | None = None,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> Page[types.MarkedRow]:
        """List rows, each with its content, its quality score, and what the report found in it. A
        page has at most 4 MiB of rows, so it may have fewer rows than `limit`.

        Personal data is masked, as far as the report found it in the row. With
        `personal_data=show`, the rows are shown as they are, and the audit log names their lines.
        Both name the places.

        At most 100,000 findings are kept for each code. A broken row is listed with its findings
        only. Returns 409 if the report is not completed.

        Args:
            id: ID of the operation.
            personal_data: Whether to replace personal data in the rows by labels such as `[EMAIL]`,
                or to show it.
            issue: Code of a finding that the rows have.
            language: Language of the rows, by its code.
            max_score: Highest score of the rows.
            sort: Order of the rows: `line` for that of the file, `score` for the lowest scores
                first.
            after: Line to start after: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.MarkedRow,
            Request(
                "GET",
                at("dataset_reports", id, "rows"),
                params={
                    "personal_data": personal_data,
                    "issue": issue,
                    "language": language,
                    "max_score": max_score,
                    "sort": sort,
                    "after": after,
                    "limit": limit,
                },
                options=options,
            ),
        )

    def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.DatasetReport:
        """Get a report: its status, its progress, and its result once it is completed. With `wait`,
        the response is sent when it ends.

        Args:
            id: ID of the report.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return self._transport.request(
            types.DatasetReport,
            Request("GET", at("dataset_reports", id), params={"wait": wait}, options=options),
        )

    def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a report and its result. If it is in progress, it stops.

        Args:
            id: ID of the report.
        """
        return self._transport.request(
            types.OperationDeleted, Request("DELETE", at("dataset_reports", id), options=options)
        )

    def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetReport:
        """Cancel a report. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the report.
        """
        return self._transport.request(
            types.DatasetReport,
            Request("POST", at("dataset_reports", id, "cancel"), options=options),
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
    ) -> Page[types.DatasetReport]:
        """List the project's reports, newest first by default.

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
            types.DatasetReport,
            Request(
                "GET",
                "dataset_reports",
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
        on_change: Callable[[types.DatasetReport], object] | None = None,
    ) -> types.DatasetReport:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset report {id}")
        return self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class DatasetReportsWithRawResponse:
    """Raw responses of `client.dataset_reports`."""

    def __init__(self, resource: DatasetReports) -> None:
        self.create = raw(resource.create)
        self.content = raw(resource.content)
        self.rows = raw_list(resource.rows)
        self.retrieve = raw(resource.retrieve)
        self.delete = raw(resource.delete)
        self.cancel = raw(resource.cancel)
        self.list = raw_list(resource.list)
