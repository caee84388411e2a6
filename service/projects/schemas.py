"""Request and response schemas of projects and keys, modeled on OpenAI's organization objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.config.limits import NO_LIMITS, NO_PROJECT_LIMITS, Limits, ProjectLimits
from service.core import clock
from service.core.networks import network
from service.projects.records import ApiKey, OldSecret, Project, Role
from service.web.auth import Capture, CaptureManager
from service.web.names import VisibleName

_DAY_S = 24 * 3600
KeyName = Annotated[VisibleName, StringConstraints(min_length=1, max_length=100)]
ModelNames = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=512)]],
    Field(min_length=1, max_length=100),
]
Lifetime = Annotated[int, Field(ge=1, le=10 * 366 * _DAY_S)]


def _network(text: str) -> str:
    return str(network(text))


AllowedIps = Annotated[
    list[Annotated[str, StringConstraints(max_length=64), AfterValidator(_network)]],
    Field(min_length=1, max_length=100, examples=[["192.0.2.0/24", "2001:db8::/32"]]),
]


class CreateProject(BaseModel):
    """Request to create a project."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        examples=["acme"],
        description="Name of the project: up to 40 lowercase letters, digits and hyphens. It "
        "becomes part of the names of its models, and cannot be changed.",
    )
    limits: ProjectLimits = NO_PROJECT_LIMITS


class CaptureSettings(BaseModel):
    """Settings for storing the chats of a project, with personal data replaced, to train on them
    later.

    A request with `"store": false` is never stored, and one with `"store": true` always is.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sampling: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="Share of the chats without `store` that are stored. With 0, only requests "
        'with `"store": true` are stored.',
    )
    expires_after_days: int = Field(
        default=30, ge=1, le=3650, description="Days after which a stored chat is deleted."
    )
    redaction: Literal["mask", "pseudonym"] = Field(
        default="mask",
        description="Replacement for personal data. `mask` writes `[EMAIL]`; `pseudonym` writes "
        "`[EMAIL_1]`, with one number per value in a chat.",
    )
    possible_personal_data: bool = Field(
        default=False,
        description="Whether to also replace numbers that look like personal data but have no "
        "confirming word before them.",
    )
    models: ModelNames | None = Field(
        default=None,
        description="The only models whose chats are stored: names of base models, trained models "
        "or aliases. `null` for all.",
    )


class UpdateProject(BaseModel):
    """Request to update a project. Omitted fields and limits stay unchanged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    limits: ProjectLimits = NO_PROJECT_LIMITS
    capture: CaptureSettings | None = Field(
        default=None,
        description="New settings of the storage of chats. `null` stores no more chats; those that "
        "are stored stay until they expire or are deleted.",
    )
    capture_managed_by: CaptureManager | None = Field(
        default=None,
        description="Who can enable capture: with `organization`, only keys with the role "
        "`admin`; with `project`, also keys of the project with the role `project_admin`. "
        "`null` changes nothing.",
    )
    four_eyes: bool | None = Field(
        default=None,
        description="Whether a second person must approve a trained model before an alias points "
        "at it or an export of it is created or downloaded. `null` changes nothing.",
    )
    name: str | None = Field(
        default=None,
        description="Current name of the project. Any other name is rejected, because it is part "
        "of the names of the project's models.",
    )


class ProjectObject(BaseModel):
    """A project (tenant)."""

    id: str = Field(description="ID of the project, prefixed with `proj_`.")
    object: Literal["organization.project"] = "organization.project"
    name: str = Field(description="Name of the project, as used in its model names.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    status: Literal["active", "archived", "deleting"] = Field(
        description="Status of the project. The keys of a project that is archived or being "
        "deleted are refused."
    )
    archived_at: int | None = Field(
        description="Time at which the project was archived, as a Unix timestamp in seconds, or "
        "null."
    )
    objects_left: int | None = Field(
        description="Number of objects that a project being deleted still has in storage. Null "
        "for other projects, and until they are counted."
    )
    limits: ProjectLimits = Field(description="Limits set for the project.")
    capture: CaptureSettings | None = Field(
        default=None, description="Settings of the storage of chats, or null if none are stored."
    )
    capture_managed_by: CaptureManager = Field(
        default="organization",
        description="Who can enable capture. Administrators of the project can always disable it.",
    )
    four_eyes: bool = Field(
        default=False,
        description="Whether a second person must approve trained models before aliases and "
        "exports can use them.",
    )
    storage_bytes_used: int = Field(
        description="Bytes of the project in storage, including uploads in progress."
    )

    @classmethod
    def from_record(
        cls, project: Project, storage_bytes: int, objects_left: int | None = None
    ) -> Self:
        """The API object for a record."""
        return cls(
            status=_status(project),
            archived_at=project.archived_at,
            objects_left=objects_left,
            id=project.id,
            name=project.name,
            created_at=project.created_at,
            limits=project.limits,
            capture=_shown_capture(project.capture),
            capture_managed_by=project.capture_managed_by,
            four_eyes=project.four_eyes,
            storage_bytes_used=storage_bytes,
        )


def _shown_capture(capture: Capture | None) -> CaptureSettings | None:
    if capture is None:
        return None
    fields = capture.model_dump(include=set(CaptureSettings.model_fields))
    models = None if capture.models is None else list(capture.models)
    return CaptureSettings.model_validate(fields | {"models": models})


