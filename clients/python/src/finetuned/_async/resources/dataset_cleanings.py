"""Methods of `client.dataset_cleanings`.

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


class AsyncDatasetCleanings(AsyncResource):
    """Methods of `client.dataset_cleanings`."""

    @cached_property
    def with_raw_response(self) -> AsyncDatasetCleaningsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncDatasetCleaningsWithRawResponse(self)

    async def create(
        self,
        *,
        file_id: str,
        drop_broken: bool | None = None,
        exact_duplicates: bool | None = None,
        near_duplicates: bool | None = None,
        near_threshold: float | None = None,
        contradictions: Literal["keep", "first", "last", "most_common", "longest", "drop"]
        | None = None,
        personal_data: Literal["keep", "mask", "pseudonym"] | None = None,
        possible_personal_data: bool | None = None,
        unicode: Literal["keep", "NFC", "NFKC"] | None = None,
        mend_mojibake: bool | None = None,
        drop_control_characters: bool | None = None,
        validation_share: float | None = None,
        seed: int | None = None,
        decisions_file_id: str | None = None,
        use_reviews: bool | None = None,
        format: types.FileFormat | params.FileFormat | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.DatasetCleaning:
        """Clean a file in the background. The results are new files; the source file is not
        modified.

        The same file, options and recognizers produce identical bytes. When the cleaning is
        completed, train on `result.training_file_id`. The new files name the file and the cleaning
        that they come from.

        Args:
            file_id: ID of the source file.
            drop_broken: Whether to drop invalid rows. If false, an invalid row fails the cleaning.
            exact_duplicates: Whether to remove exact duplicates: rows identical to an earlier row
                in all content used for training (system prompt, tools, messages, rejected answer
                and label).
            near_duplicates: Whether to also remove near duplicates: rows that mean the same as an
                earlier row with the same system prompt, tools, rejected answer and label. Rows that
                differ in a number, a date, a name, or a negation are kept. The report shows the
                pairs.
            near_threshold: Similarity at or above which two rows with the same facts are near
                duplicates: the share of words, or of characters in scripts without spaces, that
                each turn has in common with its counterpart. At 1, they differ only in case,
                spacing, punctuation, and politeness.
            contradictions: Answer to keep if a question has several different answers. In labeled
                data: label to keep if the same answer to a question has both.
            personal_data: Treatment of personal data. `mask` replaces a value with a placeholder
                such as [EMAIL]; `pseudonym` uses numbered placeholders such as [EMAIL_1], the same
                for the same value. A value found anywhere in the file is replaced throughout the
                file, in every spelling. The recognizers of the project apply as well.
            possible_personal_data: Whether to also treat numbers that are only possibly personal
                data: they have the form of a telephone number or a national ID, but no word before
                them confirms it. Only with `personal_data`: `mask` or `pseudonym`.
            unicode: Unicode normalization form. NFKC also folds compatibility characters such as
                full-width letters.
            mend_mojibake: Whether to repair mojibake: text that was decoded with the wrong
                encoding.
            drop_control_characters: Whether to remove control characters other than tabs and line
                breaks.
            validation_share: Fraction of the rows to write to a validation file.
            seed: Random seed of the validation split.
            decisions_file_id: ID of a file of the purpose `user_data` with decisions on single
                rows, one JSON object per line: `{"line": 7, "action": "keep"}`, `"drop"`, or
                `"edit"` with the `row` to use instead. A row that is kept or edited is not dropped
                as a duplicate or contradiction.
            use_reviews: Whether to apply the reviews that the file has when the cleaning is
                created, as decisions on single rows: approved rows are kept, rejected ones dropped,
                and edited ones replaced. Not together with `decisions_file_id`.
            format: Format options of the file. Defaults to the options given at upload.
            metadata: Key-value pairs attached to the cleaning; up to 16.
        """
        return await self._transport.request(
            types.DatasetCleaning,
            Request(
                "POST",
                "dataset_cleanings",
                json=body_of(
                    drop_broken=drop_broken,
                    exact_duplicates=exact_duplicates,
                    near_duplicates=near_duplicates,
                    near_threshold=near_threshold,
                    contradictions=contradictions,
                    personal_data=personal_data,
                    possible_personal_data=possible_personal_data,
                    unicode=unicode,
                    mend_mojibake=mend_mojibake,
                    drop_control_characters=drop_control_characters,
                    validation_share=validation_share,
                    seed=seed,
                    file_id=file_id,
                    decisions_file_id=decisions_file_id,
                    use_reviews=use_reviews,
                    format=format,
                    metadata=metadata,
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.DatasetCleaning:
        """Get a cleaning: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the cleaning.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.DatasetCleaning,
            Request("GET", at("dataset_cleanings", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a cleaning. If it is in progress, it stops. The files that it created are kept.

        Args:
            id: ID of the cleaning.
        """
        return await self._transport.request(
            types.OperationDeleted, Request("DELETE", at("dataset_cleanings", id), options=options)
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetCleaning:
        """Cancel a cleaning. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the cleaning.
        """
        return await self._transport.request(
            types.DatasetCleaning,
            Request("POST", at("dataset_cleanings", id, "cancel"), options=options),
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
    ) -> AsyncPaginator[types.DatasetCleaning]:
        """List the project's cleanings, newest first by default.

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
            types.DatasetCleaning,
            Request(
                "GET",
                "dataset_cleanings",
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
        on_change: Callable[[types.DatasetCleaning], object] | None = None,
    ) -> types.DatasetCleaning:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset cleaning {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncDatasetCleaningsWithRawResponse:
    """Raw responses of `client.dataset_cleanings`."""

    def __init__(self, resource: AsyncDatasetCleanings) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
