"""The search for the best prompt among candidates, on a slice of the training rows."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from statistics import fmean
from typing import Final

from service.evaluation.concurrency import gather
from service.evaluation.examples import Example
from service.evaluation.memorization.canaries import is_canary
from service.evaluation.prompts.candidates import BASELINE, Candidate

SLICE_ROWS: Final = 64
"""Training rows that select the prompt.

If nine candidates differ by 5 points, and their answers by 20 beyond that, the chosen candidate is
0.9 points below the best one. With 16 rows, of which 4 halved the candidates, it was 2.4 points.
"""

_FIRST_ROWS: Final = 8
_FIRST_SHARE: Final = 4  # a quarter of the rows

Score = Callable[[Candidate, Sequence[Example]], Awaitable[Sequence[float]]]
"""Returns the score of a candidate's answer to each row; higher is better."""


def selection_slice(
    examples: Sequence[Example], n: int = SLICE_ROWS, seed: int = 0
) -> list[Example]:
    """Return up to `n` training examples that select the prompt, spread over the file.

    The examples are those that no candidate always shows.
    """
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

    All candidates are scored on the first rows, and the better half of them on twice as many, until
    the best are scored on all. The user's own prompt is scored on all, too. Candidates are scored
    concurrently, since the few rows of one do not fill the engine's batch. Of equal candidates, the
    one with the lower `cost` wins, such as the number of tokens. Raises ValueError if there are no
    candidates or no rows.
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
        part = rows[seen:size]
        found = await _all_scores(score, [candidates[place] for place in remaining], part)
        for place, added in zip(remaining, found, strict=True):
            scores[place] += added
        remaining.sort(key=lambda place: (-fmean(scores[place]), cost(candidates[place]), place))
        if size == len(rows) or len(remaining) == 1:
            return candidates[remaining[0]]
        better = remaining[: (len(remaining) + 1) // 2]
        remaining = [*better, *(place for place in own if place not in better)]
        seen, size = size, min(size * 2, len(rows))


async def _all_scores(
    score: Score, candidates: Sequence[Candidate], rows: Sequence[Example]
) -> list[Sequence[float]]:
    """Score all candidates concurrently. The first error cancels the others."""

    async def of(candidate: Candidate) -> Sequence[float]:
        found = await score(candidate, rows)
        if len(found) != len(rows):
            raise ValueError(f"{len(found)} scores were returned for {len(rows)} rows")
        return found

    return await gather(of, candidates)
