"""Judge of a run's graders: a model of the project, asked in the same way as for answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.evals.sampling import CHAT
from service.grading.model_graders import (
    EMBEDDINGS,
    Embedded,
    GraderTools,
    JudgeAnswer,
    JudgeFailed,
    PythonRunner,
    judge_failure,
    parse_embeddings,
)
from service.inference.background.calls import (
    Answered,
    EngineCalls,
    ModelGone,
    ModelUsage,
    SampleFailed,
)


class RunJudge:
    """The judge of one item. `usage` has its tokens by model."""

    def __init__(self, calls: EngineCalls) -> None:
        self._calls = calls
        self.usage: dict[str, ModelUsage] = {}

    async def __call__(
        self, model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
    ) -> JudgeAnswer:
        """Ask a model. Raises JudgeFailed."""
        limit = params.get("max_completion_tokens", params.get("max_tokens"))
        answered = await self._ask(model, CHAT, {**params, "messages": messages}, limit)
        total = answered.usage.prompt_tokens + answered.usage.completion_tokens
        return JudgeAnswer(_text(answered), answered.model, total)

    def tools(self, sandbox: PythonRunner) -> GraderTools:
        """Return the tools of graders, with this judge."""
        return GraderTools(self, sandbox, self.embed)

    async def embed(self, model: str, texts: Sequence[str]) -> Embedded:
        """Create embeddings. Raises JudgeFailed."""
        answered = await self._ask(model, EMBEDDINGS, {"input": texts})
        return parse_embeddings(answered.body, len(texts))

    async def _ask(
        self, model: str, path: str, fields: Mapping[str, Any], limit: int | None = None
    ) -> Answered:
        try:
            answered = await self._calls.ask(model, path, fields, limit)
        except (SampleFailed, ModelGone) as e:
            error = e.error if isinstance(e, SampleFailed) else None
            raise judge_failure(e.code, error.param if error else None, e.message) from e
        known = self.usage.get(answered.model, ModelUsage())
        self.usage[answered.model] = known.plus(answered.usage)
        return answered


def _text(answered: Answered) -> str:
    try:
        content = answered.body["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as e:
        raise JudgeFailed("model_grader_parse_error", "The judge's answer has no message.") from e
    if not isinstance(content, str):
        raise JudgeFailed("model_grader_refusal_error", "The judge's answer has no text.")
    return content
