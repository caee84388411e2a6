"""Everything that an evaluation measures, from the answers of the columns to a comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.core import ids
from service.core.tasks import gather
from service.grading.examples import Example, Message
from service.inference.background.calls import ModelGone
from service.jobs.attempt.serving_check import MOST_LOST
from service.jobs.evaluation.best_prompt import BestPrompt, best_prompt
from service.jobs.evaluation.checkpoints import Checkpoint
from service.jobs.evaluation.columns import Columns, Scored, answer_limit, reference_of
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.examples import Data, cluster_of, sample
from service.jobs.evaluation.probes import measure_forgetting, measure_memorization
from service.jobs.evaluation.prompt_search import Candidate
from service.jobs.evaluation.records import JobEvaluation, Phase, Progress
from service.jobs.evaluation.scoring import Scoring, language_of
from service.jobs.records import JobRecord
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
    Row,
)
from service.verdict.retrieval import Answered, retrieval_signs

# The least share of the training's effect by which the engine's two models must differ. An engine
# whose base model has the adapter in it shows none.
_LEAST_FOLLOWED: Final = 0.5
_SEEN_ROWS: Final = 20


class Evaluator:
    """Measures one finished job."""

    def __init__(
        self,
        evaluation: JobEvaluation,
        job: JobRecord,
        entry: BaseModelEntry,
        *,
        rows: Sequence[Example],
        most_rows: int,
        data: Data,
        checkpoints: Sequence[Checkpoint],
        columns: Columns,
        scoring: Scoring,
        engine: EvaluationEngine,
        progress: Progress,
        notes: Sequence[str] = (),
    ) -> None:
        """`notes` are sentences for the reader of the report, before those on what is measured."""
        self._first_notes = notes
        self._evaluation = evaluation
        self._job = job
        self._entry = entry
        self._rows = rows
        self._most_rows = most_rows
        self._data = data
        self._checkpoints = checkpoints
        # Memorization and facts are measured on texts, without tools.
        self._chats = data.without_tools()
        self._chat_places = [place for place, row in enumerate(rows) if not row.uses_tools]
        self._columns = columns
        self._lost: list[str] = []
        self._engine = engine
        self._enter = progress.enter
        self._scoring = scoring

    async def compare(self, parity: Mapping[str, float] | None) -> Comparison:
        """Ask, score and probe the models. `parity` are the figures of engine and trainer.

        Raises EngineAway.
        """
        base, tuned = self._job.model, self._evaluation.model
        await self._enter(Phase.SCORING)
        losses = {
            BASE: await self._columns.scored(BASE, base),
            TUNED: await self._columns.scored(TUNED, tuned),
        }
        await self._enter(Phase.PROMPTS)
        baseline = self._evaluation.baseline_prompt or self._job.baseline_prompt
        best = await best_prompt(
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
            BASE: await self._columns.answers(BASE, base, plain),
            TUNED: await self._columns.answers(TUNED, tuned, plain),
        }
        if best is not None:
            asked = [best.prompts.messages(best.candidate, row.prompt) for row in self._rows]
            answers[PROMPT] = await self._columns.answers(PROMPT, base, asked)
        for checkpoint in self._checkpoints:
            await self._answer(checkpoint, plain, answers, losses)
        checkpoints = [one for one in self._checkpoints if one.column in answers]
        scored = {
            name: await self._scoring.score(given, self._rows) for name, given in answers.items()
        }
        await self._enter(Phase.MEMORIZATION)
        memorization = await self._memorization(answers)
        seen = await self._seen()
        await self._enter(Phase.FORGETTING)
        forgetting = await measure_forgetting(self._engine, tuned, len(self._rows))
        return Comparison(
            job_id=self._job.id,
            model=tuned,
            base_model=base,
            created_at=ids.now_s(),
            columns=_columns(losses, best.candidate if best else None, base, tuned, checkpoints),
            metrics=self._scoring.metrics,
            rows=compared(self._rows, scored),
            train_rows=len(self._data.training_rows) or None,
            base_verified=is_base(parity),
            parity="unchecked" if parity is None else "checked",
            forgetting=forgetting,
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
            chosen_on_rows=self._job.chose_by_test_rows,
        )

    async def _answer(
        self,
        checkpoint: Checkpoint,
        prompts: Sequence[Sequence[Message]],
        answers: dict[str, list[Answer]],
        losses: dict[str, Scored],
    ) -> None:
        """Add the column of a checkpoint, or a note that it was deleted or is not served."""
        name, model = checkpoint.column, checkpoint.model
        try:
            given = await self._columns.answers(name, model, prompts)
            if all(answer.error is not None for answer in given):
                self._lost.append(name)
                return
            answers[name], losses[name] = given, await self._columns.scored(name, model)
        except ModelGone:
            answers.pop(name, None)
            self._lost.append(name)

    async def _memorization(self, answers: Mapping[str, Sequence[Answer]]) -> Memorization | None:
        if not self._chat_places:
            return None
        return await measure_memorization(
            self._engine,
            self._evaluation.model,
            self._chats,
            [self._rows[place] for place in self._chat_places],
            {name: [given[p] for p in self._chat_places] for name, given in answers.items()},
            seed=self._job.seed,
        )

    async def _seen(self) -> list[Answered]:
        """Return the tuned model's answers to a few training rows."""
        count = min(_SEEN_ROWS, len(self._chat_places))
        rows = sample(self._chats.training, count, self._job.seed)
        limit = answer_limit(rows)

        async def ask(row: Example) -> Answered:
            model = self._evaluation.model
            answer = await self._engine.answer(model, row.prompt, max_tokens=limit)
            return Answered(row, answer.text)

        return await gather(ask, rows)

    async def _retrieval(
        self, seen: Sequence[Answered], answers: Sequence[Answer]
    ) -> Retrieval | None:
        if not self._chats.training or not self._chat_places:
            return None
        unseen = [Answered(self._rows[place], answers[place].text) for place in self._chat_places]
        rows = [one.row for one in unseen]
        return await asyncio.to_thread(
            retrieval_signs, self._chats.training, rows, seen=seen, unseen=unseen
        )

    def _notes(self) -> list[str]:
        notes = []
        if self._data.skipped:
            notes.append(
                f"{self._data.skipped} held-out rows have no prompt or answer, or use tools that "
                "they do not declare, and were left out."
            )
        if self._data.without_calls:
            notes.append(
                f"{self._data.without_calls} held-out rows use tools and were left out: the engine "
                f"of {self._job.model} returns no tool calls. Set `tool_call_parser` of the base "
                "model in the catalog."
            )
        if not self._data.training:
            notes.append(
                "The training file was deleted, so no prompt was chosen and memorization was not "
                "measured."
            )
        notes += row_notes(self._rows, self._data.held_out, self._data.selecting, self._job.seed)
        if self._scoring.judge is not None and self._scoring.judge.unusable:
            notes.append(
                f"The judge gave no usable answer on {self._scoring.judge.unusable} pairs of "
                "answers, which were left out."
            )
        notes += [f"{name} could not answer, and was left out." for name in self._lost]
        return notes


