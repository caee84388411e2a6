"""Request and response schemas of the aliases API."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)

from service.core import clock
from service.models.aliases.records import AliasRecord, Change, Target
from service.models.aliases.suites import Schedule, ScheduleInvalid, Suite, next_time
from service.verdict.gate import MAX_CONDITIONS, GateInvalid, parse_gate
from service.web.names import VisibleName

_EXAMPLE = "ft:smollm2-135m-instruct:acme:support:{}"
GATE_EXAMPLE = {"chrf_gain": ">=5", "forgetting": "<=2", "memorized": "==0", "parity": "checked"}
ModelName = Annotated[str, Field(min_length=1, max_length=512)]


def _readable(gate: dict[str, str]) -> dict[str, str]:
    try:
        parse_gate(gate)
    except GateInvalid as e:
        raise ValueError(e.message) from e
    return gate


Gate = Annotated[
    dict[str, Annotated[str, Field(max_length=64)]],
    Field(max_length=MAX_CONDITIONS, examples=[GATE_EXAMPLE]),
    AfterValidator(_readable),
]
"""Conditions on the figures of an evaluation, of an alias or a job."""


def _cron(text: str) -> str:
    try:
        next_time(text, clock.now_s())
    except ScheduleInvalid as e:
        raise ValueError(str(e)) from e
    return text


Cron = Annotated[str, Field(max_length=128, examples=["0 3 * * *"]), AfterValidator(_cron)]
MAX_SUITES = 10


class AliasSuite(BaseModel):
    """An eval that a new model must pass before the alias points at it."""

    model_config = ConfigDict(extra="forbid", strict=True, from_attributes=True)

    eval_id: str = Field(max_length=128, description="ID of the eval.")
    run_id: str = Field(
        max_length=128,
        description="ID of a completed run of the eval, the baseline. Its items, prompt and "
        "parameters are used again with the new model.",
    )
    metric: str = Field(
        default="passed",
        max_length=256,
        description="`passed`, the share of items that all graders pass, or the name of a grader "
        "whose scores are from 0 to 1.",
    )
    min_difference: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        default=None,
        description="Bound for the lower limit of the 95% interval of the mean difference to the "
        "baseline.",
        examples=[-0.05],
    )
    min_score: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Bound for the lower limit of the 95% interval of the mean score.",
        examples=[0.8],
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.min_difference is None and self.min_score is None:
            raise ValueError("give 'min_difference', 'min_score' or both")
        return self


class TargetShare(BaseModel):
    """A target model and its share of the requests."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: ModelName = Field(description="Name of a base model or a trained model.")
    weight: Annotated[StrictInt, Field(ge=1, le=100)] = Field(
        description="Percentage of requests routed to this model, as an integer."
    )


