"""Wire types of evals, runs and output items, in OpenAI's shapes. Extensions are marked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.core import clock
from service.evals.data_sources import DataSource
from service.evals.item_schema import CHAT_SCHEMA, row_schema
from service.evals.records import (
    EvalRecord,
    ItemRow,
    ItemStatus,
    RunRecord,
    RunStatus,
    item_id,
)
from service.evals.tally import MAX_LABEL_PAIRS
from service.grading.schemas import MAX_GRADERS, Grader
from service.inference.background.calls import ModelUsage
from service.web.names import VisibleName
from service.web.validation import Metadata

Name = Annotated[VisibleName, StringConstraints(max_length=256)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CustomDataSourceConfig(_Strict):
    """Schema of the items."""

    type: Literal["custom"]
    item_schema: dict[str, Any] = Field(
        description="JSON Schema of an item. References may point only into the same schema, "
        "which must not be recursive.",
        examples=[{"type": "object", "properties": {"question": {"type": "string"}}}],
    )
    include_sample_schema: bool = Field(
        default=False,
        description="Whether graders may use the answer (`sample`), sampled or given.",
    )


class LogsDataSourceConfig(_Strict):
    """Stored chats as items. `stored_completions` is an older name of `logs`."""

    type: Literal["logs", "stored_completions"] = Field(
        description="`logs`, or its older name `stored_completions`."
    )
    metadata: Metadata | None = Field(
        default=None, description="Metadata that the chats of all runs must have."
    )

    @property
    def item_schema(self) -> dict[str, Any]:
        """Schema of a stored chat."""
        return CHAT_SCHEMA

    @property
    def include_sample_schema(self) -> bool:
        """Stored chats have an answer."""
        return True


class CreateEval(_Strict):
    """Request body to create an eval."""

    data_source_config: Annotated[
        CustomDataSourceConfig | LogsDataSourceConfig, Field(discriminator="type")
    ] = Field(description="Schema of the items, or which stored chats they are.")
    testing_criteria: Annotated[list[Grader], Field(min_length=1, max_length=MAX_GRADERS)] = Field(
        description="Graders of each item. Their names must be distinct."
    )
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs of your own; up to 16."
    )
    name: Name | None = Field(default=None, description="Name of the eval.")


class UpdateEval(_Strict):
    """Request body to update an eval. Omitted fields stay unchanged."""

    metadata: Metadata | None = Field(
        default=None, description="New key-value pairs; null removes them."
    )
    name: Name | None = Field(default=None, description="New name.")


class CustomDataSourceConfigObject(BaseModel):
    """Schema of a row of a run's data source."""

    model_config = ConfigDict(serialize_by_alias=True, populate_by_name=True)

    type: Literal["custom"] = "custom"
    schema_: dict[str, Any] = Field(
        alias="schema", description="JSON Schema of a row: `item`, and `sample` if it is included."
    )


class LogsDataSourceConfigObject(CustomDataSourceConfigObject):
    """Stored chats as items, and the schema of a row: `item` and `sample`."""

    type: Literal["logs", "stored_completions"] = Field(  # type: ignore[assignment]
        description="`logs`, or its older name `stored_completions`."
    )
    metadata: dict[str, str] | None = Field(
        description="Metadata that the chats of all runs must have."
    )


class EvalObject(BaseModel):
    """Eval: the schema of its items and the graders of its runs."""

    id: str = Field(description="ID of the eval, prefixed with `eval_`.")
    object: Literal["eval"] = "eval"
    created_at: int = Field(description="Unix timestamp in seconds.")
    name: str = Field(description="Name of the eval.")
    data_source_config: Annotated[
        CustomDataSourceConfigObject | LogsDataSourceConfigObject, Field(discriminator="type")
    ] = Field(description="Schema of the items, or which stored chats they are.")
    testing_criteria: list[Grader] = Field(description="Graders of each item.")
    metadata: dict[str, str] = Field(description="Key-value pairs that were set by the project.")

    @classmethod
    def from_record(cls, record: EvalRecord) -> Self:
        """Return the API object of a record."""
        return cls.model_validate(
            {
                "id": record.id,
                "created_at": record.created_at,
                "name": record.name,
                "data_source_config": {
                    "type": "custom",
                    **(record.logs or {}),
                    "schema": row_schema(
                        record.item_schema, with_sample=record.include_sample_schema
                    ),
                },
                "testing_criteria": record.testing_criteria,
                "metadata": record.metadata,
            }
        )


class EvalDeleted(BaseModel):
    """Confirmation that an eval was deleted."""

    object: Literal["eval.deleted"] = "eval.deleted"
    deleted: Literal[True] = True
    eval_id: str = Field(description="Identifier of the deleted eval.")
    receipt: str | None = Field(
        default=None, description="ID of the receipt of the erasure, which says what was erased."
    )


class CreateEvalRun(_Strict):
    """Request body to create a run."""

    data_source: DataSource = Field(description="Items of the run, and how they are answered.")
    metadata: Metadata | None = Field(
        default=None, description="Key-value pairs of your own; up to 16."
    )
    name: Name | None = Field(default=None, description="Name of the run.")


