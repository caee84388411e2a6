"""Methods of `client.organization`.

Generated from openapi.json by `make clients`; do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from typing_extensions import Unpack

from finetuned import types
from finetuned._async.transport import AsyncResource
from finetuned._options import Omit, RequestOptions, body_of, changes_of, omit
from finetuned._paginator import AsyncPaginator
from finetuned._raw import async_raw, async_raw_list
from finetuned._request import Request, at
from finetuned._retry import Deadline

if TYPE_CHECKING:
    from finetuned import params


class AsyncOrganizationProjectsServiceAccountsApiKeys(AsyncResource):
    """Methods of `client.organization.projects.service_accounts.api_keys`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationProjectsServiceAccountsApiKeysWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationProjectsServiceAccountsApiKeysWithRawResponse(self)

    async def create(
        self,
        project_id: str,
        service_account_id: str,
        *,
        name: str | None = None,
        expires_in_seconds: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.ServiceAccountApiKey:
        """Create another key of a service account, with the account's role. Its secret is in
        `value`, shown only once. Change or revoke it like any other key of the project.

        Args:
            project_id: ID of a project in this installation.
            service_account_id: ID of a service account of the project.
            name: Name of the key. By default, that of the account.
            expires_in_seconds: Seconds until the key expires, up to ten years. `null`: never.
        """
        return await self._transport.request(
            types.ServiceAccountApiKey,
            Request(
                "POST",
                at(
                    "organization",
                    "projects",
                    project_id,
                    "service_accounts",
                    service_account_id,
                    "api_keys",
                ),
                json=body_of(name=name, expires_in_seconds=expires_in_seconds) or None,
                options=options,
            ),
        )


class AsyncOrganizationProjectsServiceAccountsApiKeysWithRawResponse:
    """Raw responses of `client.organization.projects.service_accounts.api_keys`."""

    def __init__(self, resource: AsyncOrganizationProjectsServiceAccountsApiKeys) -> None:
        self.create = async_raw(resource.create)


class AsyncOrganizationAuditLogsVerify(AsyncResource):
    """Methods of `client.organization.audit_logs.verify`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationAuditLogsVerifyWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationAuditLogsVerifyWithRawResponse(self)

    async def create(
        self,
        *,
        public_keys: Sequence[str] | None = None,
        checkpoints: Sequence[str] | None = None,
        kept_days: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.AuditLogVerification:
        """Check that no sealed entry of the audit log was changed, deleted, added or moved, as
        `finetuned-server audit verify` does. It reads the whole log, which takes about 20 seconds
        per million entries; an API process does one verification at a time.

        An API that was taken over can answer anything. So an auditor who does not trust it keeps
        the public key and checkpoints elsewhere, and verifies a copy of the storage on the command
        line.

        Args:
            public_keys: Public keys as PEM, of which each checkpoint must be signed with one.
                Several if the key was changed. Defaults to the key of this installation, if this
                API process has its file.
            checkpoints: Checkpoints that were kept elsewhere, such as by a witness. The log must
                contain them.
            kept_days: Number of days for which entries had to be kept, at least. By default, what
                the checkpoints say.
        """
        return await self._transport.request(
            types.AuditLogVerification,
            Request(
                "POST",
                "organization/audit_logs/verify",
                json=body_of(public_keys=public_keys, checkpoints=checkpoints, kept_days=kept_days)
                or None,
                options=options,
            ),
        )


class AsyncOrganizationAuditLogsVerifyWithRawResponse:
    """Raw responses of `client.organization.audit_logs.verify`."""

    def __init__(self, resource: AsyncOrganizationAuditLogsVerify) -> None:
        self.create = async_raw(resource.create)


class AsyncOrganizationProjectsApiKeys(AsyncResource):
    """Methods of `client.organization.projects.api_keys`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationProjectsApiKeysWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationProjectsApiKeysWithRawResponse(self)

    async def create(
        self,
        project_id: str,
        *,
        name: str,
        role: Literal[
            "admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"
        ]
        | None = None,
        models: Sequence[str] | None = None,
        expires_in_seconds: int | None = None,
        allowed_ips: Sequence[str] | None = None,
        limits: types.ApiKeyLimits | params.ApiKeyLimits | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.CreatedApiKey:
        """Create an API key for a project. `value` in the response is the secret. It is shown only
        once, because the service stores only its digest.

        A key cannot create keys with more permissions than it has: keys with the role `admin` or
        `auditor` are created by keys with the role `admin`.

        Args:
            project_id: ID of a project in this installation.
            name: Name of the key.
            role: Role of the key. It cannot have more permissions than the role of the key that
                creates it.
            models: The only models of a key with the role `inference`: names of base models,
                trained models or aliases. An alias follows its target. `null` allows all.
            expires_in_seconds: Seconds until the key expires, up to ten years. `null`: never.
            allowed_ips: IP addresses and CIDR ranges that requests with the key may come from.
                `null` allows all.
            limits: Limits of an API key.
        """
        return await self._transport.request(
            types.CreatedApiKey,
            Request(
                "POST",
                at("organization", "projects", project_id, "api_keys"),
                json=body_of(
                    name=name,
                    role=role,
                    models=models,
                    expires_in_seconds=expires_in_seconds,
                    allowed_ips=allowed_ips,
                    limits=limits,
                ),
                options=options,
            ),
        )

    async def retrieve(
        self, project_id: str, key_id: str, **options: Unpack[RequestOptions]
    ) -> types.ApiKey:
        """Retrieve an API key without its secret.

        Args:
            project_id: ID of a project in this installation.
            key_id: ID of an API key.
        """
        return await self._transport.request(
            types.ApiKey,
            Request(
                "GET",
                at("organization", "projects", project_id, "api_keys", key_id),
                options=options,
            ),
        )

    async def update(
        self,
        project_id: str,
        key_id: str,
        *,
        name: str | Omit | None = omit,
        role: Literal[
            "admin", "project_admin", "member", "trainer", "inference", "reader", "auditor"
        ]
        | Omit
        | None = omit,
        models: Sequence[str] | Omit | None = omit,
        expires_in_seconds: int | Omit | None = omit,
        allowed_ips: Sequence[str] | Omit | None = omit,
        limits: types.ApiKeyLimits | params.ApiKeyLimits | Omit = omit,
        **options: Unpack[RequestOptions],
    ) -> types.ApiKey:
        """Update a key's name, role, models, expiry, addresses or inference limits, which apply
        within those of its project. Changes take effect within seconds.

        An omitted limit stays unchanged, `null` restores the installation's default, and
        `"unlimited"` removes the limit.

        Args:
            project_id: ID of a project in this installation.
            key_id: ID of an API key.
            name: New name of the key.
            role: New role of the key. Neither the new nor the current role can have more
                permissions than the role of the key that changes it.
            models: New list of the only models of a key with the role `inference`. `null` allows
                all.
            expires_in_seconds: New time until the key expires, in seconds from now. `null`: never.
            allowed_ips: New list of the IP addresses and CIDR ranges that requests with the key may
                come from. `null` allows all.
            limits: Limits to change. Omitted limits stay unchanged.
        """
        return await self._transport.request(
            types.ApiKey,
            Request(
                "POST",
                at("organization", "projects", project_id, "api_keys", key_id),
                json=changes_of(
                    name=name,
                    role=role,
                    models=models,
                    expires_in_seconds=expires_in_seconds,
                    allowed_ips=allowed_ips,
                    limits=limits,
                ),
                repeatable=True,
                options=options,
            ),
        )

    async def delete(
        self, project_id: str, key_id: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Revoke an API key permanently. It stops working everywhere within seconds.

        Args:
            project_id: ID of a project in this installation.
            key_id: ID of an API key.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request(
                "DELETE",
                at("organization", "projects", project_id, "api_keys", key_id),
                options=options,
            ),
        )

    async def rotate(
        self,
        project_id: str,
        key_id: str,
        *,
        overlap_seconds: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.CreatedApiKey:
        """Give an API key a new secret, which is in `value` and not shown again. The previous
        secrets stay valid for `overlap_seconds`, but not beyond their own expiry, so that programs
        can switch to the new one. The key's ID, role, limits and usage stay the same.

        If a response is lost, repeat the request: the secret in use stays valid.

        Args:
            project_id: ID of a project in this installation.
            key_id: ID of an API key.
            overlap_seconds: Seconds for which the previous secrets stay valid, up to 30 days. 0
                ends them at once.
        """
        return await self._transport.request(
            types.CreatedApiKey,
            Request(
                "POST",
                at("organization", "projects", project_id, "api_keys", key_id, "rotate"),
                json=body_of(overlap_seconds=overlap_seconds) or None,
                options=options,
            ),
        )

    def list(
        self,
        project_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.ApiKey]:
        """List the project's API keys, newest first, without their secrets.

        Args:
            project_id: ID of a project in this installation.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.ApiKey,
            Request(
                "GET",
                at("organization", "projects", project_id, "api_keys"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )


class AsyncOrganizationProjectsApiKeysWithRawResponse:
    """Raw responses of `client.organization.projects.api_keys`."""

    def __init__(self, resource: AsyncOrganizationProjectsApiKeys) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.update = async_raw(resource.update)
        self.delete = async_raw(resource.delete)
        self.rotate = async_raw(resource.rotate)
        self.list = async_raw_list(resource.list)


class AsyncOrganizationProjectsServiceAccounts(AsyncResource):
    """Methods of `client.organization.projects.service_accounts`."""

    @cached_property
    def api_keys(self) -> AsyncOrganizationProjectsServiceAccountsApiKeys:
        """Api keys."""
        return AsyncOrganizationProjectsServiceAccountsApiKeys(self._transport)

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationProjectsServiceAccountsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationProjectsServiceAccountsWithRawResponse(self)

    async def create(
        self,
        project_id: str,
        *,
        name: str,
        create_service_account_only: bool | None = None,
        expires_in_seconds: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.CreatedServiceAccount:
        """Create a service account: a program that owns keys of the project. Its first key has the
        role `member`, and its secret is in `api_key.value`, shown only once.

        Args:
            project_id: ID of a project in this installation.
            name: Name of the service account.
            create_service_account_only: Whether to create the account without a key and without a
                role.
            expires_in_seconds: Seconds until the key expires, up to ten years. `null`: never.
        """
        return await self._transport.request(
            types.CreatedServiceAccount,
            Request(
                "POST",
                at("organization", "projects", project_id, "service_accounts"),
                json=body_of(
                    name=name,
                    create_service_account_only=create_service_account_only,
                    expires_in_seconds=expires_in_seconds,
                ),
                options=options,
            ),
        )

    async def retrieve(
        self, project_id: str, service_account_id: str, **options: Unpack[RequestOptions]
    ) -> types.ServiceAccount:
        """Retrieve a service account.

        Args:
            project_id: ID of a project in this installation.
            service_account_id: ID of a service account of the project.
        """
        return await self._transport.request(
            types.ServiceAccount,
            Request(
                "GET",
                at("organization", "projects", project_id, "service_accounts", service_account_id),
                options=options,
            ),
        )

    async def update(
        self,
        project_id: str,
        service_account_id: str,
        *,
        name: str | Omit | None = omit,
        role: Literal["owner", "member"] | Omit | None = omit,
        **options: Unpack[RequestOptions],
    ) -> types.ServiceAccount:
        """Change the name or the role of a service account. A new role applies to all of its keys,
        including those whose role was changed with `updateApiKey`.

        Args:
            project_id: ID of a project in this installation.
            service_account_id: ID of a service account of the project.
            name: New name of the account.
            role: New role of the account. All of its keys get the role `project_admin` (`owner`) or
                `member`.
        """
        return await self._transport.request(
            types.ServiceAccount,
            Request(
                "POST",
                at("organization", "projects", project_id, "service_accounts", service_account_id),
                json=changes_of(name=name, role=role),
                options=options,
            ),
        )

    async def delete(
        self, project_id: str, service_account_id: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Delete a service account and revoke all of its keys. Everything that they created is
        kept.

        Args:
            project_id: ID of a project in this installation.
            service_account_id: ID of a service account of the project.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request(
                "DELETE",
                at("organization", "projects", project_id, "service_accounts", service_account_id),
                options=options,
            ),
        )

    def list(
        self,
        project_id: str,
        *,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.ServiceAccount]:
        """List the project's service accounts, newest first.

        Args:
            project_id: ID of a project in this installation.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.ServiceAccount,
            Request(
                "GET",
                at("organization", "projects", project_id, "service_accounts"),
                params={"after": after, "limit": limit},
                options=options,
            ),
        )


class AsyncOrganizationProjectsServiceAccountsWithRawResponse:
    """Raw responses of `client.organization.projects.service_accounts`."""

    def __init__(self, resource: AsyncOrganizationProjectsServiceAccounts) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.update = async_raw(resource.update)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)


class AsyncOrganizationAdminApiKeys(AsyncResource):
    """Methods of `client.organization.admin_api_keys`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationAdminApiKeysWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationAdminApiKeysWithRawResponse(self)

    async def create(
        self, *, name: str, expires_in_seconds: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.CreatedAdminApiKey:
        """Create a key with the role `admin`, which manages all projects and their keys. It belongs
        to the project of the key that creates it. Its secret is in `value`, shown only once.

        Args:
            name: Name of the key.
            expires_in_seconds: Seconds until the key expires, up to ten years. `null`: never.
        """
        return await self._transport.request(
            types.CreatedAdminApiKey,
            Request(
                "POST",
                "organization/admin_api_keys",
                json=body_of(name=name, expires_in_seconds=expires_in_seconds),
                options=options,
            ),
        )

    async def retrieve(self, key_id: str, **options: Unpack[RequestOptions]) -> types.AdminApiKey:
        """Retrieve a key with the role `admin`, without its secret.

        Args:
            key_id: ID of an API key.
        """
        return await self._transport.request(
            types.AdminApiKey,
            Request("GET", at("organization", "admin_api_keys", key_id), options=options),
        )

    async def delete(
        self, key_id: str, **options: Unpack[RequestOptions]
    ) -> types.ProjectObjectDeleted:
        """Revoke a key with the role `admin` permanently. It stops working everywhere within
        seconds.

        If it was the last one, create another on the server, with `finetuned-server keys create`.

        Args:
            key_id: ID of an API key.
        """
        return await self._transport.request(
            types.ProjectObjectDeleted,
            Request("DELETE", at("organization", "admin_api_keys", key_id), options=options),
        )

    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.AdminApiKey]:
        """List the keys of all projects with the role `admin`, oldest first by default.

        Args:
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
            order: Sort order by creation time. `desc` returns the newest first.
        """
        return self._transport.pages(
            types.AdminApiKey,
            Request(
                "GET",
                "organization/admin_api_keys",
                params={"after": after, "limit": limit, "order": order},
                options=options,
            ),
        )


class AsyncOrganizationAdminApiKeysWithRawResponse:
    """Raw responses of `client.organization.admin_api_keys`."""

    def __init__(self, resource: AsyncOrganizationAdminApiKeys) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.list = async_raw_list(resource.list)


class AsyncOrganizationAuditLogs(AsyncResource):
    """Methods of `client.organization.audit_logs`."""

    @cached_property
    def verify(self) -> AsyncOrganizationAuditLogsVerify:
        """Verify."""
        return AsyncOrganizationAuditLogsVerify(self._transport)

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationAuditLogsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationAuditLogsWithRawResponse(self)

    def list(
        self,
        *,
        tenant_only: bool | None = None,
        after: str | None = None,
        before: str | None = None,
        limit: int | None = None,
        effective_at: Mapping[str, int] | None = None,
        project_ids: Sequence[str] | None = None,
        event_types: Sequence[str] | None = None,
        actor_ids: Sequence[str] | None = None,
        resource_ids: Sequence[str] | None = None,
        actor_emails: Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.AuditLog]:
        """List the entries of the audit log, newest first: changes, reads of training data, and
        rejected keys and permissions. Requests to models are counted by key and minute.

        Keys with the role `admin` or `auditor` see the entries of all projects, and keys with the
        role `project_admin` those of their own.

        Args:
            tenant_only: Whether to return only tenant events. The service has none.
            after: Cursor for pagination: the `last_id` of the previous page.
            before: Cursor for pagination: the `first_id` of a page, to get the one before.
            limit: Maximum number of objects per page.
            project_ids: Projects to filter by.
            event_types: Types of events to filter by.
            actor_ids: IDs of API keys to filter by.
            resource_ids: IDs of files, jobs, models, keys and other objects to filter by.
            actor_emails: Email addresses of users. The service has no users.
        """
        return self._transport.pages(
            types.AuditLog,
            Request(
                "GET",
                "organization/audit_logs",
                params={
                    "tenant_only": tenant_only,
                    "after": after,
                    "before": before,
                    "limit": limit,
                    "effective_at": effective_at,
                    "project_ids": project_ids,
                    "event_types": event_types,
                    "actor_ids": actor_ids,
                    "resource_ids": resource_ids,
                    "actor_emails": actor_emails,
                },
                options=options,
            ),
        )


class AsyncOrganizationAuditLogsWithRawResponse:
    """Raw responses of `client.organization.audit_logs`."""

    def __init__(self, resource: AsyncOrganizationAuditLogs) -> None:
        self.list = async_raw_list(resource.list)


class AsyncOrganizationDiagnostics(AsyncResource):
    """Methods of `client.organization.diagnostics`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationDiagnosticsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationDiagnosticsWithRawResponse(self)

    async def retrieve(self, **options: Unpack[RequestOptions]) -> types.Diagnostics:
        """Run the checks of `finetuned-server doctor` that need no access to a machine: Redis,
        storage, workers, engines and the audit log. Each says what was found and how to fix it.
        """
        return await self._transport.request(
            types.Diagnostics, Request("GET", "organization/diagnostics", options=options)
        )


class AsyncOrganizationDiagnosticsWithRawResponse:
    """Raw responses of `client.organization.diagnostics`."""

    def __init__(self, resource: AsyncOrganizationDiagnostics) -> None:
        self.retrieve = async_raw(resource.retrieve)


class AsyncOrganizationEngines(AsyncResource):
    """Methods of `client.organization.engines`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationEnginesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationEnginesWithRawResponse(self)

    def list(self, **options: Unpack[RequestOptions]) -> AsyncPaginator[types.Engine]:
        """List the engines with their health and load. The status is that of the API process that
        answers; the figures are read from the engines, of which each has 3 seconds to answer.
        """
        return self._transport.pages(
            types.Engine, Request("GET", "organization/engines", options=options)
        )


class AsyncOrganizationEnginesWithRawResponse:
    """Raw responses of `client.organization.engines`."""

    def __init__(self, resource: AsyncOrganizationEngines) -> None:
        self.list = async_raw_list(resource.list)


class AsyncOrganizationErasures(AsyncResource):
    """Methods of `client.organization.erasures`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationErasuresWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationErasuresWithRawResponse(self)

    async def create(
        self,
        *,
        match: types.ErasureRowMatch | params.ErasureRowMatch,
        apply: bool | None = None,
        cascade: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Erasure:
        """Find the rows of all files and the stored chats of the key's project that match, for
        example everything about one person, and list the files, the lines and the models trained on
        them.

        Without `apply`, nothing is changed. With `apply`, each file with such rows is replaced by a
        new file without them, whose `derived_from` names the old one, and the old one is deleted
        with its bytes, reports and previews; stored chats are deleted. With `cascade`, the models
        trained on the file are deleted too.

        `places` lists other objects of the project that have the text, such as runs of evals,
        batches and the metadata of jobs. They are not changed.

        What to find is stored in Redis only until the erasure has ended, and never logged. Then
        Redis' files are rewritten, and `rewrite` says how.

        Args:
            match: Rows to find.
            apply: Whether to replace each file by one without the rows, and to delete the stored
                chats. Otherwise, they are only listed.
            cascade: Whether to delete the models trained on the files too, with their checkpoints,
                exports and evaluations. Needs `apply`.
            metadata: Key-value pairs attached to the erasure; up to 16.
        """
        return await self._transport.request(
            types.Erasure,
            Request(
                "POST",
                "organization/erasures",
                json=body_of(match=match, apply=apply, cascade=cascade, metadata=metadata),
                idempotent=True,
                options=options,
            ),
        )

    async def retrieve(
        self, id: str, *, wait: int | None = None, **options: Unpack[RequestOptions]
    ) -> types.Erasure:
        """Get an erasure: its status, its progress, and its result once it is completed. With
        `wait`, the response is sent when it ends.

        Args:
            id: ID of the erasure.
            wait: Longest time to wait for the end of the operation, in seconds.
        """
        return await self._transport.request(
            types.Erasure,
            Request(
                "GET", at("organization", "erasures", id), params={"wait": wait}, options=options
            ),
        )

    async def delete(self, id: str, **options: Unpack[RequestOptions]) -> types.OperationDeleted:
        """Delete an erasure. Returns 409 if it has not ended: cancel it first. The files that it
        created are kept.

        Args:
            id: ID of the erasure.
        """
        return await self._transport.request(
            types.OperationDeleted,
            Request("DELETE", at("organization", "erasures", id), options=options),
        )

    async def cancel(self, id: str, **options: Unpack[RequestOptions]) -> types.Erasure:
        """Cancel an erasure. The status is `cancelling` while its work is still being stopped.
        Returns 409 if it has already completed or failed.

        Args:
            id: ID of the erasure.
        """
        return await self._transport.request(
            types.Erasure,
            Request("POST", at("organization", "erasures", id, "cancel"), options=options),
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
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.Erasure]:
        """List the project's erasures, newest first by default.

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
        """
        return self._transport.pages(
            types.Erasure,
            Request(
                "GET",
                "organization/erasures",
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
                },
                options=options,
            ),
        )

    async def wait(
        self,
        id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[types.Erasure], object] | None = None,
    ) -> types.Erasure:
        """Wait until the status is final and return the object. Raises TimedOut.

        Check `status` on the result: it can be `failed`. `on_change` is called with
        the object when it has changed.
        """
        deadline = Deadline(timeout_s, f"The erasure {id}")
        return await self._transport.wait(
            lambda: self.retrieve(id, **self._transport.poll(deadline)),
            deadline,
            on_change=on_change,
        )


