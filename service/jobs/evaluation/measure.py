"""Measures a finished job: asks, scores and probes the base, the tuned model and checkpoints.

`rewards.py` does the same for jobs with a grader, whose rows have no answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.core.tasks import gather
from service.grading.examples import Example, Message
from service.inference.background.calls import ModelGone
from service.jobs.attempt.serving_check import MOST_LOST
from service.jobs.evaluation.checkpoints import Checkpoint
from service.jobs.evaluation.columns import Columns, ReferenceScores, answer_limit, build_rows
from service.jobs.evaluation.job_data import Data, describe_sample, sample
from service.jobs.evaluation.probes import measure_forgetting, measure_memorization
from service.jobs.evaluation.prompt_candidates import Candidate
from service.jobs.evaluation.prompt_search import BestPrompt, find_best_prompt
from service.jobs.evaluation.records import Phase
from service.jobs.evaluation.scoring import Scoring
from service.models.catalogue import BaseModelEntry
from service.verdict.comparison import (
    BASE,
    PROMPT,
    TUNED,
    Answer,
    Column,
    Comparison,
    Memorization,
    Retrieval,
)
from service.verdict.results import Statement
from service.verdict.retrieval import AnsweredRow, retrieval_signs
from service.verdict.statements import state

_SEEN_ROWS: Final = 20


class Evaluator:
    """Measures one finished job."""

    def __init__(
        self,
        columns: Columns,
        entry: BaseModelEntry,
        data: Data,
        scoring: Scoring,
        checkpoints: Sequence[Checkpoint],
        *,
        most_rows: int,
        notes: Sequence[Statement] = (),
    ) -> None:
        """`notes` come before the other notes of the report."""
        self._columns = columns
        self._entry = entry
        self._data = data
        self._scoring = scoring
        self._checkpoints = checkpoints
        self._most_rows = most_rows
        self._first_notes = notes
        self._failed: list[str] = []
        self._evaluation, self._job = columns.evaluation, columns.job
        self._rows, self._engine = columns.rows, columns.engine
        self._enter = columns.progress.enter
        # Memorization and facts are measured on texts, without tools.
        self._chats = data.without_tools()
        self._chat_places = [place for place, row in enumerate(self._rows) if not row.uses_tools]

    async def compare(self, parity: Mapping[str, float] | None) -> Comparison:
        """Ask, score and probe the models. `parity` are the figures of engine and trainer.

        Raises EngineAway.
        """
        base, tuned = self._job.model, self._evaluation.model
        await self._enter(Phase.SCORING)
        losses = {
            BASE: await self._columns.score_references(BASE, base),
            TUNED: await self._columns.score_references(TUNED, tuned),
        }
        await self._enter(Phase.PROMPTS)
        baseline = self._evaluation.baseline_prompt or self._job.baseline_prompt
        best = await find_best_prompt(
            self._data.training,
            self._rows,
            engine=self._engine,
            scoring=self._scoring,
            entry=self._entry,
            max_tokens=self._columns.max_tokens,
            seed=self._job.seed,
            baseline=baseline,
        )
        await self._enter(Phase.ANSWERS)
        plain = [list(row.prompt) for row in self._rows]
        answers = {
            BASE: await self._columns.ask(BASE, base, plain),
            TUNED: await self._columns.ask(TUNED, tuned, plain),
        }
        if best is not None:
            asked = [best.prompts.messages(best.candidate, row.prompt) for row in self._rows]
            answers[PROMPT] = await self._columns.ask(PROMPT, base, asked)
        for checkpoint in self._checkpoints:
            await self._add_checkpoint(checkpoint, plain, answers, losses)
        checkpoints = [one for one in self._checkpoints if one.column in answers]
        scored = {
            name: await self._scoring.score(given, self._rows) for name, given in answers.items()
        }
        await self._enter(Phase.MEMORIZATION)
        memorization = await self._memorization(answers)
        seen = await self._ask_seen_rows()
        await self._enter(Phase.FORGETTING)
        return self._columns.compare(
            parity,
            columns=_columns(losses, best.candidate if best else None, base, tuned, checkpoints),
            metrics=self._scoring.metrics,
            rows=build_rows(self._rows, scored),
            train_rows=len(self._data.training_rows) or None,
            forgetting=await measure_forgetting(self._engine, tuned, len(self._rows)),
            memorization=memorization,
            retrieval=await self._retrieval(seen, scored[TUNED]),
            notes=[
                *self._first_notes,
                *self._notes(),
                *_prompt_notes(best, baseline),
                *_serving_notes(parity),
            ],
            most_rows=self._most_rows,
            overlapping=self._data.overlapping,
        )

    async def _add_checkpoint(
        self,
        checkpoint: Checkpoint,
        prompts: Sequence[Sequence[Message]],
        answers: dict[str, list[Answer]],
        losses: dict[str, ReferenceScores],
    ) -> None:
        """Add the column of a checkpoint, or a note that it was deleted or is not served."""
        name, model = checkpoint.column, checkpoint.model
        with contextlib.suppress(ModelGone):
            given = await self._columns.ask(name, model, prompts)
            if any(answer.error is None for answer in given):
                losses[name] = await self._columns.score_references(name, model)
                answers[name] = given
                return
        self._failed.append(name)

    async def _memorization(self, answers: Mapping[str, Sequence[Answer]]) -> Memorization | None:
        if not self._chats.training or not self._chat_places:
            return None
        return await measure_memorization(
            self._engine,
            self._evaluation.model,
            training=self._chats.training,
            training_rows=self._chats.training_rows,
            held_out=[self._rows[place] for place in self._chat_places],
            answers={
                name: [given[p] for p in self._chat_places] for name, given in answers.items()
            },
            seed=self._job.seed,
        )

    async def _ask_seen_rows(self) -> list[AnsweredRow]:
        """Return the tuned model's answers to a few training rows."""
        count = min(_SEEN_ROWS, len(self._chat_places))
        rows = sample(self._chats.training, count, self._job.seed)
        limit = answer_limit(rows)

        async def ask(row: Example) -> AnsweredRow:
            model = self._evaluation.model
            answer = await self._engine.answer(model, row.prompt, max_tokens=limit)
            return AnsweredRow(row, answer.text)

        return await gather(ask, rows)

    async def _retrieval(
        self, seen: Sequence[AnsweredRow], answers: Sequence[Answer]
    ) -> Retrieval | None:
        if not self._chats.training or not self._chat_places:
            return None
        unseen = [
            AnsweredRow(self._rows[place], answers[place].text) for place in self._chat_places
        ]
        rows = [one.row for one in unseen]
        return await asyncio.to_thread(
            retrieval_signs, self._chats.training, rows, seen=seen, unseen=unseen
        )

    def _notes(self) -> list[Statement]:
        notes = []
        if self._data.skipped:
            notes.append(state("rows_skipped", rows=self._data.skipped))
        if self._data.without_calls:
            figures = {"rows": self._data.without_calls, "model": self._job.model}
            notes.append(state("rows_with_tools_left_out", figures))
        if not self._data.training:
            notes.append(state("training_file_deleted"))
        notes += describe_sample(
            self._rows, self._data.held_out, self._data.selecting, self._job.seed
        )
        if self._scoring.judge is not None and self._scoring.judge.unusable:
            notes.append(state("judgments_unusable", pairs=self._scoring.judge.unusable))
        notes += [state("column_left_out", column=name) for name in self._failed]
        return notes


