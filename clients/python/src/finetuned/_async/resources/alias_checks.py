"""Methods of `client.alias_checks`.

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


class AsyncAliasChecks(AsyncResource):
    """Methods of `client.alias_checks`."""

    @cached_property
    def with_raw_response(self) -> AsyncAliasChecksWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncAliasChecksWithRawResponse(self)

    async def create(
        self,
        *,
        alias: str,
        model: str | None = None,
        move: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.AliasCheck:
        """Run the suites of an alias with a model, and compare the runs with the suites' baselines.
        With `move`, the alias then points at the model if no lower limit of an interval is below
        its bound. Otherwise a `PUT` of the alias can use the result.

        Args:
            alias: Name of the alias.
            model: Model to check: a base model or a trained model. Defaults to the models that the
                alias points at.
            move: Whether to point the alias at `model` if it passes. The alias must not change in
                the meantime.
            metadata: Key-value pairs attached to the check; up to 16.
        """
        return await self._transport.request(
            types.AliasCheck,
            Request(
                "POST",
                "alias_checks",
                json=body_of(alias=alias, model=model, move=move, metadata=metadata),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.AliasCheck:
        """Get an alias check: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the alias check.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.AliasCheck,
            Request("GET", at("alias_checks", id), params={"wait": wait}, options=options),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete an alias check. If it is in progress, it stops. The runs that it created are kept.

        Args:
            id: ID of the alias check.
        """
        return await self._transport.request(
            types.OperationDeleted, Request("DELETE", at("alias_checks", id), options=options)
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.AliasCheck:
        """Cancel an alias check. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the alias check.
        """
        return await self._transport.request(
            types.AliasCheck, Request("POST", at("alias_checks", id, "cancel"), options=options)
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
        alias: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.AliasCheck]:
        """List the project's alias checks, newest first by default.

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
            alias: Name of the alias.
        """
        return self._transport.pages(
            types.AliasCheck,
            Request(
                "GET",
                "alias_checks",
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
                    "alias": alias,
                },
                options=options,
            ),
        )

    async def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.AliasCheck], object] | None = None,
    ) -> types.AliasCheck:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The alias check {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncAliasChecksWithRawResponse:
    """Raw responses of `client.alias_checks`."""

    def __init__(self, resource: AsyncAliasChecks) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)