class AsyncOrganizationErasuresWithRawResponse:
    """Raw responses of `client.organization.erasures`."""

    def __init__(self, resource: AsyncOrganizationErasures) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.delete = async_raw(resource.delete)
        self.cancel = async_raw(resource.cancel)
        self.list = async_raw_list(resource.list)


class AsyncOrganizationProjects(AsyncResource):
    """Methods of `client.organization.projects`."""

    @cached_property
    def api_keys(self) -> AsyncOrganizationProjectsApiKeys:
        """Api keys."""
        return AsyncOrganizationProjectsApiKeys(self._transport)

    @cached_property
    def service_accounts(self) -> AsyncOrganizationProjectsServiceAccounts:
        """Service accounts."""
        return AsyncOrganizationProjectsServiceAccounts(self._transport)

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationProjectsWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationProjectsWithRawResponse(self)

    async def create(
        self,
        *,
        name: str,
        limits: types.ProjectLimits | params.ProjectLimits | None = None,
        **options: Unpack[RequestOptions],
    ) -> types.Project:
        """Create a project: a tenant whose files, jobs, models and keys are isolated from those of
        other projects. Its name is part of its model names and can never be reused. Create an API
        key for the project next.

        Args:
            name: Name of the project: up to 40 lowercase letters, digits and hyphens. It becomes
                part of the names of its models, and cannot be changed.
            limits: Limits of a project.
        """
        return await self._transport.request(
            types.Project,
            Request(
                "POST",
                "organization/projects",
                json=body_of(name=name, limits=limits),
                options=options,
            ),
        )

    async def retrieve(self, project_id: str, **options: Unpack[RequestOptions]) -> types.Project:
        """Retrieve a project, the limits set for it and its bytes in storage.

        Args:
            project_id: ID of a project in this installation.
        """
        return await self._transport.request(
            types.Project,
            Request("GET", at("organization", "projects", project_id), options=options),
        )

    async def update(
        self,
        project_id: str,
        *,
        limits: types.ProjectLimits | params.ProjectLimits | Omit = omit,
        capture: types.CaptureSettings | params.CaptureSettings | Omit | None = omit,
        capture_managed_by: Literal["organization", "project"] | Omit | None = omit,
        four_eyes: bool | Omit | None = omit,
        name: str | Omit | None = omit,
        **options: Unpack[RequestOptions],
    ) -> types.Project:
        """Update the project's limits, which apply across all of its keys, or its capture of chats.
        Changes take effect within seconds. A storage quota below the current use deletes nothing,
        and rejects new writes.

        An omitted limit stays unchanged, `null` restores the installation's default, and
        `"unlimited"` removes the limit.

        A key with the role `project_admin` can change only `capture`: it can always set `null`, and
        other values if `capture_managed_by` of the project is `project`.

        Args:
            project_id: ID of a project in this installation.
            limits: Limits of a project.
            capture: New settings of the storage of chats. `null` stores no more chats; those that
                are stored stay until they expire or are deleted.
            capture_managed_by: Who can enable capture: with `organization`, only keys with the role
                `admin`; with `project`, also keys of the project with the role `project_admin`.
                `null` changes nothing.
            four_eyes: Whether a second person must approve a trained model before an alias points
                at it or an export of it is created or downloaded. `null` changes nothing.
            name: Current name of the project. Any other name is rejected, because it is part of the
                names of the project's models.
        """
        return await self._transport.request(
            types.Project,
            Request(
                "POST",
                at("organization", "projects", project_id),
                json=changes_of(
                    limits=limits,
                    capture=capture,
                    capture_managed_by=capture_managed_by,
                    four_eyes=four_eyes,
                    name=name,
                ),
                repeatable=True,
                options=options,
            ),
        )

    async def delete(self, project_id: str, **options: Unpack[RequestOptions]) -> types.Project:
        """Delete a project and everything in it: jobs, files, uploads, models, aliases, exports,
        evals, batches, generations, stored chats, webhooks, recognizers and keys. Running jobs
        stop. This cannot be undone.

        The keys stop working within seconds. The rest is deleted in the background: the status is
        `deleting`, and `objects_left` falls until the project no longer exists. Its usage is kept
        as long as that of other projects, and its name is never reused.

        Args:
            project_id: ID of a project in this installation.
        """
        return await self._transport.request(
            types.Project,
            Request("DELETE", at("organization", "projects", project_id), options=options),
        )

    async def archive(self, project_id: str, **options: Unpack[RequestOptions]) -> types.Project:
        """Archive a project permanently. All of its keys stop working within seconds, and no new
        keys can be created. Its data is kept, and work in progress continues. Archiving it again
        changes nothing.

        Args:
            project_id: ID of a project in this installation.
        """
        return await self._transport.request(
            types.Project,
            Request(
                "POST",
                at("organization", "projects", project_id, "archive"),
                repeatable=True,
                options=options,
            ),
        )

    def list(
        self,
        *,
        include_archived: bool | None = None,
        after: str | None = None,
        limit: int | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.Project]:
        """List all projects of this installation, newest first.

        Args:
            include_archived: Whether to include archived projects and those being deleted.
            after: Cursor for pagination: the `last_id` of the previous page.
            limit: Maximum number of objects per page.
        """
        return self._transport.pages(
            types.Project,
            Request(
                "GET",
                "organization/projects",
                params={"include_archived": include_archived, "after": after, "limit": limit},
                options=options,
            ),
        )


