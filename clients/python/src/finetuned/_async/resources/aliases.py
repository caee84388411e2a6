"""Methods of `client.aliases`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import Omit, RequestOptions, changes_of, omit
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at, etag

if TYPE_CHECKING:
    from finetuned import params


class AsyncAliases(AsyncResource):
    """Methods of `client.aliases`."""

    @cached_property
    def with_raw_response(self) -> AsyncAliasesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncAliasesWithRawResponse(self)

    def history(
        self, name: str, **options: Unpack[RequestOptions]
    ) -> AsyncPaginator[types.AliasChange]:
        """List an alias's last 100 changes, newest first: the targets, the time and the API key.

        Args:
            name: Name of an alias. Send `/` as is or as `%2F`.
        """
        return self._transport.pages(
            types.AliasChange, Request("GET", at("aliases", name, "history"), options=options)
        )

    async def rollback(
        self, name: str, *, if_match: str | None = None, **options: Unpack[RequestOptions]
    ) -> types.Alias:
        """Restore the targets from before the last change, effective immediately on every replica.
        A second rollback undoes the first; send `If-Match` to avoid rolling back twice. The alias's
        gate is kept and does not apply to a rollback.

        Args:
            name: Name of an alias. Send `/` as is or as `%2F`.
            if_match: Expected etag of the alias. The request fails with 412 if the alias has
                changed since. `*` requires that the alias exists.
        """
        return await self._transport.request(
            types.Alias,
            Request(
                "POST",
                at("aliases", name, "rollback"),
                headers={"if-match": etag(if_match)},
                options=options,
            ),
        )

    async def retrieve(self, name: str, **options: Unpack[RequestOptions]) -> types.Alias:
        """Retrieve an alias's current targets, and its `etag` for conditional changes.

        Args:
            name: Name of an alias. Send `/` as is or as `%2F`.
        """
        return await self._transport.request(
            types.Alias, Request("GET", at("aliases", name), options=options)
        )

    async def set(
        self,
        name: str,
        *,
        model: str | Omit | None = omit,
        targets: Sequence[types.AliasTarget | params.AliasTarget] | Omit | None = omit,
        gate: Mapping[str, str] | Omit | None = omit,
        force: bool | Omit = omit,
        suites: Sequence[types.AliasSuite | params.AliasSuite] | Omit | None = omit,
        schedule: str | Omit | None = omit,
        reason: str | Omit | None = omit,
        if_none_match: str | None = None,
        if_match: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Alias:
        """Point an alias at a model, or split its requests between two models, in one atomic step.

        Changes take effect immediately on every replica. A name has 1 to 128 letters, digits and
        `._:/-`, so an OpenAI model name can be an alias. The name of a base model, or a name in the
        format of trained models, cannot.

        If the targets change, the trained models among them must meet the alias's gate. Otherwise
        the request fails with 409 `gate_failed`, and the message lists the failed conditions. It
        also fails if the alias has suites, and a new model was not checked or is below a bound. In
        a project with `four_eyes`, a second person must have approved the models: otherwise, the
        request fails with 409 `approval_required`.

        Args:
            name: Name of an alias. Send `/` as is or as `%2F`.
            model: Model that receives all requests.
            targets: Models that share the requests by weight. The weights must sum to 100.
            gate: Conditions that the evaluation of a trained model must meet before the alias
                points at it. A key is a figure of the evaluation, such as `chrf_gain` or
                `memorized`; a condition is `>=`, `>`, `<=`, `<` or `==` and a number, or `checked`
                for `parity`. The alias keeps its gate if the field is missing; `{}` removes it.
            force: Whether to change the targets even if they do not meet the gate of the alias or
                that of their job, or the bounds of the suites. The history records the failed
                conditions.
            suites: Evals that a new model must pass before the alias points at it. An alias check
                runs them. The model of a suite's own run needs none. The alias keeps its suites if
                the field is missing; `[]` removes them, which needs a `reason`.
            schedule: Cron expression in UTC of the times at which the suites are run again on the
                alias's models. The alias keeps its schedule if the field is missing; null removes
                it.
            reason: Reason for `force`, required to override suites, and to remove one or lower its
                bound. The history and the audit log record it.
            if_none_match: Only `*` is accepted. The request fails with 412 if the alias exists.
            if_match: Expected etag of the alias. The request fails with 412 if the alias has
                changed since. `*` requires that the alias exists.
        """
        return await self._transport.request(
            types.Alias,
            Request(
                "PUT",
                at("aliases", name),
                json=changes_of(
                    model=model,
                    targets=targets,
                    gate=gate,
                    force=force,
                    suites=suites,
                    schedule=schedule,
                    reason=reason,
                ),
                headers={"if-none-match": etag(if_none_match), "if-match": etag(if_match)},
                options=options,
            ),
        )

    async def delete(
        self, name: str, *, if_match: str | None = None, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Delete an alias and its history. Its target models are kept. If it has suites, remove
        them first, with a reason.

        Args:
            name: Name of an alias. Send `/` as is or as `%2F`.
            if_match: Expected etag of the alias. The request fails with 412 if the alias has
                changed since. `*` requires that the alias exists.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request(
                "DELETE", at("aliases", name), headers={"if-match": etag(if_match)}, options=options
            ),
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.Alias]:
        """List the project's aliases, newest first, with their target models.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.Alias,
            Request("GET", "aliases", params={"after": after, "limit": limit}, options=options),
        )


class AsyncAliasesWithRawResponse:
    """Raw responses of `client.aliases`."""

    def __init__(self, resource: AsyncAliases) -> None:
        self.history = async_raw_list(resource.history)
        self.rollback = async_raw(resource.rollback)
        self.retrieve = async_raw(resource.retrieve)
        self.set = async_raw(resource.set)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)
