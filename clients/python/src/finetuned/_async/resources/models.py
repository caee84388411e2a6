"""Methods of `client.models`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import RequestOptions, body_of
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at


class AsyncModelsApprovals(AsyncResource):
    """Methods of `client.models.approvals`."""

    @cached_property
    def with_raw_response(self) -> AsyncModelsApprovalsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncModelsApprovalsWithRawResponse(self)

    async def create(
        self, model: str, *, note: str | None = None, **options: Unpack[RequestOptions]
    ) -> types.Approval:
        """Approve a trained model of the key's project. Projects with `four_eyes` require it before
        an alias points at the model or an export of it is created or downloaded.

        Who trained or imported the model cannot approve it, nor can another key of the same service
        account. Approving a model again returns the first approval.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
            note: What was checked, and how.
        """
        return await self._transport.request(
            types.Approval,
            Request(
                "POST",
                at("models", model, "approvals"),
                json=body_of(note=note) or None,
                options=options,
            ),
        )

    async def delete(
        self, model: str, approval_id: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Revoke an approval of a trained model. Aliases that point at the model keep doing so.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
            approval_id: ID of an approval of the model.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request("DELETE", at("models", model, "approvals", approval_id), options=options),
        )

    def list(self, model: str, **options: Unpack[RequestOptions]) -> AsyncPaginator[types.Approval]:
        """List the approvals of a trained model of the key's project, oldest first.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
        """
        return self._transport.pages(
            types.Approval, Request("GET", at("models", model, "approvals"), options=options)
        )


class AsyncModelsApprovalsWithRawResponse:
    """Raw responses of `client.models.approvals`."""

    def __init__(self, resource: AsyncModelsApprovals) -> None:
        self.create = async_raw(resource.create)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)


class AsyncModelsEvidence(AsyncResource):
    """Methods of `client.models.evidence`."""

    @cached_property
    def with_raw_response(self) -> AsyncModelsEvidenceWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncModelsEvidenceWithRawResponse(self)

    async def retrieve(
        self, model: str, *, include_text: bool | None = None, **options: Unpack[RequestOptions]
    ) -> bytes:
        """Download a signed archive of what is known about a trained model of the project: data,
        training, evaluation, access, exports, erasures, and the entries of the audit log with
        proofs.

        `finetuned evidence verify` checks it on another machine. By default, it has no text of the
        data, but names of files and keys. What is missing is listed with the reason.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
            include_text: Whether to include training rows, prompts, graders, and answers of the
                evaluation. Needs a role that may read training data.
        """
        return await self._transport.request(
            bytes,
            Request(
                "GET",
                at("models", model, "evidence"),
                params={"include_text": include_text},
                options=options,
            ),
        )


class AsyncModelsEvidenceWithRawResponse:
    """Raw responses of `client.models.evidence`."""

    def __init__(self, resource: AsyncModelsEvidence) -> None:
        self.retrieve = async_raw(resource.retrieve)


class AsyncModelsBase(AsyncResource):
    """Methods of `client.models`."""

    @cached_property
    def approvals(self) -> AsyncModelsApprovals:
        """Approvals."""
        return AsyncModelsApprovals(self._transport)

    @cached_property
    def evidence(self) -> AsyncModelsEvidence:
        """Evidence."""
        return AsyncModelsEvidence(self._transport)

    @cached_property
    def with_raw_response(self) -> AsyncModelsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncModelsWithRawResponse(self)

    async def retrieve(self, model: str, **options: Unpack[RequestOptions]) -> types.Model:
        """Retrieve a base model, a trained model of this project or one that another project shares
        with it, or an alias (`alias_of` lists its targets).

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
        """
        return await self._transport.request(
            types.Model, Request("GET", at("models", model), options=options)
        )

    async def delete(self, model: str, **options: Unpack[RequestOptions]) -> types.ModelDeleted:
        """Delete a trained model with its exports and evaluation immediately. Its name is never
        reused, and engines remove their copies within seconds. `receipt` is the ID of a signed
        receipt.

        The request fails with 409 while an alias points at the model, and with 403 for a base
        model, which only the operator can remove.

        Args:
            model: ID of a base model or a trained model, or an alias. Send `/` as is or as `%2F`.
        """
        return await self._transport.request(
            types.ModelDeleted, Request("DELETE", at("models", model), options=options)
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        search: str | None = None,
        created_after: int | None = None,
        created_before: int | None = None,
        created_by: str | None = None,
        include: Sequence[Literal["counts"]] | None = None,
        kind: Sequence[Literal["base", "alias", "trained", "shared"]] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.Model]:
        """List the catalog's base models, the project's aliases, its trained models, and those that
        other projects share with it, newest first.

        Each `id` can be used as the model name in inference requests. `owned_by` names the project
        that trained a model. Checkpoints are listed only if another project shares them. The
        response contains all models unless `limit` is set; to page, pass the last `id` of the
        previous page as `after`. A key that may only use some models gets only these.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            search: Text to search in IDs and names, regardless of upper and lower case.
            created_after: Only objects created at this time or later (Unix seconds).
            created_before: Only objects created before this time (Unix seconds).
            created_by: ID of the API key that created the objects, or of a service account, for
                those created with its keys. Files, models and evals of versions before 0.3 do not
                say who created them.
            include: `counts`: return the number of objects that match.
            kind: Values of `kind` to filter by.
        """
        return self._transport.pages(
            types.Model,
            Request(
                "GET",
                "models",
                params={
                    "after": after,
                    "limit": limit,
                    "search": search,
                    "created_after": created_after,
                    "created_before": created_before,
                    "created_by": created_by,
                    "include": include,
                    "kind": kind,
                },
                options=options,
            ),
        )


class AsyncModelsWithRawResponse:
    """Raw responses of `client.models`."""

    def __init__(self, resource: AsyncModelsBase) -> None:
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)
