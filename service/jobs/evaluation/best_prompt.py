"""The best prompt for the base model: instructions and examples, chosen on a slice of the rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.core.tasks import gather
from service.datasets.chat_templates import takes_system
from service.grading.examples import Example
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.prompt_search import (
    SLICE_ROWS,
    Candidate,
    Limits,
    PromptSet,
    search,
    selection_slice,
)
from service.jobs.evaluation.scoring import Scoring
from service.models.catalogue import BaseModelEntry
from service.verdict.comparison import Answer
from service.verdict.memorization import given_text

_CHARS_PER_TOKEN: Final = 3.0
_DEFAULT_CONTEXT: Final = 2048
_LEAST_ROWS: Final = 16  # that select the prompt, if there are as many, however few are evaluated


@dataclass(frozen=True)
class BestPrompt:
    """The prompt that was chosen on training `rows`. `prompts` makes the messages that use it."""

    prompts: PromptSet
    candidate: Candidate
    rows: int


async def best_prompt(
    training: Sequence[Example],
    rows: Sequence[Example],
    *,
    engine: EvaluationEngine,
    scoring: Scoring,
    entry: BaseModelEntry,
    max_tokens: int,
    seed: int,
    baseline: str | None = None,
) -> BestPrompt | None:
    """Choose a prompt for questions like those of `rows`, with examples from `training`.

    `baseline` is a prompt of the user's that takes part. Returns None if there are too few training
    rows. Raises EngineAway and ModelGone.
    """
    longest = max(len(given_text(row.prompt).encode()) + len(json.dumps(row.tools)) for row in rows)
    limits = Limits(
        context_tokens=entry.context_length or _DEFAULT_CONTEXT,
        prompt_tokens=_tokens(longest),
        answer_tokens=max_tokens,
        count=lambda text: _tokens(len(text.encode())),
    )
    has_system_role = await asyncio.to_thread(takes_system, entry.path)
    prompts = PromptSet(
        training,
        limits,
        baseline=baseline,
        has_system_role=has_system_role is not False,
        seed=seed,
    )
    count = min(SLICE_ROWS, max(len(rows), _LEAST_ROWS))
    slice_ = selection_slice(prompts.selecting, count, seed=seed)
    if not slice_ or not prompts.candidates:
        return None

    async def score(candidate: Candidate, asked: Sequence[Example]) -> list[float]:
        async def ask(row: Example) -> Answer:
            messages = prompts.messages(candidate, row.prompt)
            return await engine.answer(
                engine.base, messages, max_tokens=max_tokens, tools=row.tools
            )

        answers = await scoring.score(await gather(ask, asked), asked)
        return [answer.scores.get(scoring.primary) or 0.0 for answer in answers]

    found = await search(prompts.candidates, slice_, score, prompts.tokens)
    return BestPrompt(prompts, found, len(slice_))


def _tokens(bytes_: int) -> int:
    return round(bytes_ / _CHARS_PER_TOKEN) + 1
