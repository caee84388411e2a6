"""Request and response schemas of projects and keys, modeled on OpenAI's organization objects."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.core.limits import NO_LIMITS, Limits
from service.projects.records import ApiKey, Project, Role

KeyName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
ModelNames = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=512)]],
    Field(min_length=1, max_length=100),
]


class CreateProject(BaseModel):
    """Request to create a project."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", examples=["acme"])
    limits: Limits = NO_LIMITS


class UpdateLimits(BaseModel):
    """Request to update the limits of a project. Omitted limits stay unchanged."""

    model_config = ConfigDict(extra="forbid")

    limits: Limits


class ProjectObject(BaseModel):
    """A project (tenant)."""

    id: str = Field(description="ID of the project, prefixed with `proj_`.")
    object: Literal["organization.project"] = "organization.project"
    name: str = Field(description="Name of the project, as used in its model names.")
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    status: Literal["active"] = "active"
    limits: Limits = Field(description="Limits set for the project.")

    @classmethod
    def of(cls, project: Project) -> Self:
        """The API object for a record."""
        return cls(
            id=project.id,
            name=project.name,
            created_at=project.created_at,
            limits=project.limits,
        )


class CreateKey(BaseModel):
    """Request to create an API key."""

    model_config = ConfigDict(extra="forbid")

    name: KeyName = Field(examples=["backend"])
    role: Role = Field(
        default=Role.MEMBER,
        description="Role of the key. It cannot have more permissions than the role of the key "
        "that creates it.",
    )
    models: ModelNames | None = Field(
        default=None,
        description="The only models of a key with the role `inference`: names of base models, "
        "trained models or aliases. An alias follows its target. `null` allows all.",
    )
    limits: Limits = NO_LIMITS


class UpdateKey(BaseModel):
    """Request to update an API key. Omitted fields stay unchanged."""

    model_config = ConfigDict(extra="forbid")

    name: KeyName | None = Field(default=None, description="New name of the key.")
    role: Role | None = Field(
        default=None,
        description="New role of the key. Neither it nor the present role can have more "
        "permissions than the role of the key that changes it.",
    )
    models: ModelNames | None = Field(
        default=None,
        description="New list of the only models of a key with the role `inference`. `null` "
        "allows all.",
    )
    limits: Limits = Field(
        default=NO_LIMITS, description="Limits to change. Omitted limits stay unchanged."
    )


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
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    limits: Limits = Field(description="Limits set for the key, within those of its project.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The API object for a record."""
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            models=None if key.models is None else list(key.models),
            redacted_value=f"sk-ft-…{key.hint}",
            created_at=key.created_at,
            limits=key.limits,
        )


class NewKeyObject(KeyObject):
    """A newly created API key. This is the only response that contains the secret."""

    value: str = Field(description="Secret of the key, shown only once.")


class Deleted(BaseModel):
    """Response to deleting an object."""

    id: str = Field(description="ID of the deleted object.")
    object: str = Field(description="Type of the deleted object.")
    deleted: Literal[True] = True
