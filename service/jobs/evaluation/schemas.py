"""Wire types of the evaluation of a job."""

from __future__ import annotations

from typing import Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from service.jobs.evaluation.records import (
    EvaluationStatus,
    GateOutcome,
    JobEvaluation,
    Phase,
)
from service.jobs.schemas.create import BaselinePrompt
from service.models.aliases.schemas import GATE_EXAMPLE
from service.verdict.results import HumanReview, VerdictKind
from service.work.records import WorkError


class StatementObject(BaseModel):
    """A statement as a code and figures, to show it in any language."""

    code: str = Field(description="Code of the statement.", examples=["lost_general_abilities"])
    figures: dict[str, Any] = Field(
        description="Figures of the statement by name. Scores are in points (0 to 100).",
        examples=[{"lost_points": 6.1, "lost_low": 1.2, "lost_high": 11.0}],
    )


class VerdictObject(BaseModel):
    """Conclusion of an evaluation."""

    model_config = ConfigDict(extra="ignore")

    kind: VerdictKind = Field(
        description="Kind of conclusion. It is `disputed` if people's labels contradict the "
        "measure.",
        examples=["serve"],
    )
    sentence: str = Field(
        description="Conclusion in one sentence, with its figures.",
        examples=[
            (
                "Serve it: tuned beats the best prompt by 31 chrF [27, 35] on 60 rows (0 of 60 "
                "answers got much worse, at most 6%)."
            )
        ],
    )
    code: str | None = Field(
        default=None,
        description="Code of the sentence; null if an earlier version wrote it.",
        examples=["tuned_is_better"],
    )
    figures: dict[str, Any] = Field(
        default_factory=dict,
        description="Figures of the sentence by name. Scores are in points (0 to 100).",
        examples=[{"rival": "prompt", "points": 31.2, "low": 27.1, "high": 35.4, "rows": 60}],
    )
    recommendation: str = Field(description="Recommended next step.")
    recommendation_details: StatementObject | None = Field(
        default=None,
        description="The recommendation as a code and figures; null if an earlier version wrote "
        "it.",
    )
    reasons: list[str] = Field(
        default_factory=list,
        description="What people prefer, if their labels show it and they agree with each other.",
    )
    reason_details: list[StatementObject] = Field(
        default_factory=list,
        description="The reasons as codes and figures, in the same order.",
    )
    warnings: list[str] = Field(
        default_factory=list, description="Findings that do not change the conclusion."
    )
    warning_details: list[StatementObject] = Field(
        default_factory=list,
        description="The warnings as codes and figures, in the same order. Empty if an earlier "
        "version wrote them.",
    )
    rows_needed: int | None = Field(
        default=None,
        description="Number of held-out rows to add if the conclusion is `cannot_tell`.",
    )
    differences: list[dict[str, Any]] = Field(
        default_factory=list,
        description="Paired differences between columns, with 95% confidence intervals.",
    )


class EvaluationErrorObject(BaseModel):
    """Reason why an evaluation failed or was skipped."""

    code: str = Field(description="Error code.", examples=["no_held_out_rows"])
    message: str = Field(description="Explanation of the error and its remedy.")


class GateFaultObject(BaseModel):
    """A condition of a job's gate that its evaluation does not meet."""

    key: str = Field(
        description="Figure that the condition applies to. A condition on a metric or gain applies "
        "to the whole 95% interval, and thus to its limit `_low` or `_high`.",
        examples=["chrf_gain_low"],
    )
    condition: str = Field(description="Condition on the figure.", examples=[">=5"])
    measured: float | str | None = Field(
        description="Measured figure; null if it was not measured.", examples=[2.1]
    )
    reason: str | None = Field(
        description="Reason why the figure was not measured; otherwise null."
    )


class GateOutcomeObject(BaseModel):
    """Outcome of a job's gate."""

    passed: bool = Field(description="Whether the evaluation meets all conditions.")
    conditions: dict[str, str] = Field(
        description="Conditions of the gate.", examples=[GATE_EXAMPLE]
    )
    failed_conditions: list[GateFaultObject] = Field(
        description="Conditions that the evaluation does not meet."
    )

    @classmethod
    def from_outcome(cls, outcome: GateOutcome) -> Self:
        """Return the API object of an outcome."""
        return cls(
            passed=not outcome.failed,
            conditions=outcome.conditions,
            failed_conditions=[GateFaultObject(**one.model_dump()) for one in outcome.failed],
        )


class ShareObject(BaseModel):
    """Share of labels in percent, with its 95% confidence interval."""

    mean: float = Field(description="Observed share.", examples=[64.3])
    low: float = Field(description="Lower limit of the interval.", examples=[49.1])
    high: float = Field(description="Upper limit of the interval.", examples=[77.0])


class ReliabilityObject(BaseModel):
    """Agreement of reviewers with each other: Krippendorff's alpha."""

    alpha: float = Field(
        description="1 if reviewers always agree, and 0 if they agree as random labels do. From "
        "0.8, one can rely on their labels; below 0.667, they support no conclusion.",
        examples=[0.81],
    )
    low: float = Field(description="Lower limit of its 95% interval.", examples=[0.62])
    high: float = Field(description="Upper limit of its 95% interval.", examples=[0.93])
    rows: int = Field(description="Number of rows with labels of two or more reviewers.")
    disputed: int = Field(description="Number of these rows on which reviewers differ.")


