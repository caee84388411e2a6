"""Finds the best prompt for the base model by successive halving on some training rows."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from service.core.tasks import gather
from service.datasets.chat_templates import takes_system
from service.grading.examples import Example
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.prompt_candidates import (
    BASELINE,
    Candidate,
    Limits,
    PromptSet,
)
from service.jobs.evaluation.scoring import Scoring
from service.models.catalogue import BaseModelEntry
from service.verdict.canaries import is_canary
from service.verdict.comparison import Answer
from service.verdict.memorization import given_text

_BYTES_PER_TOKEN: Final = 3.0
_DEFAULT_CONTEXT: Final = 2048
_LEAST_SLICE_ROWS: Final = 16  # however few rows are evaluated
SLICE_ROWS: Final = 64
"""Training rows that select the prompt.

If nine candidates differ by 5 points, and their answers by 20 beyond that, the chosen candidate is
0.9 points below the best one. With 16 rows, of which 4 halved the candidates, it was 2.4 points.
"""
_FIRST_ROWS: Final = 8
_FIRST_SHARE: Final = 4  # a quarter of the rows


@dataclass(frozen=True)
class BestPrompt:
    """The candidate that scored highest on `rows` training rows.

    `prompts` builds the messages that use it.
    """

    prompts: PromptSet
    candidate: Candidate
    rows: int


async def find_best_prompt(
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
    """Find the best prompt for questions like those of `rows`, with examples from `training`.

    `baseline` is the user's own prompt, which competes with the others. Returns None if there are
    too few training rows. Raises EngineAway and ModelGone.
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
    count = min(SLICE_ROWS, max(len(rows), _LEAST_SLICE_ROWS))
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
    """Estimate the number of tokens of a text from its length in UTF-8."""
    return round(bytes_ / _BYTES_PER_TOKEN) + 1


Score = Callable[[Candidate, Sequence[Example]], Awaitable[Sequence[float]]]
"""Returns the score of a candidate's answer to each row; higher is better."""


def selection_slice(
    examples: Sequence[Example], n: int = SLICE_ROWS, seed: int = 0
) -> list[Example]:
    """Return up to `n` of the examples that may select the prompt, spread over the file."""
    usable = [one for one in examples if not is_canary(one)]
    count = max(0, min(n, len(usable)))
    draw = random.Random(f"slice:{seed}")  # noqa: S311 - reproducible, not a key
    edges = [len(usable) * place // max(count, 1) for place in range(count + 1)]
    return [usable[draw.randrange(edges[i], edges[i + 1])] for i in range(count)]


async def search(
    candidates: Sequence[Candidate],
    rows: Sequence[Example],
    score: Score,
    cost: Callable[[Candidate], int],
) -> Candidate:
    """Return the candidate with the highest mean score on the rows.

    This is successive halving: all candidates are scored on the first rows, the better half on
    twice as many, and so on until the best are scored on all. The user's own prompt is always
    scored on all rows. Candidates are scored concurrently, since the few rows of one do not fill
    the engine's batch. Among candidates with equal scores, the one with the lowest `cost` wins,
    such as the number of tokens. Raises ValueError if there are no candidates or no rows.
    """
    if not candidates or not rows:
        raise ValueError("the search needs at least one candidate and one row")
    # In random order, since the rows of a file may be sorted.
    rows = random.Random(len(rows)).sample(list(rows), len(rows))  # noqa: S311
    scores: dict[int, list[float]] = {place: [] for place in range(len(candidates))}
    own = [place for place, candidate in enumerate(candidates) if candidate.name == BASELINE]
    remaining, seen = list(scores), 0
    size = min(max(_FIRST_ROWS, len(rows) // _FIRST_SHARE), len(rows))
    while True:
        added_rows = rows[seen:size]

        async def score_rows(place: int, added_rows: Sequence[Example] = added_rows) -> None:
            added = await score(candidates[place], added_rows)
            if len(added) != len(added_rows):
                raise ValueError(f"{len(added)} scores were returned for {len(added_rows)} rows")
            scores[place] += added

        await gather(score_rows, remaining)
        remaining.sort(key=lambda place: (-fmean(scores[place]), cost(candidates[place]), place))
        if size == len(rows) or len(remaining) == 1:
            return candidates[remaining[0]]
        better = remaining[: (len(remaining) + 1) // 2]
        remaining = [*better, *(place for place in own if place not in better)]
        seen, size = size, min(size * 2, len(rows))
