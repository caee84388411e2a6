"""Methods of `client.advice`.

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


class AsyncAdviceBase(AsyncResource):
    """Methods of `client.advice`."""

    @cached_property
    def with_raw_response(self) -> AsyncAdviceWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncAdviceWithRawResponse(self)

    async def create(
        self,
        *,
        training_file_id: str,
        model: str,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.TrainingAdvice:
        """Ask whether a training is worth it. A worker then asks the base model the questions of
        some rows of the file, with and without the best prompt, searches the other rows for their
        answers, and reads the file's report. This takes about a minute on a CPU.

        While the file is being checked, the response is 409 with the code `not_ready`. Advice is
        deleted 30 days after it was created.

        Args:
            training_file_id: ID of the file.
            model: ID of the base model. An engine must serve it.
            metadata: Key-value pairs attached to the advice; up to 16.
        """
        return await self._transport.request(
            types.TrainingAdvice,
            Request(
                "POST",
                "advice",
                json=body_of(training_file_id=training_file_id, model=model, metadata=metadata),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.TrainingAdvice:
        """Get advice: its status, its progress, and its result once it is completed. With `wait`,
        the response is sent when it ends.

        Args:
            id: ID of the advice.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.TrainingAdvice,
            Request("GET", at("advice", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete advice and its result. If it is in progress, it stops.

        Args:
            id: ID of the advice.
        """
        return await self._transport.request(
            types.OperationDeleted, Request("DELETE", at("advice", id), options=options)
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.TrainingAdvice:
        """Cancel advice. The status is `cancelling` while its work is still being stopped. Returns
        409 if it has already completed or failed.

        Args:
            id: ID of the advice.
        """
        return await self._transport.request(
            types.TrainingAdvice, Request("POST", at("advice", id, "cancel"), options=options)
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
        training_file_id: str | None = None,
        model: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.TrainingAdvice]:
        """List the project's advice, newest first by default.

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
            training_file_id: ID of the training file.
            model: ID of the base model.
        """
        return self._transport.pages(
            types.TrainingAdvice,
            Request(
                "GET",
                "advice",
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
                    "training_file_id": training_file_id,
                    "model": model,
                },
                options=options,
            ),
        )

    async def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.TrainingAdvice], object] | None = None,
    ) -> types.TrainingAdvice:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The advice {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncAdviceWithRawResponse:
    """Raw responses of `client.advice`."""

    def __init__(self, resource: AsyncAdviceBase) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
