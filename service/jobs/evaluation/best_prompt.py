"""The best prompt for the base model: instructions and examples, chosen on a slice of the rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.evaluation.comparison import Answer
from service.evaluation.concurrency import gather
from service.evaluation.examples import Example
from service.evaluation.memorization.personal import given_text
from service.evaluation.prompts.candidates import Candidate, Limits, PromptSet
from service.evaluation.prompts.search import SLICE_ROWS, search, selection_slice
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.scoring import Scoring

_CHARS_PER_TOKEN: Final = 3.0
_DEFAULT_CONTEXT: Final = 2048


@dataclass(frozen=True)
class BestPrompt:
    """The chosen prompt. `prompts` makes the messages that ask a question with it."""

    prompts: PromptSet
    candidate: Candidate


async def best_prompt(
    training: Sequence[Example],
    rows: Sequence[Example],
    *,
    engine: EvaluationEngine,
    scoring: Scoring,
    context_length: int | None,
    max_tokens: int,
    seed: int,
) -> BestPrompt | None:
    """Choose a prompt for questions like those of `rows`, with examples from `training`.

    Returns None if there are too few training rows. Raises EngineAway and ModelGone.
    """
    slice_ = selection_slice(training, min(SLICE_ROWS, len(rows)), seed=seed)
    if not slice_:
        return None
    longest = max(len(given_text(row.prompt).encode()) + len(json.dumps(row.tools)) for row in rows)
    limits = Limits(
        context_tokens=context_length or _DEFAULT_CONTEXT,
        prompt_tokens=_tokens(longest),
        answer_tokens=max_tokens,
        count=lambda text: _tokens(len(text.encode())),
    )
    prompts = PromptSet(training, limits, without={one.line for one in slice_}, seed=seed)

    async def score(candidate: Candidate, asked: Sequence[Example]) -> list[float]:
        async def ask(row: Example) -> Answer:
            messages = prompts.messages(candidate, row.prompt)
            return await engine.answer(
                engine.base, messages, max_tokens=max_tokens, tools=row.tools
            )

        answers = await scoring.score(await gather(ask, asked), asked)
        return [answer.scores.get(scoring.primary) or 0.0 for answer in answers]

    if not prompts.candidates:
        return None
    return BestPrompt(prompts, await search(prompts.candidates, slice_, score, prompts.tokens))


def _tokens(bytes_: int) -> int:
    return round(bytes_ / _CHARS_PER_TOKEN) + 1