class PreferenceObject(BaseModel):
    """Preference of people between the answers of two columns."""

    a: str = Field(description="Column that is compared.", examples=["tuned"])
    b: str = Field(description="Column that it is compared with.", examples=["prompt"])
    labels: int = Field(description="Number of labels.")
    rows: int = Field(description="Number of labeled rows.")
    a_better: int = Field(description="Number of labels that prefer `a`.")
    ties: int = Field(description="Number of labels without a preference.")
    b_better: int = Field(description="Number of labels that prefer `b`.")
    win_rate: ShareObject = Field(
        description="Share of labels that prefer `a`, where a tie counts as half. The interval is "
        "clustered by prompt."
    )
    preferred: str | None = Field(
        description="Column that people prefer; null if the labels do not show one.",
        examples=["tuned"],
    )
    reliability: ReliabilityObject | None = Field(
        description="Agreement of reviewers; null if no two preferred an answer to the same row."
    )


class AgreementObject(BaseModel):
    """Agreement of people with the measure that decided, on pairs of answers."""

    metric: str = Field(description="Metric that decided the verdict.", examples=["judge"])
    agreements: float = Field(
        description="Number of pairs on which both agree; a tie of the metric counts as half.",
        examples=[29.5],
    )
    pairs: int = Field(
        description="Number of pairs of answers of which most labels prefer one.", examples=[36]
    )
    share: ShareObject = Field(description="Share of these pairs, with Wilson's interval.")
    is_human: Literal[True] = Field(default=True, description="Always true: people labeled them.")


class PositionObject(BaseModel):
    """Preference of people for the answer that was shown first."""

    first: int = Field(description="Number of labels that prefer the answer shown first.")
    second: int = Field(description="Number of labels that prefer the answer shown second.")
    share: ShareObject = Field(description="Share of the first, with Wilson's interval.")


class HumanReviewObject(BaseModel):
    """Summary of the labels that people gave to the answers of an evaluation."""

    labels: int = Field(description="Number of labels of current answers.")
    outdated: int = Field(
        description="Number of labels of answers that the evaluation no longer has, because it ran "
        "again. They do not count."
    )
    rows: int = Field(description="Number of labeled rows.")
    reviewers: int = Field(description="Number of people and keys that labeled them.")
    comparisons: list[PreferenceObject] = Field(description="Preferences by pair of columns.")
    agreement: AgreementObject | None = Field(
        description="Agreement of the measure that decided with people; null if no pair tells."
    )
    position: PositionObject | None = Field(
        description="Preference for a position; null if no label has a preference."
    )
    statements: list[StatementObject] = Field(
        description="Statements on these figures, as codes and figures."
    )
    sentences: list[str] = Field(description="The statements in English, in the same order.")

    @classmethod
    def from_review(cls, review: HumanReview, labels: int) -> Self:
        """Return the API object of a review. `labels` is the number of all labels."""
        fields = msgspec.to_builtins(review)
        return cls.model_validate({**fields, "outdated": labels - review.labels})


class JobEvaluationObject(BaseModel):
    """Evaluation of a fine-tuning job on its held-out rows."""

    object: Literal["fine_tuning.job.evaluation"] = Field(
        default="fine_tuning.job.evaluation", description="Object type."
    )
    job_id: str = Field(description="ID of the job.", examples=["ftjob-abc123"])
    model: str = Field(description="Name of the model that is evaluated.")
    status: EvaluationStatus = Field(
        description="Status of the evaluation. An evaluation is `skipped` if the job has no "
        "held-out rows or no engine serves its base model."
    )
    phase: Phase | None = Field(description="Current step; null if the evaluation has ended.")
    rows: int | None = Field(description="Number of held-out rows that are evaluated.")
    created_at: int = Field(description="Unix time in seconds at which the job succeeded.")
    finished_at: int | None = Field(
        description="Unix time in seconds at which the evaluation ended; null if it has not."
    )
    verdict: VerdictObject | None = Field(description="Conclusion; null until completed.")
    figures: dict[str, float | str] | None = Field(
        description="Measured figures by the key of a gate, such as `chrf_gain`; null until "
        "completed.",
        examples=[{"chrf_gain": 31.2, "forgetting": 0.4, "memorized": 0, "parity": "checked"}],
    )
    gate: GateOutcomeObject | None = Field(
        default=None,
        description="Outcome of the job's gate; null if the job has none, and until completed.",
    )
    human_review: HumanReviewObject | None = Field(
        default=None,
        description="What people's labels of the answers say; null if there are none, and until "
        "completed.",
    )
    error: EvaluationErrorObject | None = Field(
        description="Reason for the status `failed` or `skipped`; otherwise null."
    )

    @classmethod
    def from_record(
        cls, evaluation: JobEvaluation, human_review: HumanReviewObject | None = None
    ) -> Self:
        """Return the API object of a record."""
        is_open = evaluation.status is EvaluationStatus.IN_PROGRESS
        verdict = evaluation.verdict
        return cls(
            job_id=evaluation.id,
            model=evaluation.model,
            status=evaluation.status,
            phase=evaluation.phase if is_open else None,
            rows=evaluation.rows,
            created_at=evaluation.created_at,
            finished_at=evaluation.finished_at,
            verdict=None if verdict is None else VerdictObject.model_validate(verdict),
            figures=evaluation.figures,
            gate=None
            if evaluation.gate is None
            else GateOutcomeObject.from_outcome(evaluation.gate),
            human_review=human_review,
            error=_error(evaluation.error),
        )


class RestartEvaluation(BaseModel):
    """Request to run the evaluation of a job again."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    baseline_prompt: BaselinePrompt | None = Field(
        default=None,
        description="System message of the base model, to compare the trained model with a "
        "prompted base model.",
    )


def _error(failure: WorkError | None) -> EvaluationErrorObject | None:
    if failure is None:
        return None
    return EvaluationErrorObject(code=failure.code, message=failure.message)
