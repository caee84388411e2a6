"""The search for the best prompt, with score functions whose best candidate is known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from statistics import fmean

import pytest

from service.grading.examples import Example, examples_of
from service.jobs.evaluation.prompt_candidates import BASELINE, Candidate
from service.jobs.evaluation.prompt_search import SLICE_ROWS, search, selection_slice
from service.verdict.canaries import make_canaries
from tests.verdict.rows import bookshop

SHOP = examples_of(bookshop())
CANDIDATES = [Candidate(f"c{i}", "x" * i) for i in range(9)]


def cost(candidate: Candidate) -> int:
    return len(candidate.instruction)


class Scores:
    """Scores by candidate and row, with a count of the answers that were needed."""

    def __init__(self, quality: dict[str, float]) -> None:
        self.quality = quality
        self.answers = 0
        self.seen: dict[str, set[int]] = {}

    async def __call__(self, candidate: Candidate, rows: Sequence[Example]) -> list[float]:
        self.answers += len(rows)
        seen = self.seen.setdefault(candidate.name, set())
        assert seen.isdisjoint(row.line for row in rows)
        seen.update(row.line for row in rows)
        return [self.quality[candidate.name] for _ in rows]


@pytest.mark.parametrize("best", range(9))
async def test_the_best_candidate_is_found_with_few_answers(best: int) -> None:
    score = Scores({c.name: float(i == best) for i, c in enumerate(CANDIDATES)})
    rows = selection_slice(SHOP)
    assert await search(CANDIDATES, rows, score, cost) == CANDIDATES[best]
    assert score.seen[f"c{best}"] == {row.line for row in rows}
    assert score.answers == 9 * 16 + 5 * 16 + 3 * 32


async def test_of_noisy_scores_a_good_candidate_is_found() -> None:
    """Of nine candidates that differ by 5 points, answers that differ by 20 more decide."""
    lost: list[float] = []
    for seed in range(300):
        draw = random.Random(seed)
        quality = {c.name: draw.gauss(0, 5) for c in CANDIDATES}

        async def score(
            candidate: Candidate,
            rows: Sequence[Example],
            draw: random.Random = draw,
            quality: dict[str, float] = quality,
        ) -> list[float]:
            return [quality[candidate.name] + draw.gauss(0, 20) for _ in rows]

        found = await search(CANDIDATES, selection_slice(SHOP), score, cost)
        lost.append(max(quality.values()) - quality[found.name])
    assert fmean(lost) < 1.3


async def test_the_users_own_prompt_is_scored_on_all_rows() -> None:
    own = Candidate(BASELINE, "Mine.", is_baseline=True)
    score = Scores({**{c.name: 0.5 for c in CANDIDATES}, BASELINE: 0.1})
    rows = selection_slice(SHOP)
    assert await search([own, *CANDIDATES], rows, score, cost) == CANDIDATES[0]
    assert score.seen[BASELINE] == {row.line for row in rows}


async def test_of_equal_candidates_the_cheapest_wins() -> None:
    score = Scores(dict.fromkeys((c.name for c in CANDIDATES), 0.5))
    found = await search(list(reversed(CANDIDATES)), selection_slice(SHOP), score, cost)
    assert found == CANDIDATES[0]


async def test_candidates_are_scored_concurrently() -> None:
    everyone = asyncio.Barrier(len(CANDIDATES))

    async def score(candidate: Candidate, rows: Sequence[Example]) -> list[float]:
        await everyone.wait()
        return [float(candidate.name == "c3")] * len(rows)

    async with asyncio.timeout(60):
        assert await search(CANDIDATES, SHOP[:4], score, cost) == CANDIDATES[3]


async def test_few_rows_and_one_candidate() -> None:
    score = Scores({c.name: i / 9 for i, c in enumerate(CANDIDATES)})
    assert await search(CANDIDATES, SHOP[:1], score, cost) == CANDIDATES[8]
    assert await search(CANDIDATES[:1], SHOP[1:17], score, cost) == CANDIDATES[0]


async def test_wrong_uses_are_refused() -> None:
    async def too_few(candidate: Candidate, rows: Sequence[Example]) -> list[float]:
        return [1.0] * (len(rows) - 1)

    with pytest.raises(ValueError, match="7 scores were returned for 8 rows"):
        await search(CANDIDATES, SHOP[:8], too_few, cost)
    for candidates, rows in (([], SHOP[:8]), (CANDIDATES, [])):
        with pytest.raises(ValueError, match="at least one"):
            await search(candidates, rows, too_few, cost)


def test_the_slice_is_spread_and_reproducible() -> None:
    chosen = selection_slice(SHOP)
    lines = [row.line for row in chosen]
    assert len(lines) == SLICE_ROWS
    edges = [len(SHOP) * i // SLICE_ROWS for i in range(SLICE_ROWS + 1)]
    assert all(edges[i] < line <= edges[i + 1] for i, line in enumerate(lines))
    assert selection_slice(SHOP) == chosen
    assert selection_slice(SHOP, seed=1) != chosen
    assert selection_slice(SHOP[:9]) == SHOP[:9]
    assert selection_slice([]) == selection_slice(SHOP, 0) == selection_slice(SHOP, -3) == []
    canaries = examples_of([c.row for c in make_canaries(50, 1)])
    assert selection_slice(canaries) == []