def _prompt_notes(best: BestPrompt | None, baseline: str | None) -> list[Statement]:
    """Say why the user's own prompt was not compared, if it was not."""
    if baseline is None or (best is not None and best.candidate.is_baseline):
        return []
    if best is None:
        return [state("own_prompt_not_compared")]
    return [state("own_prompt_scored_lower", rows=best.rows)]


def _serving_notes(parity: Mapping[str, float] | None) -> list[Statement]:
    """Say how much of the training is lost as served, if it is worth a note."""
    lost = 0.0 if parity is None else parity.get("lost", 0.0)
    return [] if lost <= MOST_LOST else [state("training_lost_as_served", share=lost)]


def _columns(
    losses: Mapping[str, ReferenceScores],
    candidate: Candidate | None,
    base: str,
    tuned: str,
    checkpoints: Sequence[Checkpoint],
) -> list[Column]:
    def column(name: str, model: str, **more: Any) -> Column:
        scored = losses.get(name, ReferenceScores())
        return Column(
            name=name,
            model=model,
            loss=scored.loss,
            token_accuracy=scored.token_accuracy,
            **more,
        )

    found = [column(BASE, base)]
    if candidate is not None:
        found.append(
            column(
                PROMPT,
                base,
                system_prompt=candidate.instruction or None,
                is_baseline=candidate.is_baseline,
                example_lines=candidate.lines,
                nearest_examples=candidate.nearest,
            )
        )
    earlier = [column(one.column, one.model, step=one.step) for one in checkpoints]
    return [*found, column(TUNED, tuned), *earlier]
