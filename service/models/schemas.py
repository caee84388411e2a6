"""Response schemas of the models API."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, Field

from service.models.aliases.records import AliasRecord
from service.models.aliases.schemas import TargetShare, shares
from service.models.catalogue import BaseModelEntry
from service.models.parsers import Capability
from service.models.records import ModelOrigin, ModelRecord


class Base(NamedTuple):
    """A base model of the catalog, and its capabilities; None if they are not known."""

    entry: BaseModelEntry
    capabilities: list[Capability] | None

    def shared_fields(self) -> dict[str, Any]:
        """Return the fields that the model shares with its trained models."""
        return {
            "license": self.entry.license,
            "context_length": self.entry.context_length,
            "languages": list(self.entry.languages),
            "capabilities": self.capabilities,
        }


class ModelObject(BaseModel):
    """A model available for inference. `base_model` and later fields extend OpenAI's schema."""

    id: str = Field(description="Model name to use in requests.")
    object: Literal["model"] = "model"
    created: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    owned_by: str = Field(
        description="Owner of the model: `system` for base models, or the name of the project that "
        "trained it or has the alias."
    )
    base_model: str | None = Field(
        default=None, description="Base model of a trained model; null for other models."
    )
    license: str | None = Field(
        default=None, description="License of the base model; null for aliases."
    )
    context_length: int | None = Field(
        default=None,
        description="Context length of the base model in tokens, prompt and completion together; "
        "null for aliases.",
    )
    languages: list[str] | None = Field(
        default=None,
        description="Languages of the base model, as declared by the operator; null for aliases.",
    )
    capabilities: list[Capability] | None = Field(
        default=None,
        description="What the base model supports besides chat. `tools`: tool calls. "
        "`reasoning`: reasoning before the answer, returned separately. Null for aliases, and "
        "if it is unknown.",
    )
    available: bool | None = Field(
        default=None,
        description="Whether an engine currently serves a base model and the models trained on "
        "it; null for other models.",
    )
    fine_tuning_job: str | None = Field(
        default=None,
        description="ID of the job that created a trained model; null for other models.",
    )
    origin: ModelOrigin | None = Field(
        default=None, description="Origin of an imported model; null for other models."
    )
    created_by: str | None = Field(
        default=None,
        description="ID of the service account that trained or imported the model; otherwise of "
        "the bearer of a token of the identity provider, or of the API key. This person cannot "
        "approve it. Null if it is unknown, for models of other projects, and for other models.",
    )
    alias_of: list[TargetShare] | None = Field(
        default=None, description="Targets of an alias; null for other models."
    )

    @classmethod
    def from_base(cls, base: Base, *, available: bool) -> Self:
        """The API object for a catalog entry, without its path."""
        return cls(
            id=base.entry.id,
            created=base.entry.created_at,
            owned_by="system",
            available=available,
            **base.shared_fields(),
        )

    @classmethod
    def from_adapter(
        cls, record: ModelRecord, project_name: str, base: Base | None, *, is_own: bool
    ) -> Self:
        """The API object for a trained model. `base` is None if the catalog no longer has it.

        `is_own` is whether the project that asks has the model.
        """
        return cls(
            id=record.id,
            created=record.created_at,
            owned_by=project_name,
            base_model=record.base_model,
            fine_tuning_job=record.job_id,
            origin=record.origin,
            created_by=(record.created_by or record.key_id or None) if is_own else None,
            **({} if base is None else base.shared_fields()),
        )

    @classmethod
    def from_alias(cls, record: AliasRecord, project_name: str) -> Self:
        """The API object for an alias, which is used in requests like a model."""
        return cls(
            id=record.id,
            created=record.created_at,
            owned_by=project_name,
            alias_of=shares(record.targets),
        )


class ModelDeleted(BaseModel):
    """Response to deleting a model."""

    id: str = Field(description="Name of the deleted model.")
    object: Literal["model"] = "model"
    deleted: Literal[True] = True
    receipt: str | None = Field(
        default=None, description="ID of the receipt of the erasure, which says what was erased."
    )