class EvalRunError(BaseModel):
    """Error of a run or of a sample."""

    code: str = Field(description="Machine-readable error code.")
    message: str = Field(description="Human-readable message.")


class EvalRunResultCounts(BaseModel):
    """Counters of the items that have an outcome."""

    total: int = Field(description="Number of items with an outcome.")
    passed: int = Field(description="Number of items that all graders passed.")
    failed: int = Field(description="Number of items that failed at least one grader.")
    errored: int = Field(description="Number of items that could not be sampled or graded.")


class EvalRunModelUsage(BaseModel):
    """Tokens of a run's requests to one model."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str = Field(description="Name of the model that answered or judged.")
    invocation_count: int = Field(description="Number of requests.")
    prompt_tokens: int = Field(description="Number of prompt tokens, including cached tokens.")
    completion_tokens: int = Field(description="Number of generated tokens.")
    total_tokens: int = Field(description="Number of all tokens.")
    cached_tokens: int = Field(description="Number of prompt tokens from the engine's cache.")


class LabelConfusion(BaseModel):
    """Table of expected and given labels."""

    model_config = ConfigDict(from_attributes=True)

    labels: list[str] = Field(description="Labels that were expected or given.")
    counts: dict[str, dict[str, int]] = Field(
        description="Number of items by expected label and, within it, given label. `(other)` "
        "counts answers that are not any of the labels.",
        examples=[{"good": {"good": 17, "bad": 3}, "bad": {"good": 5, "bad": 15}}],
    )
    n: int = Field(description="Number of items with both labels.")
    accuracy: float = Field(description="Share of the items whose labels are equal.")
    kappa: float | None = Field(
        description="Cohen's kappa: agreement beyond chance, where 1 is perfect and 0 is chance. "
        "Null if all labels are the same."
    )


class EvalRunCriterionResult(BaseModel):
    """Outcomes of one grader. `errored`, `mean_score` and `confusion` are extensions of OpenAI's
    schema.
    """

    testing_criteria: str = Field(description="Name of the grader.")
    passed: int = Field(description="Number of items that the grader passed.")
    failed: int = Field(description="Number of items that failed the grader.")
    errored: int = Field(description="Number of items that the grader could not grade.")
    mean_score: float | None = Field(description="Mean score; null if nothing was graded.")
    confusion: LabelConfusion | None = Field(
        default=None,
        description="Labels of a `label` grader, or those of people (`human_label`) and a judge. "
        f"Null if there are none, or more than {MAX_LABEL_PAIRS:,} different pairs.",
    )


class EvalRunObject(BaseModel):
    """Run of an eval. `items`, `deleted_items`, `started_at`, `finished_at` and `estimated_finish`
    are extensions of OpenAI's schema.
    """

    id: str = Field(description="ID of the run, prefixed with `evalrun_`.")
    object: Literal["eval.run"] = "eval.run"
    eval_id: str = Field(description="Identifier of the eval.")
    created_at: int = Field(description="Unix timestamp in seconds.")
    name: str = Field(description="Name of the run.")
    status: RunStatus = Field(description="Status of the run.")
    model: str = Field(
        description="Model to sample from; empty if the answers are given or stored."
    )
    data_source: DataSource = Field(description="Data source as requested.")
    error: EvalRunError | None = Field(description="Reason why the run failed, or null.")
    result_counts: EvalRunResultCounts
    per_model_usage: list[EvalRunModelUsage] = Field(
        description="Tokens by model: the sampled one, and judges."
    )
    per_testing_criteria_results: list[EvalRunCriterionResult] = Field(
        description="Outcomes by grader, in the order of the eval."
    )
    report_url: str = Field(
        description="URL of the run's output items. It requires the API key, so a browser shows "
        "how to open it."
    )
    metadata: dict[str, str] = Field(description="Key-value pairs that were set by the project.")

    # Extensions of OpenAI's schema.
    items: int | None = Field(description="Number of items; null until they are checked.")
    deleted_items: int = Field(
        description="Number of items whose stored chat was deleted, or expired, before the run "
        "read it. They have no outcome."
    )
    started_at: int | None = Field(description="Unix timestamp in seconds of the start.")
    finished_at: int | None = Field(description="Unix timestamp in seconds of the end.")
    estimated_finish: int | None = Field(
        description="Unix timestamp in seconds of the expected end; null before the first outcome "
        "and after the end."
    )

    @classmethod
    def from_record(
        cls, run: RunRecord, *, graders: list[str], content: list[Any] | None, base_url: str
    ) -> Self:
        """Return the API object of a record. `content` has the items that came with the request."""
        data_source = run.data_source
        if content is not None:
            data_source = {**data_source, "source": {"type": "file_content", "content": content}}
        tally = run.tally
        return cls.model_validate(
            {
                **run.model_dump(
                    include={
                        *("id", "eval_id", "created_at", "name", "status", "error", "metadata"),
                        *("items", "deleted_items", "started_at", "finished_at"),
                    }
                ),
                "model": run.model or "",
                "data_source": data_source,
                "result_counts": {
                    "total": tally.done,
                    "passed": tally.passed,
                    "failed": tally.failed,
                    "errored": tally.errored,
                },
                "per_model_usage": [
                    {
                        "model_name": name,
                        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                        **usage.model_dump(include=set(ModelUsage.model_fields)),
                    }
                    for name, usage in tally.usage.items()
                ],
                "per_testing_criteria_results": [
                    {
                        "testing_criteria": name,
                        "mean_score": tally.criteria[name].mean_score,
                        "confusion": tally.criteria[name].confusion,
                        **tally.criteria[name].model_dump(include={"passed", "failed", "errored"}),
                    }
                    for name in graders
                    if name in tally.criteria
                ],
                "report_url": f"{base_url}/v1/evals/{run.eval_id}/runs/{run.id}/output_items",
                "estimated_finish": run.estimated_finish(clock.now_s()),
            }
        )


class EvalRunDeleted(BaseModel):
    """Confirmation that a run was deleted."""

    object: Literal["eval.run.deleted"] = "eval.run.deleted"
    deleted: Literal[True] = True
    run_id: str = Field(description="Identifier of the deleted run.")
    receipt: str | None = Field(
        default=None, description="ID of the receipt of the erasure, which says what was erased."
    )


class OutputItemResult(BaseModel):
    """Result of one grader. `errors`, `sub_scores` and `label` are extensions of OpenAI's."""

    name: str = Field(description="Name of the grader.")
    type: str = Field(description="Type of the grader.")
    passed: bool = Field(description="Whether the grader passed the item.")
    score: float = Field(description="Score of the item; 0 if it could not be graded.")
    sample: dict[str, Any] | None = Field(description="Raw answer of a judge, or null.")
    errors: list[EvalRunError] | None = Field(
        default=None, description="Reasons why the item could not be graded."
    )
    sub_scores: dict[str, float] | None = Field(
        default=None, description="Scores of the graders that a `multi` grader combines."
    )
    label: dict[str, str | None] | None = Field(
        default=None,
        description="Labels of a `label` grader, or those of a person and a judge: `expected`, and "
        "`given`, which is null for other answers.",
    )


