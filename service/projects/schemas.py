"""Request and response schemas of projects and keys, modeled on OpenAI's organization objects."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.core.limits import NO_LIMITS, Limits
from service.projects.records import ApiKey, Project, Role


class CreateProject(BaseModel):
    """Request to create a project."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", examples=["acme"])
    limits: Limits = NO_LIMITS


class UpdateLimits(BaseModel):
    """Request to update the limits of a project or key. Omitted limits stay unchanged."""

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

    name: str = Field(min_length=1, max_length=100, examples=["backend"])
    role: Role = Field(
        default=Role.MEMBER,
        description="Role of the key. `admin` keys may manage all projects.",
    )
    limits: Limits = NO_LIMITS


class KeyObject(BaseModel):
    """An API key without its secret."""

    id: str = Field(description="ID of the key, prefixed with `key_`.")
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str = Field(description="Name of the key.")
    role: Role
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
