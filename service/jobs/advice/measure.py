"""Measurement of what the base model does with a training file, with and without a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from service.core import ids
from service.core.tasks import gather
from service.grading.examples import Example, Message
from service.jobs.advice.records import AdviceRecord
from service.jobs.evaluation.best_prompt import best_prompt
from service.jobs.evaluation.columns import answer_limit
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.examples import cluster_of, sample
from service.jobs.evaluation.measure import compared
from service.jobs.evaluation.scoring import Scoring
from service.models.catalogue import BaseModelEntry
from service.verdict.comparison import BASE, PROMPT, Answer, Column, Comparison
from service.verdict.retrieval import Answered, retrieval_signs

MOST_ROWS: Final = 40
"""Rows that base model and best prompt answer. They take about a minute on a CPU."""

_SHARE: Final = 3  # at most a third of the rows; prompts are made of the others


def divide(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """Return the rows to ask and the other rows, which have other questions."""
    asked = sample(examples, min(MOST_ROWS, len(examples) // _SHARE), seed)
    questions = {cluster_of(example) for example in asked}
    return asked, [example for example in examples if cluster_of(example) not in questions]


async def measure(
    record: AdviceRecord,
    entry: BaseModelEntry,
    examples: Sequence[Example],
    *,
    engine: EvaluationEngine,
    scoring: Scoring,
) -> Comparison | None:
    """Ask the base model, with and without the best prompt, and search the other rows.

    Returns None if there are too few rows. Raises EngineAway and ModelGone.
    """
    asked, others = divide(examples, record.seed)
    if not asked:
        return None
    max_tokens = answer_limit(asked)
    best = await best_prompt(
        others,
        asked,
        engine=engine,
        scoring=scoring,
        entry=entry,
        max_tokens=max_tokens,
        seed=record.seed,
    )

    async def answers(prompts: Sequence[Sequence[Message]]) -> list[Answer]:
        async def ask(prompt: Sequence[Message]) -> Answer:
            return await engine.answer(record.model, prompt, max_tokens=max_tokens)

        return await scoring.score(await gather(ask, prompts), asked)

    scored = {BASE: await answers([row.prompt for row in asked])}
    columns = [Column(name=BASE, model=record.model)]
    if best is not None:
        prompts = [best.prompts.messages(best.candidate, row.prompt) for row in asked]
        scored[PROMPT] = await answers(prompts)
        lines = best.candidate.lines
        columns.append(Column(name=PROMPT, model=record.model, example_lines=lines))
    said = [Answered(row, answer.text) for row, answer in zip(asked, scored[BASE], strict=True)]
    return Comparison(
        job_id=record.id,
        model=record.model,
        base_model=record.model,
        created_at=ids.now_s(),
        columns=columns,
        metrics=scoring.metrics,
        rows=compared(asked, scored),
        train_rows=len(others),
        retrieval=await asyncio.to_thread(retrieval_signs, others, asked, unseen=said),
    )
