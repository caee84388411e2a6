"""Request and response schemas of service accounts and admin keys, in OpenAI's shapes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.projects.records import ApiKey
from service.projects.schemas import KeyName, Lifetime, redacted
from service.projects.service_accounts import AccountRole, ServiceAccount


class CreateServiceAccount(BaseModel):
    """Request to create a service account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: KeyName = Field(examples=["nightly-training"], description="Name of the service account.")
    create_service_account_only: bool | None = Field(
        default=None, description="Whether to create the account without a key and without a role."
    )
    expires_in_seconds: Lifetime | None = Field(
        default=None, description="Seconds until the key expires, up to ten years. `null`: never."
    )


class UpdateServiceAccount(BaseModel):
    """Request to change a service account. Omitted fields stay unchanged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: KeyName | None = Field(default=None, description="New name of the account.")
    role: Literal["owner", "member"] | None = Field(
        default=None,
        description="New role of the account. All of its keys get the role `project_admin` "
        "(`owner`) or `member`.",
    )


class CreateAccountKey(BaseModel):
    """Request to create a key of a service account."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: KeyName | None = Field(
        default=None, description="Name of the key. By default, that of the account."
    )
    expires_in_seconds: Lifetime | None = Field(
        default=None, description="Seconds until the key expires, up to ten years. `null`: never."
    )


class AccountKeyObject(BaseModel):
    """A new key of a service account. This is the only response that contains the secret."""

    object: Literal["organization.project.service_account.api_key"] = (
        "organization.project.service_account.api_key"
    )
    id: str = Field(description="ID of the key, prefixed with `key_`.")
    name: str = Field(description="Name of the key.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    expires_at: int | None = Field(
        description="Time at which the key expires, as a Unix timestamp in seconds, or null."
    )
    value: str = Field(description="Secret of the key, shown only once.")

    @classmethod
    def from_record(cls, key: ApiKey, secret: str) -> Self:
        """The API object for a new key."""
        return cls(
            id=key.id,
            name=key.name,
            created_at=key.created_at,
            expires_at=key.expires_at,
            value=secret,
        )


class ServiceAccountObject(BaseModel):
    """A service account."""

    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    id: str = Field(description="ID of the account, prefixed with `svc_acct_`.")
    name: str = Field(description="Name of the account.")
    role: AccountRole = Field(
        description="Role of the account: the keys of an `owner` have the role `project_admin`, "
        "those of a `member` the role `member`, and an account with `none` can have no keys."
    )
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")

    @classmethod
    def from_record(cls, account: ServiceAccount) -> Self:
        """The API object for a record."""
        return cls(
            id=account.id, name=account.name, role=account.role, created_at=account.created_at
        )


class NewServiceAccountObject(ServiceAccountObject):
    """A new service account, with its first key."""

    api_key: AccountKeyObject | None = Field(
        description="First key of the account, or null if none was to be created."
    )


class CreateAdminKey(BaseModel):
    """Request to create an admin key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: KeyName = Field(examples=["infrastructure"], description="Name of the key.")
    expires_in_seconds: Lifetime | None = Field(
        default=None, description="Seconds until the key expires, up to ten years. `null`: never."
    )


class AdminKeyOwner(BaseModel):
    """Program that uses an admin key, under the name of the key."""

    type: Literal["service_account"] = "service_account"
    object: Literal["organization.service_account"] = "organization.service_account"
    id: str = Field(description="ID of the key.")
    name: str = Field(description="Name of the key.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    role: Literal["owner"] = Field(
        default="owner", description="Role of the owner. Always `owner`."
    )


class AdminKeyObject(BaseModel):
    """A key with the role `admin`, without its secret."""

    object: Literal["organization.admin_api_key"] = "organization.admin_api_key"
    id: str = Field(description="ID of the key, prefixed with `key_`.")
    name: str = Field(description="Name of the key.")
    redacted_value: str = Field(description="Redacted secret with its last characters.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    last_used_at: int | None = Field(
        description="Time of the last request with the key, as a Unix timestamp in seconds, or "
        "null if there was none. Updated within a minute."
    )
    expires_at: int | None = Field(
        description="Time at which the key expires, as a Unix timestamp in seconds, or null."
    )
    owner: AdminKeyOwner
    project_id: str = Field(description="ID of the project to which the key belongs.")

    @classmethod
    def from_record(cls, key: ApiKey, last_used_at: int | None) -> Self:
        """The API object for a record."""
        return cls(
            id=key.id,
            name=key.name,
            redacted_value=redacted(key.hint),
            created_at=key.created_at,
            last_used_at=last_used_at,
            expires_at=key.expires_at,
            owner=AdminKeyOwner(id=key.id, name=key.name, created_at=key.created_at),
            project_id=key.project_id,
        )


class NewAdminKeyObject(AdminKeyObject):
    """A new admin key. This is the only response that contains the secret."""

    value: str = Field(description="Secret of the key, shown only once.")
