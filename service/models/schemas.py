"""Models on the wire."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field

from service.models.aliases.records import AliasRecord
from service.models.aliases.schemas import TargetShare, shares
from service.models.catalogue import BaseModelEntry
from service.models.records import ModelRecord


class ModelObject(BaseModel):
    """A model that can be asked for by its id. `base_model` and what follows is ours."""

    id: str = Field(description="The name to ask for.")
    object: Literal["model"] = "model"
    created: int = Field(description="Seconds since 1970, UTC.")
    owned_by: str = Field(description="`system`, or the project.")
    base_model: str | None = Field(
        default=None, description="Of a trained model: what it was trained on."
    )
    license: str | None = Field(default=None, description="Of a base model.")
    context_length: int | None = Field(
        default=None, description="Of a base model: tokens of prompt and answer together."
    )
    languages: list[str] | None = Field(
        default=None, description="Of a base model, as the operator named them."
    )
    available: bool | None = Field(
        default=None,
        description="Of a base model: whether an engine serves it, and its trained models, now.",
    )
    fine_tuning_job: str | None = Field(
        default=None, description="Of a trained model: the job that made it."
    )
    alias_of: list[TargetShare] | None = Field(
        default=None, description="Of an alias: the models that it stands for."
    )

    @classmethod
    def of_base(cls, entry: BaseModelEntry, *, available: bool) -> Self:
        """The wire form of a catalogue entry; its path is nobody's business."""
        return cls(
            id=entry.id,
            created=entry.created_at,
            owned_by="system",
            license=entry.license,
            context_length=entry.context_length,
            languages=list(entry.languages),
            available=available,
        )

    @classmethod
    def of_adapter(cls, record: ModelRecord, project_name: str) -> Self:
        """The wire form of a trained model."""
        return cls(
            id=record.id,
            created=record.created_at,
            owned_by=project_name,
            base_model=record.base_model,
            fine_tuning_job=record.job_id,
        )

    @classmethod
    def of_alias(cls, record: AliasRecord, project_name: str) -> Self:
        """The wire form of an alias, which is asked for as a model is."""
        return cls(
            id=record.id,
            created=record.created_at,
            owned_by=project_name,
            alias_of=shares(record.targets),
        )


class ModelDeleted(BaseModel):
    """What deleting a model answers."""

    id: str = Field(description="Of the model that is gone.")
    object: Literal["model"] = "model"
    deleted: Literal[True] = True