class SetAlias(BaseModel):
    """Request to set an alias: either `model`, or `targets` to split traffic between two models."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
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

    model: ModelName | None = Field(default=None, description="Model that receives all requests.")
    targets: Annotated[list[TargetShare], Field(min_length=1, max_length=2)] | None = Field(
        default=None,
        description="Models that share the requests by weight. The weights must sum to 100.",
    )
    gate: Gate | None = Field(
        default=None,
        description="Conditions that the evaluation of a trained model must meet before the alias "
        "points at it. A key is a figure of the evaluation, such as `chrf_gain` or `memorized`; a "
        "condition is `>=`, `>`, `<=`, `<` or `==` and a number, or `checked` for `parity`. The "
        "alias keeps its gate if the field is missing; `{}` removes it.",
    )
    force: StrictBool = Field(
        default=False,
        description="Whether to change the targets even if they do not meet the gate of the alias "
        "or that of their job, or the bounds of the suites. The history records the failed "
        "conditions.",
    )
    suites: Annotated[list[AliasSuite], Field(max_length=MAX_SUITES)] | None = Field(
        default=None,
        description="Evals that a new model must pass before the alias points at it. An alias "
        "check runs them. The model of a suite's own run needs none. The alias keeps its suites if "
        "the field is missing; `[]` removes them, which needs a `reason`.",
    )
    schedule: Cron | None = Field(
        default=None,
        description="Cron expression in UTC of the times at which the suites are run again on the "
        "alias's models. The alias keeps its schedule if the field is missing; null removes it.",
    )
    reason: Annotated[VisibleName, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="Reason for `force`, required to override suites, and to remove one or lower "
        "its bound. The history and the audit log record it.",
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

    def chosen_suites(self) -> tuple[Suite, ...] | None:
        """The suites as records; None to keep them."""
        if self.suites is None:
            return None
        return tuple(Suite(**suite.model_dump()) for suite in self.suites)

    def chosen_schedule(self, key_id: str) -> Schedule | Literal["keep"] | None:
        """The schedule as a record, for which this key pays."""
        if "schedule" not in self.model_fields_set:
            return "keep"
        return None if self.schedule is None else Schedule(cron=self.schedule, key_id=key_id)

    def chosen(self) -> tuple[Target, ...]:
        """The targets as records."""
        if self.targets is None:
            assert self.model is not None  # ensured by the validator
            return (Target(model=self.model),)
        return tuple(Target(model=t.model, weight=t.weight) for t in self.targets)


class AliasObject(BaseModel):
    """A project-defined name for a model, or for a split between two models."""

    id: str = Field(description="Name of the alias, to use as the model name in requests.")
    object: Literal["alias"] = "alias"
    created_at: int = Field(description="Creation time, as a Unix timestamp in seconds.")
    updated_at: int = Field(description="Time of the last change, as a Unix timestamp in seconds.")
    generation: int = Field(
        description="Version number of the alias. Starts at 1 and increases by 1 with each change."
    )
    etag: str = Field(description="Entity tag of the alias, to be sent as `If-Match` in changes.")
    targets: list[TargetShare] = Field(description="Models that receive the requests.")
    gate: dict[str, str] = Field(
        default={},
        description="Conditions that the evaluation of a trained model must meet before the alias "
        "points at it; empty if there are none.",
        examples=[GATE_EXAMPLE],
    )
    suites: list[AliasSuite] = Field(
        default=[], description="Evals that a new model must pass before the alias points at it."
    )
    schedule: str | None = Field(
        default=None,
        description="Cron expression in UTC of the times at which the suites are run again; null "
        "if there is none.",
    )
    next_check_at: int | None = Field(
        default=None,
        description="Time of the next check by the schedule, as a Unix timestamp in seconds; null "
        "without a schedule or suites.",
    )

    @classmethod
    def from_record(cls, record: AliasRecord) -> Self:
        """The API object for a record."""
        schedule = record.schedule if record.suites else None
        return cls(
            id=record.id,
            created_at=record.created_at,
            updated_at=record.updated_at,
            generation=record.generation,
            etag=record.etag,
            targets=shares(record.targets),
            gate=record.gate,
            suites=[AliasSuite.model_validate(suite) for suite in record.suites],
            schedule=record.schedule and record.schedule.cron,
            next_check_at=schedule and next_time(schedule.cron, clock.now_s()),
        )


class FailedConditionObject(BaseModel):
    """A condition of a gate that a model did not meet."""

    model: str = Field(description="Name of the model.")
    key: str = Field(description="Key of the condition.", examples=["chrf_gain"])
    condition: str = Field(description="Condition on the figure.", examples=[">=5"])
    measured: float | str | None = Field(
        description="Figure of the model's evaluation; null if it was not measured.", examples=[2.1]
    )
    reason: str | None = Field(
        description="Reason why the figure was not measured; otherwise null."
    )
    gate: Literal["alias", "job", "suite"] = Field(
        default="alias",
        description="Owner of the gate: the alias, the job that trained the model, or a suite.",
    )


class AliasChange(BaseModel):
    """A change to an alias."""

    id: str = Field(description="`etag` of the alias after the change.")
    object: Literal["alias.change"] = "alias.change"
    generation: int = Field(description="Generation of the alias after the change.")
    created_at: int = Field(description="Time of the change, as a Unix timestamp in seconds.")
    action: Literal["set", "rollback"] = Field(description="Type of the change.")
    api_key_id: str = Field(description="ID of the API key that made the change.")
    previous_targets: list[TargetShare] = Field(
        description="Targets before the change; empty if the alias was new."
    )
    targets: list[TargetShare] = Field(
        description="Targets after the change. They equal `previous_targets` if only the gate was "
        "changed."
    )
    gate: dict[str, str] = Field(
        default={}, description="Gate after the change; empty if there is none."
    )
    forced: bool = Field(
        default=False, description="Whether the change was made although the gate failed."
    )
    failed_conditions: list[FailedConditionObject] = Field(
        default=[], description="Conditions that the targets did not meet; empty unless `forced`."
    )
    suites: list[AliasSuite] = Field(
        default=[], description="Suites after the change; empty if there are none."
    )
    loosened: bool = Field(
        default=False, description="Whether a suite was removed, or a bound of one lowered."
    )
    reason: str | None = Field(
        default=None,
        description="Reason why the conditions were overridden, or suites loosened; or null.",
    )

    @classmethod
    def from_record(cls, change: Change) -> Self:
        """The API object for a change."""
        return cls(
            id=change.id,
            generation=change.generation,
            created_at=change.created_at,
            action=change.action,
            api_key_id=change.key_id,
            previous_targets=shares(change.before),
            targets=shares(change.after),
            gate=change.gate,
            forced=bool(change.failed),
            failed_conditions=[FailedConditionObject(**one.model_dump()) for one in change.failed],
            suites=[AliasSuite.model_validate(suite) for suite in change.suites],
            loosened=change.loosened,
            reason=change.reason,
        )


def shares(targets: tuple[Target, ...]) -> list[TargetShare]:
    """The API objects for targets."""
    return [TargetShare(model=t.model, weight=t.weight) for t in targets]
