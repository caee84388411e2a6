"""Methods of `client.dataset_generations`.

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


class AsyncDatasetGenerations(AsyncResource):
    """Methods of `client.dataset_generations`."""

    @cached_property
    def with_raw_response(self) -> AsyncDatasetGenerationsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncDatasetGenerationsWithRawResponse(self)

    async def create(
        self,
        *,
        document_ids: Sequence[str],
        model: str,
        kinds: Sequence[Literal["questions", "rewrites", "refusals"]] | None = None,
        language: str | None = None,
        n: int | None = None,
        max_tokens_total: int | None = None,
        seed: int | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.DatasetGeneration:
        """Generate training rows from documents. A worker cuts them into passages, asks a model of
        this installation for rows about each at the lowest priority, has each row checked, and
        writes those that pass to a new file with the purpose `fine-tune`. Nothing leaves the
        installation.

        The file may have fewer rows than the target: `incomplete_details` and `counts` say why. A
        generation that becomes `failed` or `cancelled` keeps the rows so far.

        Args:
            document_ids: IDs of files with the purpose `user_data`: plain text, Markdown or HTML in
                any common encoding, up to 20 MiB together.
            model: Model of this installation that writes and checks the rows. A larger model writes
                better ones.
            kinds: Kinds of rows: `questions` that a passage answers, `rewrites` of such questions
                in other words, and `refusals`, which are questions that the documents do not
                answer. Together with other kinds, one passage in four gets a refusal.
            language: BCP 47 tag of the language of the rows; null for the language of each passage.
            n: Target row count.
            max_tokens_total: Number of input and output tokens after which no more requests are
                sent to the model. Requests in progress may exceed it.
            seed: Random seed for choosing and ordering passages.
            metadata: Key-value pairs attached to the generation; up to 16.
        """
        return await self._transport.request(
            types.DatasetGeneration,
            Request(
                "POST",
                "dataset_generations",
                json=body_of(
                    document_ids=document_ids,
                    model=model,
                    kinds=kinds,
                    language=language,
                    n=n,
                    max_tokens_total=max_tokens_total,
                    seed=seed,
                    metadata=metadata,
                ),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.DatasetGeneration:
        """Get a generation: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the generation.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.DatasetGeneration,
            Request("GET", at("dataset_generations", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete a generation. Returns 409 if it has not ended: cancel it first. The files that it
        created are kept.

        Args:
            id: ID of the generation.
        """
        return await self._transport.request(
            types.OperationDeleted,
            Request("DELETE", at("dataset_generations", id), options=options),
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.DatasetGeneration:
        """Cancel a generation. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the generation.
        """
        return await self._transport.request(
            types.DatasetGeneration,
            Request("POST", at("dataset_generations", id, "cancel"), options=options),
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
        model: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.DatasetGeneration]:
        """List the project's generations, newest first by default.

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
            model: Model that writes the rows.
        """
        return self._transport.pages(
            types.DatasetGeneration,
            Request(
                "GET",
                "dataset_generations",
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
        on_change: Callable[[types.DatasetGeneration], object] | None = None,
    ) -> types.DatasetGeneration:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The dataset generation {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncDatasetGenerationsWithRawResponse:
    """Raw responses of `client.dataset_generations`."""

    def __init__(self, resource: AsyncDatasetGenerations) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