class AsyncOrganizationProjectsWithRawResponse:
    """Raw responses of `client.organization.projects`."""

    def __init__(self, resource: AsyncOrganizationProjects) -> None:
        self.create = async_raw(resource.create)
        self.retrieve = async_raw(resource.retrieve)
        self.update = async_raw(resource.update)
        self.delete = async_raw(resource.delete)
        self.archive = async_raw(resource.archive)
        self.list = async_raw_list(resource.list)


class AsyncOrganizationQueues(AsyncResource):
    """Methods of `client.organization.queues`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationQueuesWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationQueuesWithRawResponse(self)

    def list(self, **options: Unpack[RequestOptions]) -> AsyncPaginator[types.Queue]:
        """List the queues of tasks for workers. Jobs reach the queue `gpu` only when a worker is
        free to take them; until then, `GET /v1/fine_tuning/jobs` shows their positions.
        """
        return self._transport.pages(
            types.Queue, Request("GET", "organization/queues", options=options)
        )


class AsyncOrganizationQueuesWithRawResponse:
    """Raw responses of `client.organization.queues`."""

    def __init__(self, resource: AsyncOrganizationQueues) -> None:
        self.list = async_raw_list(resource.list)


class AsyncOrganizationUsage(AsyncResource):
    """Methods of `client.organization.usage`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationUsageWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationUsageWithRawResponse(self)

    def completions(
        self,
        *,
        start_time: int,
        end_time: int | None = None,
        bucket_width: Literal["1m", "1h", "1d"] | None = None,
        limit: int | None = None,
        page: str | None = None,
        batch: bool | None = None,
        group_by: Sequence[
            Literal[
                "project_id",
                "user_id",
                "api_key_id",
                "model",
                "batch",
                "service_tier",
                "api_source",
            ]
        ]
        | None = None,
        api_key_ids: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        project_ids: Sequence[str] | None = None,
        user_ids: Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncPaginator[types.CompletionsUsageBucket]:
        """Retrieve request and token counts by minute (kept for 2 days), hour or day (kept for 400
        days), in UTC.

        Keys with the role `admin` or `auditor` see all projects; other keys see their own project.
        The last few seconds may be missing. Buckets are aligned: `start_time` is rounded down to
        the start of its bucket. All inference routes are included, also embeddings.

        Args:
            start_time: Start time (inclusive), as a Unix timestamp in seconds.
            end_time: End time (exclusive), as a Unix timestamp in seconds. Defaults to now.
            bucket_width: Width of a bucket: one minute, hour or day.
            limit: Maximum number of buckets per page.
            page: Pagination cursor: `next_page` of the previous page.
            batch: Whether to return only the usage of batches, or only the other usage.
            group_by: Fields to group the results by.
            api_key_ids: API keys to filter by.
            models: Models to filter by.
            project_ids: Projects to filter by.
            user_ids: Users to filter by. The service has no users.
        """
        return self._transport.pages(
            types.CompletionsUsageBucket,
            Request(
                "GET",
                "organization/usage/completions",
                params={
                    "start_time": start_time,
                    "end_time": end_time,
                    "bucket_width": bucket_width,
                    "limit": limit,
                    "page": page,
                    "batch": batch,
                    "group_by": group_by,
                    "api_key_ids": api_key_ids,
                    "models": models,
                    "project_ids": project_ids,
                    "user_ids": user_ids,
                },
                options=options,
            ),
        )


class AsyncOrganizationUsageWithRawResponse:
    """Raw responses of `client.organization.usage`."""

    def __init__(self, resource: AsyncOrganizationUsage) -> None:
        self.completions = async_raw_list(resource.completions)


class AsyncOrganizationWorkers(AsyncResource):
    """Methods of `client.organization.workers`."""

    @cached_property
    def with_raw_response(self) -> AsyncOrganizationWorkersWithRawResponse:
        """The same methods, which return responses with status and headers."""
        return AsyncOrganizationWorkersWithRawResponse(self)

    def list(self, **options: Unpack[RequestOptions]) -> AsyncPaginator[types.Worker]:
        """List the running workers with their devices and tasks, sorted by name. A worker that has
        stopped disappears at once, one that was killed after 20 seconds.
        """
        return self._transport.pages(
            types.Worker, Request("GET", "organization/workers", options=options)
        )


class AsyncOrganizationWorkersWithRawResponse:
    """Raw responses of `client.organization.workers`."""

    def __init__(self, resource: AsyncOrganizationWorkers) -> None:
        self.list = async_raw_list(resource.list)


class AsyncOrganization(AsyncResource):
    """Methods of `client.organization`."""

    @cached_property
    def admin_api_keys(self) -> AsyncOrganizationAdminApiKeys:
        """Admin api keys."""
        return AsyncOrganizationAdminApiKeys(self._transport)

    @cached_property
    def audit_logs(self) -> AsyncOrganizationAuditLogs:
        """Audit logs."""
        return AsyncOrganizationAuditLogs(self._transport)

    @cached_property
    def diagnostics(self) -> AsyncOrganizationDiagnostics:
        """Diagnostics."""
        return AsyncOrganizationDiagnostics(self._transport)

    @cached_property
    def engines(self) -> AsyncOrganizationEngines:
        """Engines."""
        return AsyncOrganizationEngines(self._transport)

    @cached_property
    def erasures(self) -> AsyncOrganizationErasures:
        """Erasures."""
        return AsyncOrganizationErasures(self._transport)

    @cached_property
    def projects(self) -> AsyncOrganizationProjects:
        """Projects."""
        return AsyncOrganizationProjects(self._transport)

    @cached_property
    def queues(self) -> AsyncOrganizationQueues:
        """Queues."""
        return AsyncOrganizationQueues(self._transport)

    @cached_property
    def usage(self) -> AsyncOrganizationUsage:
        """Usage."""
        return AsyncOrganizationUsage(self._transport)

    @cached_property
    def workers(self) -> AsyncOrganizationWorkers:
        """Workers."""
        return AsyncOrganizationWorkers(self._transport)
