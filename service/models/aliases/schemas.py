"""Aliases on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from service.models.aliases.records import AliasRecord, Change, Target

_EXAMPLE = "ft:smollm2-135m-instruct:acme:support:{}"
ModelName = Annotated[str, Field(min_length=1, max_length=512)]


class TargetShare(BaseModel):
    """A model and its share of the requests."""

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(description="A base model or a trained one.")
    weight: Annotated[StrictInt, Field(ge=1, le=100)] = Field(
        description="Whole percent of the requests that go to this model."
    )


class SetAlias(BaseModel):
    """Body of an alias: `model`, or `targets` for a split between two."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"model": _EXAMPLE.format("1x2y3z4a5b6c")},
                {
                    "targets": [
                        {"model": _EXAMPLE.format("1x2y3z4a5b6c"), "weight": 90},
                        {"model": _EXAMPLE.format("9z8y7x6w5v4u"), "weight": 10},
                    ]
                },
            ]
        },
    )

    model: ModelName | None = Field(default=None, description="All requests go there.")
    targets: Annotated[list[TargetShare], Field(min_length=1, max_length=2)] | None = Field(
        default=None, description="Or between these two, by weight; the weights sum to 100."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.model is None) is (self.targets is None):
            raise ValueError("give either 'model' or 'targets'")
        if self.targets is not None:
            if (total := sum(t.weight for t in self.targets)) != 100:
                raise ValueError(f"the weights of 'targets' sum to {total}, not to 100")
            if len({t.model for t in self.targets}) < len(self.targets):
                raise ValueError("'targets' names one model twice")
        return self

    def chosen(self) -> tuple[Target, ...]:
        """The targets as records."""
        if self.targets is None:
            assert self.model is not None  # seen to by the validator
            return (Target(model=self.model),)
        return tuple(Target(model=t.model, weight=t.weight) for t in self.targets)


class AliasObject(BaseModel):
    """A name of the project's own for one model, or for a split between two."""

    id: str = Field(description="The name to ask for.")
    object: Literal["alias"] = "alias"
    created_at: int = Field(description="Seconds since 1970, UTC.")
    updated_at: int = Field(description="Of the last change.")
    generation: int = Field(description="1, and 1 more with each change.")
    etag: str = Field(description="To be sent as `If-Match` with a change.")
    targets: list[TargetShare] = Field(description="Where requests go.")

    @classmethod
    def of(cls, record: AliasRecord) -> Self:
        """The wire form of a record."""
        return cls(
            id=record.id,
            created_at=record.created_at,
            updated_at=record.updated_at,
            generation=record.generation,
            etag=record.etag,
            targets=shares(record.targets),
        )


class AliasChange(BaseModel):
    """One change of an alias."""

    id: str = Field(description="The `etag` of the alias after this change.")
    object: Literal["alias.change"] = "alias.change"
    generation: int = Field(description="Of the alias after this change.")
    created_at: int = Field(description="Seconds since 1970, UTC.")
    action: Literal["set", "rollback"] = Field(description="What was done.")
    api_key_id: str = Field(description="The key that made the change.")
    previous_targets: list[TargetShare] = Field(description="Empty where the alias was new.")
    targets: list[TargetShare] = Field(description="Where requests went after it.")

    @classmethod
    def of(cls, change: Change) -> Self:
        """The wire form of a change."""
        return cls(
            id=change.id,
            generation=change.generation,
            created_at=change.created_at,
            action=change.action,
            api_key_id=change.key_id,
            previous_targets=shares(change.before),
            targets=shares(change.after),
        )


class AliasDeleted(BaseModel):
    """What deleting an alias answers."""

    id: str = Field(description="Of the alias that is gone.")
    object: Literal["alias"] = "alias"
    deleted: Literal[True] = True


def shares(targets: tuple[Target, ...]) -> list[TargetShare]:
    """Targets in their wire form."""
    return [TargetShare(model=t.model, weight=t.weight) for t in targets]