class SampleUsage(BaseModel):
    """Tokens of a sample."""

    total_tokens: int = Field(description="Number of tokens in the prompt and the answer.")
    completion_tokens: int = Field(description="Number of tokens in the answer.")
    prompt_tokens: int = Field(description="Number of tokens in the prompt.")
    cached_tokens: int = Field(description="Number of prompt tokens that were read from the cache.")


class SampleMessage(BaseModel):
    """Message of a prompt or an answer."""

    model_config = ConfigDict(extra="allow")

    role: str = Field(description="Role of the author.")
    content: str = Field(description="Text of the message.")


class OutputItemSample(BaseModel):
    """Prompt and answer of an item. Fields that are unknown for a given answer are empty or 0."""

    model_config = ConfigDict(protected_namespaces=())

    error: EvalRunError | None = Field(description="Reason why there is no answer, or null.")
    finish_reason: str = Field(description="Reason why the answer ended.")
    input: list[SampleMessage] = Field(description="Messages of the prompt.")
    output: list[SampleMessage] = Field(
        description="Message of the answer, with `tool_calls` if there are any."
    )
    model: str = Field(description="Name of the model that answered.")
    max_completion_tokens: int = Field(description="Maximum number of tokens of the answer.")
    seed: int = Field(description="Sampling seed.")
    temperature: float = Field(description="Sampling temperature.")
    top_p: float = Field(description="Probability mass of the tokens to sample from.")
    usage: SampleUsage


class OutputItemObject(BaseModel):
    """Outcome of one item of a run."""

    id: str = Field(description="ID of the output item, prefixed with `outputitem_`.")
    object: Literal["eval.run.output_item"] = "eval.run.output_item"
    eval_id: str = Field(description="Identifier of the eval.")
    run_id: str = Field(description="Identifier of the run.")
    created_at: int = Field(description="Unix timestamp in seconds of the outcome.")
    status: ItemStatus = Field(
        description="`pass` if all graders passed the item, `fail` if one did not, `error` if the "
        "item could not be sampled or graded."
    )
    datasource_item_id: int = Field(description="Number of the item, starting at 0.")
    datasource_item: dict[str, Any] = Field(description="Item of the data source.")
    results: list[OutputItemResult] = Field(description="Results by grader.")
    sample: OutputItemSample
    masked_values: int | None = Field(
        default=None,
        description="Number of labels in place of personal data; null if it is not masked. An "
        "extension of OpenAI's schema.",
    )

    @classmethod
    def from_record(cls, run: RunRecord, number: int, row: ItemRow, body: dict[str, Any]) -> Self:
        """Return the API object of an outcome."""
        return cls.model_validate(
            {
                "id": item_id(run, number),
                "eval_id": run.eval_id,
                "run_id": run.id,
                "created_at": row.created_at,
                "status": row.status,
                "datasource_item_id": number,
                "datasource_item": body["item"],
                "results": body["results"],
                "sample": body["sample"],
                "masked_values": body.get("masked_values"),
            }
        )
