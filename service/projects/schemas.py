"""Projects and keys on the wire, shaped as OpenAI's organization objects."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.core.limits import NO_LIMITS, Limits
from service.projects.records import ApiKey, Project, Role


class CreateProject(BaseModel):
    """Body of a project's creation."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", examples=["acme"])
    limits: Limits = NO_LIMITS


class UpdateLimits(BaseModel):
    """Body of an update of a project or key: limits that are not named stay as they are."""

    model_config = ConfigDict(extra="forbid")

    limits: Limits


class ProjectObject(BaseModel):
    """A tenant."""

    id: str = Field(description="`proj_` and letters.")
    object: Literal["organization.project"] = "organization.project"
    name: str = Field(description="As it stands in the names of its models.")
    created_at: int = Field(description="Seconds since 1970, UTC.")
    status: Literal["active"] = "active"
    limits: Limits = Field(description="That were set for it.")

    @classmethod
    def of(cls, project: Project) -> Self:
        """The wire form of a record."""
        return cls(
            id=project.id,
            name=project.name,
            created_at=project.created_at,
            limits=project.limits,
        )


class CreateKey(BaseModel):
    """Body of a key's creation."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, examples=["backend"])
    role: Role = Field(default=Role.MEMBER, description="`admin` may manage all projects.")
    limits: Limits = NO_LIMITS


class KeyObject(BaseModel):
    """A key without its secret."""

    id: str = Field(description="`key_` and letters.")
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str = Field(description="What it is for, in your words.")
    role: Role
    redacted_value: str = Field(description="The last characters of the secret.")
    created_at: int = Field(description="Seconds since 1970, UTC.")
    limits: Limits = Field(description="That were set for it, within its project's.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The wire form of a record."""
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            redacted_value=f"sk-ft-…{key.hint}",
            created_at=key.created_at,
            limits=key.limits,
        )


class NewKeyObject(KeyObject):
    """A key just made: the only answer that ever holds the secret."""

    value: str = Field(description="The secret, shown this once.")


class Deleted(BaseModel):
    """What a delete answers."""

    id: str = Field(description="Of what is gone.")
    object: str = Field(description="What it was.")
    deleted: Literal[True] = True