def row_notes(
    rows: Sequence[Example], held_out: Sequence[Example], selecting: int, seed: int
) -> list[str]:
    """Say which of the held-out rows were evaluated, if not all."""
    notes = []
    if selecting:
        notes.append(
            f"{selecting} more held-out rows chose the checkpoint or the trial, so they were not "
            "evaluated."
        )
    if len(rows) < len(held_out):
        notes.append(
            f"{len(rows)} of {len(held_out)} held-out rows were evaluated, chosen by seed {seed}."
        )
    return notes


def compared(rows: Sequence[Example], scored: Mapping[str, Sequence[Answer]]) -> list[Row]:
    """Return the rows of a comparison, with the answers of each column."""
    return [
        Row(
            line=example.line,
            prompt=[dict(message) for message in example.prompt],
            reference=reference_of(example),
            cluster=cluster_of(example),
            language=language_of(example.answer),
            answers={name: answers[place] for name, answers in scored.items()},
        )
        for place, example in enumerate(rows)
    ]


def _prompt_notes(best: BestPrompt | None, baseline: str | None) -> list[str]:
    """Say what became of the user's own prompt, unless it is the one that was compared."""
    if baseline is None or (best is not None and best.candidate.is_baseline):
        return []
    if best is None:
        return ["Your prompt was not compared: there are too few training rows to choose one."]
    return [f"On {best.rows} training rows, another prompt scored higher than yours."]


def _serving_notes(parity: Mapping[str, float] | None) -> list[str]:
    """Return what the form of the engine's weights costs, if it is worth a note."""
    lost = 0.0 if parity is None else parity.get("lost", 0.0)
    if lost <= MOST_LOST:
        return []
    note = (
        f"As served, the model lacks about {lost:.0%} of what the training improved: the engine "
        "has the weights in a different form from the training. All answers and losses here are "
        "those of the engine."
    )
    return [note]


def is_base(parity: Mapping[str, float] | None) -> bool:
    """Return whether the engine's base model is the one that the trainer started from.

    The trainer scored the same tokens with and without the adapter. Quantization moves the base
    model's scores, but less than the training did.
    """
    if parity is None:
        return False
    is_close = parity["base_gap"] < parity["trainer_move"]
    return is_close and parity["followed"] >= _LEAST_FOLLOWED


def _columns(
    losses: Mapping[str, Scored],
    candidate: Candidate | None,
    base: str,
    tuned: str,
    checkpoints: Sequence[Checkpoint],
) -> list[Column]:
    def column(name: str, model: str, **more: Any) -> Column:
        scored = losses.get(name, Scored(None, None))
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
