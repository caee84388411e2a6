"""Wire types of comparisons of runs."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from service.evals.comparison.compare import Change, ComparedItem, ComparedRun
from service.evals.records import ItemStatus, RunRecord, RunStatus, item_id


class EvalComparisonScore(BaseModel):
    """Mean score of a run, with its 95% confidence interval."""

    model_config = ConfigDict(from_attributes=True)

    metric: str = Field(
        description="`passed`, the share of items that all graders passed, or the name of a grader."
    )
    mean: float | None = Field(description="Mean score; null if there are no scores.")
    low: float | None = Field(
        description="Lower limit of the interval; null if scores are not from 0 to 1."
    )
    high: float | None = Field(
        description="Upper limit of the interval; null if scores are not from 0 to 1."
    )
    n: int = Field(description="Number of items with a score.")


class EvalComparisonDifference(EvalComparisonScore):
    """Mean difference between a run and the baseline, with its 95% confidence interval. It is
    positive if the run is better.
    """

    n: int = Field(description="Number of items with a score in both runs.")
    missing: int = Field(description="Number of items without a score in both runs.")
    better: int = Field(description="Number of items that got better.")
    equal: int = Field(description="Number of items with equal scores.")
    worse: int = Field(description="Number of items that got worse.")


class EvalComparisonRun(BaseModel):
    """Figures of one run of a comparison."""

    run_id: str = Field(description="ID of the run.")
    name: str = Field(description="Name of the run.")
    model: str = Field(description="Sampled model; empty if the answers are given.")
    status: RunStatus = Field(description="Status of the run.")
    items: int = Field(description="Number of items with an outcome.")
    errored: int = Field(description="Number of items that could not be sampled or graded.")
    scores: list[EvalComparisonScore] = Field(description="Mean scores by metric.")
    differences: list[EvalComparisonDifference] = Field(
        description="Differences to the baseline by metric; empty for the baseline itself."
    )
    prompt_tokens: float | None = Field(description="Mean prompt tokens per sampled answer.")
    completion_tokens: float | None = Field(description="Mean generated tokens per sampled answer.")
    latency_s: float | None = Field(
        description="Mean seconds from a request to its answer; null if nothing was sampled."
    )
    latency_p95_s: float | None = Field(
        description="Seconds within which 95% of the answers came; null if nothing was sampled."
    )

    @classmethod
    def of(cls, run: RunRecord, found: ComparedRun) -> Self:
        """Return the API object of a run and its figures."""
        return cls(
            run_id=run.id,
            name=run.name,
            model=run.model or "",
            status=run.status,
            items=run.tally.done,
            errored=run.tally.errored,
            scores=[EvalComparisonScore.model_validate(one) for one in found.scores],
            differences=[EvalComparisonDifference.model_validate(d) for d in found.differences],
            prompt_tokens=found.prompt_tokens,
            completion_tokens=found.completion_tokens,
            latency_s=found.latency_s,
            latency_p95_s=found.latency_p95_s,
        )


class EvalComparisonOutput(BaseModel):
    """Outcome of an item in one run."""

    run_id: str = Field(description="ID of the run.")
    output_item_id: str = Field(description="ID of the output item.")
    status: ItemStatus = Field(description="Status of the output item.")
    answer: str = Field(description="Text of the answer.")
    scores: dict[str, float] = Field(description="Scores by grader.")
    masked_values: int | None = Field(
        default=None,
        description="Number of labels in place of personal data; null if it is not masked.",
    )

    @classmethod
    def of(cls, run: RunRecord, number: int, status: ItemStatus, body: dict[str, Any]) -> Self:
        """Return the API object of an outcome."""
        output = body["sample"]["output"]
        return cls(
            run_id=run.id,
            output_item_id=item_id(run, number),
            status=status,
            answer=(output[0].get("content") or "") if output else "",
            scores={one["name"]: one["score"] for one in body["results"] if not one.get("errors")},
            masked_values=body.get("masked_values"),
        )


class EvalComparisonItem(BaseModel):
    """Item of a comparison, with its outcome in each run that has one."""

    id: str = Field(description="ID of the output item in the first of the runs that has it.")
    change: Change = Field(
        description="Change from the baseline, or the worst one of several runs. `missing`: a run "
        "has no score."
    )
    difference: float | None = Field(description="Difference of the mean score, or null.")
    datasource_item: dict[str, Any] = Field(description="Item of the data source.")
    outputs: list[EvalComparisonOutput] = Field(description="Outcomes in the order of the runs.")

    @classmethod
    def of(cls, found: ComparedItem, item: dict[str, Any], outputs: list[Any]) -> Self:
        """Return the API object of an item."""
        return cls(
            id=outputs[0].output_item_id,
            change=found.change,
            difference=found.difference,
            datasource_item=item,
            outputs=outputs,
        )


class EvalComparison(BaseModel):
    """Comparison of runs with the first of them, the baseline."""

    object: Literal["eval.comparison"] = "eval.comparison"
    eval_id: str = Field(description="ID of the eval.")
    runs: list[EvalComparisonRun] = Field(description="Runs as requested. The baseline is first.")
    changes: dict[Change, int] = Field(
        default={}, description="Number of items by change. A change that no item has is missing."
    )
    items: list[EvalComparisonItem] = Field(
        description="Page of items. Those that got worse are first."
    )
    has_more: bool = Field(description="Whether there are more items after this page.")
    last_id: str | None = Field(
        description="ID of the last item on the page. Send it as `after` to get the next page."
    )
    masked_values: int | None = Field(
        default=None,
        description="Number of labels in place of personal data; null if it is not masked.",
    )
