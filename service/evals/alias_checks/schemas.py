"""Wire types of checks of aliases."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.evals.alias_checks.records import CheckRecord, CheckStatus
from service.models.aliases.schemas import ModelName
from service.web.operations import Operation, shared_fields
from service.web.validation import Metadata


class CreateAliasCheck(BaseModel):
    """Request to run the suites of an alias."""

    model_config = ConfigDict(extra="forbid", strict=True)

    alias: str = Field(max_length=128, description="Name of the alias.")
    model: ModelName | None = Field(
        default=None,
        description="Model to check: a base model or a trained model. Defaults to the models that "
        "the alias points at.",
    )
    move: bool = Field(
        default=False,
        description="Whether to point the alias at `model` if it passes. The alias must not change "
        "in the meantime.",
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the check; up to 16."
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.move and self.model is None:
            raise ValueError("'move' needs a 'model'")
        return self


class AliasCheckRun(BaseModel):
    """Run of a suite with a model."""

    model_config = ConfigDict(protected_namespaces=())

    model: str = Field(description="Model that was checked.")
    eval_id: str = Field(description="ID of the suite's eval.")
    baseline_run_id: str = Field(description="ID of the run that the suite compares with.")
    run_id: str = Field(description="ID of the run. It is created when there is room for it.")
    metric: str = Field(description="`passed`, or the name of a grader.")
    min_difference: float | None = Field(description="Bound of `difference_low`, or null.")
    min_score: float | None = Field(description="Bound of `score_low`, or null.")
    difference_low: float | None = Field(
        description="Lower limit of the 95% interval of the difference to the baseline; null until "
        "it is known, and if an item could not be answered or graded."
    )
    difference_mean: float | None = Field(
        default=None, description="Mean difference to the baseline; null like its lower limit."
    )
    difference_high: float | None = Field(
        default=None, description="Upper limit of the interval; null like the lower one."
    )
    score_low: float | None = Field(
        description="Lower limit of the 95% interval of the mean score; null like the other."
    )
    score_mean: float | None = Field(
        default=None, description="Mean score; null like its lower limit."
    )
    score_high: float | None = Field(
        default=None, description="Upper limit of the interval; null like the lower one."
    )
    passed: bool = Field(description="Whether no limit is below its bound.")


class AliasCheckResult(BaseModel):
    """Outcome of a completed check."""

    passed: bool = Field(description="Whether no lower limit is below its bound.")
    moved: bool = Field(description="Whether the alias points at the model because of the check.")


class AliasCheck(Operation):
    """Check of an alias: its suites, run with a model."""

    id: str = Field(description="ID of the check. Starts with `aliascheck-`.")
    object: Literal["alias.check"] = "alias.check"
    alias: str = Field(description="Name of the alias.")
    move: bool = Field(description="Whether the alias moves to the model if it passes.")
    scheduled: bool = Field(description="Whether the alias's schedule created the check.")
    runs: list[AliasCheckRun] = Field(description="Runs of the suites.")
    result: AliasCheckResult | None = Field(
        description="Outcome; null unless the status is `completed`."
    )

    @classmethod
    def from_record(cls, record: CheckRecord) -> Self:
        """Build the API object of a record."""
        is_completed = record.status is CheckStatus.COMPLETED
        return cls.model_validate(
            {
                **shared_fields(record),
                **record.model_dump(include={"alias", "move", "scheduled"}),
                "progress": None,
                "runs": [
                    {
                        **run.model_dump(exclude={"suite"}),
                        **run.suite.model_dump(exclude={"run_id"}),
                        "baseline_run_id": run.suite.run_id,
                        "passed": run.passed,
                    }
                    for run in record.runs
                ],
                "result": {"passed": record.passed, "moved": record.moved}
                if is_completed
                else None,
            }
        )