def _status(project: Project) -> Literal["active", "archived", "deleting"]:
    if project.deleting_since is not None:
        return "deleting"
    return "active" if project.archived_at is None else "archived"


class CreateKey(BaseModel):
    """Request to create an API key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: KeyName = Field(examples=["backend"], description="Name of the key.")
    role: Role = Field(
        default=Role.MEMBER,
        strict=False,  # a text is no member of an enum
        description="Role of the key. It cannot have more permissions than the role of the key "
        "that creates it.",
    )
    models: ModelNames | None = Field(
        default=None,
        description="The only models of a key with the role `inference`: names of base models, "
        "trained models or aliases. An alias follows its target. `null` allows all.",
    )
    expires_in_seconds: Lifetime | None = Field(
        default=None,
        description="Seconds until the key expires, up to ten years. `null`: never.",
    )
    allowed_ips: AllowedIps | None = Field(
        default=None,
        description="IP addresses and CIDR ranges that requests with the key may come from. "
        "`null` allows all.",
    )
    limits: Limits = NO_LIMITS


class UpdateKey(BaseModel):
    """Request to update an API key. Omitted fields stay unchanged."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: KeyName | None = Field(default=None, description="New name of the key.")
    role: Annotated[Role, Field(strict=False)] | None = Field(
        default=None,
        description="New role of the key. Neither the new nor the current role can have more "
        "permissions than the role of the key that changes it.",
    )
    models: ModelNames | None = Field(
        default=None,
        description="New list of the only models of a key with the role `inference`. `null` "
        "allows all.",
    )
    expires_in_seconds: Lifetime | None = Field(
        default=None,
        description="New time until the key expires, in seconds from now. `null`: never.",
    )
    allowed_ips: AllowedIps | None = Field(
        default=None,
        description="New list of the IP addresses and CIDR ranges that requests with the key may "
        "come from. `null` allows all.",
    )
    limits: Limits = Field(
        default=NO_LIMITS, description="Limits to change. Omitted limits stay unchanged."
    )


class RotateKey(BaseModel):
    """Request to replace the secret of an API key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: int = Field(
        default=_DAY_S,
        ge=0,
        le=30 * _DAY_S,
        description="Seconds for which the previous secrets stay valid, up to 30 days. 0 ends "
        "them at once.",
    )


class PreviousSecret(BaseModel):
    """A secret of an API key that was replaced and is still valid."""

    redacted_value: str = Field(description="Redacted secret with its last characters.")
    expires_at: int = Field(
        description="Time until which the secret is valid, as a Unix timestamp in seconds."
    )


class KeyHolder(BaseModel):
    """Program that uses an API key, under the name of the key."""

    id: str = Field(description="ID of the service account of the key, or of the key.")
    name: str = Field(description="Name of the key.")
    role: Role
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")


class KeyOwner(BaseModel):
    """The owner of an API key, as in the OpenAI API. Keys belong to programs, not to persons."""

    type: Literal["service_account"] = "service_account"
    service_account: KeyHolder


class KeyObject(BaseModel):
    """An API key without its secret."""

    id: str = Field(description="ID of the key, prefixed with `key_`.")
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str = Field(description="Name of the key.")
    role: Role
    models: list[str] | None = Field(
        description="The only models that the key may use, or null for all models of its project."
    )
    redacted_value: str = Field(description="Redacted secret with its last characters.")
    previous_secrets: list[PreviousSecret] = Field(
        description="Secrets that were replaced and are still valid, oldest first."
    )
    expires_at: int | None = Field(
        description="Time at which the key expires, as a Unix timestamp in seconds, or null."
    )
    last_used_at: int | None = Field(
        description="Time of the last request with the key, as a Unix timestamp in seconds, or "
        "null if there was none. Updated within a minute."
    )
    allowed_ips: list[str] | None = Field(
        description="IP addresses and CIDR ranges that requests may come from, or null for all."
    )
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    limits: Limits = Field(description="Limits set for the key, within those of its project.")
    owner: KeyOwner
    owner_project_access: Literal["active"] = Field(
        default="active", description="Access of the owner to the project. Always `active`."
    )

    @classmethod
    def from_record(cls, key: ApiKey, last_used_at: int | None = None) -> Self:
        """The API object for a record."""
        owner_id = key.service_account_id or key.id
        holder = KeyHolder(id=owner_id, name=key.name, role=key.role, created_at=key.created_at)
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            models=None if key.models is None else list(key.models),
            redacted_value=redacted(key.hint),
            previous_secrets=_valid(key.old_secrets),
            expires_at=key.expires_at,
            last_used_at=last_used_at,
            allowed_ips=None if key.allowed_ips is None else list(key.allowed_ips),
            created_at=key.created_at,
            limits=key.limits,
            owner=KeyOwner(service_account=holder),
        )


def redacted(hint: str) -> str:
    """A secret of which only the last characters are shown."""
    return f"sk-ft-…{hint}"


def _valid(secrets: Sequence[OldSecret]) -> list[PreviousSecret]:
    now_s = clock.now_s()
    return [
        PreviousSecret(redacted_value=redacted(old.hint), expires_at=old.expires_at)
        for old in secrets
        if old.expires_at > now_s
    ]


class NewKeyObject(KeyObject):
    """A newly created API key. This is the only response that contains the secret."""

    value: str = Field(description="Secret of the key, shown only once.")
