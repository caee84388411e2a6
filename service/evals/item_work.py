"""Samples and grades one item, and decides whether it passes."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.core import clock
from service.core.redis import REDIS_ERRORS
from service.core.storage import StorageError
from service.evals import prompts
from service.evals.data_sources import (
    DEFAULT_SEED,
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_P,
    InputMessages,
)
from service.evals.judge import RunJudge
from service.evals.outcomes import Outcome
from service.evals.prompts import Message, PromptFailed
from service.evals.records import ItemFigures, ItemStatus
from service.evals.sampling import Sampled, Sampler, given_answer
from service.evals.tally import CriterionCounts, Tally, count_labels
from service.grading.errors import GraderError, ItemFailed
from service.grading.grade import grade
from service.grading.model_graders import PythonRunner
from service.grading.results import GraderResult
from service.grading.schemas import Grader
from service.inference.background.calls import EngineCalls, ModelGone, ModelUsage, SampleFailed
from service.work.records import WorkError

log = logging.getLogger(__name__)
_DIGEST_CHARS: Final = 16  # of 10,000 items, two are equal once in 10^11 runs
_GRADER_FAILED: Final = GraderResult(
    0.0, passed=False, errors=(GraderError("other_error", "The service failed on this grader."),)
)


@dataclass(frozen=True)
class Plan:
    """How a run samples and grades each item. There is no `sampler` if the answers are given."""

    graders: Sequence[Grader]
    messages: InputMessages | None
    sampler: Sampler | None
    params: Mapping[str, Any]  # sampling parameters as requested
    context_length: int


class ItemWork:
    """Samples and grades the items of a run."""

    def __init__(self, plan: Plan, calls: EngineCalls, sandbox: PythonRunner) -> None:
        self._plan = plan
        self._calls = calls
        self._sandbox = sandbox

    async def process(self, number: int, row: Mapping[str, Any]) -> Outcome:
        """Sample and grade a row of the data source.

        Raises ModelGone, REDIS_ERRORS and StorageError.
        """
        messages: list[Message] = []
        sampled, failure = Sampled(), None
        try:
            messages = self._prompt(row)
            sampled = await self._sample_answer(messages, row)
        except (SampleFailed, PromptFailed, ItemFailed) as e:
            failure = _failure(e)
        except (ModelGone, StorageError, *REDIS_ERRORS):
            raise
        except Exception:
            log.exception("an item could not be sampled")
            failure = WorkError(code="internal_error", message="The service failed on this item.")
        judge = RunJudge(self._calls)
        results = [] if failure else await self._grade(row["item"], sampled, judge)
        status = _status(failure, results)
        usage = dict(judge.usage)
        if sampled.model:
            known = usage.get(sampled.model, ModelUsage())
            usage[sampled.model] = known.plus(sampled.usage)
        return Outcome(
            number=number,
            status=status,
            created_at=clock.now_s(),
            body={
                "item": row["item"],
                "results": [
                    _result(grader, result)
                    for grader, result in zip(self._plan.graders, results, strict=False)
                ],
                "sample": self._show_sample(messages, sampled, failure),
            },
            tally=self._tally(status, results, usage),
            figures=ItemFigures(
                digest_item(row["item"]),
                tuple(None if result.errors else _score(result) for result in results),
                sampled.usage.prompt_tokens,
                sampled.usage.completion_tokens,
                sampled.seconds,
            ),
        )

    def _prompt(self, row: Mapping[str, Any]) -> list[Message]:
        messages = self._plan.messages
        return [] if messages is None else prompts.render(messages, row["item"])

    async def _sample_answer(self, messages: Sequence[Message], row: Mapping[str, Any]) -> Sampled:
        if self._plan.sampler is None:
            given = row.get("sample")
            return Sampled() if given is None else given_answer(given)
        return await self._plan.sampler.sample(messages)

    async def _grade(
        self, item: dict[str, Any], sampled: Sampled, judge: RunJudge
    ) -> list[GraderResult]:
        tools = judge.tools(self._sandbox)
        results = []
        for grader in self._plan.graders:
            try:
                results.append(await grade(grader, item, sampled.sample, tools))
            except (StorageError, *REDIS_ERRORS):
                raise
            except Exception:
                log.exception("the grader '%s' failed", grader.type)
                results.append(_GRADER_FAILED)
        return results

    def _tally(
        self, status: ItemStatus, results: Sequence[GraderResult], usage: Mapping[str, ModelUsage]
    ) -> Tally:
        return Tally(
            passed=int(status == "pass"),
            failed=int(status == "fail"),
            errored=int(status == "error"),
            usage=usage,
            criteria={
                grader.name: _counts(result)
                for grader, result in zip(self._plan.graders, results, strict=False)
            },
        )

    def _show_sample(
        self, messages: Sequence[Message], sampled: Sampled, failure: WorkError | None
    ) -> dict[str, Any]:
        """Return the sample as the API shows it. Fields that a given answer lacks are empty."""
        sample, params, usage = sampled.sample, self._plan.params, sampled.usage
        output: list[dict[str, Any]] = []
        if sample is not None:
            output = [{"role": "assistant", "content": sample.output_text}]
            if sample.tool_calls:
                output[0]["tool_calls"] = sample.tool_calls
        return {
            "error": None if failure is None else failure.model_dump(),
            "finish_reason": (sample and sample.finish_reason) or "",
            "input": [{**message, "content": message.get("content") or ""} for message in messages],
            "max_completion_tokens": params.get("max_completion_tokens")
            or self._plan.context_length,
            "model": sampled.model or (sample and sample.model) or "",
            "output": output,
            "seed": params.get("seed", DEFAULT_SEED),
            "temperature": params.get("temperature", DEFAULT_TEMPERATURE),
            "top_p": params.get("top_p", DEFAULT_TOP_P),
            "usage": {
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                "completion_tokens": usage.completion_tokens,
                "prompt_tokens": usage.prompt_tokens,
                "cached_tokens": usage.cached_tokens,
            },
        }


def digest_item(item: Mapping[str, Any]) -> str:
    """Return a digest that is equal for equal items."""
    return hashlib.sha256(msgspec.json.encode(item, order="sorted")).hexdigest()[:_DIGEST_CHARS]


def _failure(error: SampleFailed | PromptFailed | ItemFailed) -> WorkError:
    if isinstance(error, SampleFailed):
        return WorkError(code=error.code, message=error.message)
    if isinstance(error, ItemFailed):
        return WorkError(code=error.error.code, message=error.error.message)
    return WorkError(code="invalid_prompt", message=str(error))


def _status(failure: WorkError | None, results: Sequence[GraderResult]) -> ItemStatus:
    if failure is not None or any(result.errors for result in results):
        return "error"
    return "pass" if all(result.passed for result in results) else "fail"


def _counts(result: GraderResult) -> CriterionCounts:
    if result.errors:
        return CriterionCounts(errored=1)
    return CriterionCounts(
        passed=int(result.passed),
        failed=int(not result.passed),
        score=_score(result),
        labels=count_labels(result.labels),
    )


def _result(grader: Grader, result: GraderResult) -> dict[str, Any]:
    """Return a grader's result as the API shows it, with our extensions if they apply."""
    shown: dict[str, Any] = {
        "name": grader.name,
        "type": grader.type,
        "passed": result.passed,
        "score": _score(result),
        "sample": result.sample,
    }
    if result.errors:
        shown["errors"] = [{"code": e.code, "message": e.message} for e in result.errors]
    if result.sub_scores:
        shown["sub_scores"] = result.sub_scores
    if result.labels is not None:
        shown["label"] = {"expected": result.labels.expected, "given": result.labels.given}
    return shown


def _score(result: GraderResult) -> float:
    return result.score if math.isfinite(result.score) else 0.0
