"""Wire types of advice before a training."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.jobs.advice.records import AdviceRecord
from service.jobs.evaluation.schemas import StatementObject
from service.jobs.planning.job_plan import EstimateObject
from service.verdict.results import Recommendation
from service.web.operations import Operation, shared_fields
from service.web.validation import Metadata


class CreateAdvice(BaseModel):
    """Request for advice before a training."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    training_file_id: str = Field(
        min_length=1, max_length=128, examples=["file-abc123"], description="ID of the file."
    )
    model: str = Field(
        min_length=1,
        max_length=256,
        examples=["smollm2-135m-instruct"],
        description="ID of the base model. An engine must serve it.",
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs attached to the advice; up to 16."
    )


class AdviceScore(BaseModel):
    """Mean score of a model in points (0 to 100), with its 95% confidence interval."""

    points: float = Field(description="Mean score.", examples=[21.4])
    low: float = Field(description="Lower limit of the interval.")
    high: float = Field(description="Upper limit of the interval.")
    rows: int = Field(description="Number of rows with a score.")


class PromptScore(AdviceScore):
    """Mean score of the base model with the best prompt."""

    example_lines: list[int] = Field(
        default=[],
        description="Lines of the training file that the prompt shows as examples. Empty if it "
        "shows none, or the rows that are most similar to each question.",
    )


class PointsInterval(BaseModel):
    """Difference in points, with its 95% confidence interval."""

    points: float = Field(description="Mean difference.", examples=[9.8])
    low: float = Field(description="Lower limit of the interval.")
    high: float = Field(description="Upper limit of the interval.")


class ExpectedGain(BaseModel):
    """Gain of earlier models of the project over the best prompt, on the same base model."""

    points: float = Field(description="Median gain in points.", examples=[18.5])
    low: float = Field(description="Smallest gain in points.")
    high: float = Field(description="Largest gain in points.")
    models: int = Field(description="Number of models that were evaluated.")


class RetrievalSigns(BaseModel):
    """Result of a keyword search (BM25) for the answers of some rows in the other rows."""

    rows: int = Field(description="Number of rows that were searched for.")
    facts: int = Field(description="Number of these rows whose answers are facts.")
    found: int = Field(description="Number of these rows whose answer the search found.")
    base_right: int = Field(
        description="Number of these rows that the base model answered correctly."
    )


class FindingObject(BaseModel):
    """A finding of the report of the training file."""

    code: str = Field(description="Machine-readable code.", examples=["contradictions"])
    title: str = Field(description="Finding in one line.")
    variant: str = Field(
        default="",
        description="Code of the wording of the title, of which a finding may have several. Empty "
        "if an earlier version wrote it.",
        examples=["conflicting_answers"],
    )
    figures: dict[str, Any] = Field(
        default_factory=dict,
        description="Figures of the title by name.",
        examples=[{"groups": 3}],
    )


class AdviceResult(BaseModel):
    """Completed advice before a training."""

    recommendation: Recommendation = Field(
        description="What to do: `train`, use a `prompt`, use `retrieval`, `collect` rows, or "
        "`fix_data` first.",
    )
    sentence: str = Field(
        description="Recommendation in one sentence, with its figures.",
        examples=["Train: the base model has 21 and its best prompt has 31 of 100 chrF points."],
    )
    code: str | None = Field(default=None, description="Code of the sentence.", examples=["train"])
    figures: dict[str, Any] | None = Field(
        default=None,
        description="Figures of the sentence by name. Scores are in points (0 to 100).",
        examples=[{"base_points": 21.4, "prompt_points": 31.2, "metric": "chrf", "rows": 40}],
    )
    rows: int | None = Field(default=None, description="Number of rows in the training file.")
    metric: str | None = Field(
        default=None, description="Metric of the scores, chosen by the answers.", examples=["chrf"]
    )
    base: AdviceScore | None = Field(default=None, description="Score of the base model.")
    prompt: PromptScore | None = Field(
        default=None, description="Score of the base model with the best prompt."
    )
    prompt_gain: PointsInterval | None = Field(
        default=None, description="Gain of the best prompt over the base model."
    )
    headroom: float | None = Field(
        default=None,
        description="Points between the better of the two scores and 100, which no training can "
        "exceed.",
    )
    expected_gain: ExpectedGain | None = Field(
        default=None,
        description="Expected gain of a training over the best prompt, based on at least three "
        "earlier models; null if unknown.",
    )
    retrieval: RetrievalSigns | None = Field(
        default=None, description="Result of a keyword search, which needs no training."
    )
    findings: list[FindingObject] | None = Field(
        default=None, description="Findings of the file's report, the most urgent first."
    )
    estimate: EstimateObject | None = Field(
        default=None, description="Estimate of a job with default settings."
    )
    notes: list[str] | None = Field(
        default=None, description="Skipped checks, and reasons why a job would be refused."
    )
    note_details: list[StatementObject] | None = Field(
        default=None, description="The notes as codes and figures, in the same order."
    )


class TrainingAdvice(Operation):
    """Advice before a training."""

    id: str = Field(description="ID of the advice. Starts with `ftadvice-`.")
    object: Literal["advice"] = "advice"
    training_file_id: str = Field(description="ID of the training file.")
    model: str = Field(description="ID of the base model.")
    expires_at: int = Field(description="Time at which the advice is deleted, in Unix seconds.")
    result: AdviceResult | None = Field(
        description="The advice; null unless the status is `completed`."
    )

    @classmethod
    def from_record(cls, record: AdviceRecord) -> Self:
        """Build the API object of a record."""
        return cls.model_validate(
            {
                **shared_fields(record),
                "training_file_id": record.training_file,
                "model": record.model,
                "expires_at": record.expires_at,
                "progress": None,
                "result": record.result,
            }
        )
