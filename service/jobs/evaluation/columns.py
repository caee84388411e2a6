"""Asks models for the columns of an evaluation: the answers of one model to all rows.

A finished column is stored, so that an evaluation that is continued after its worker was killed
asks only for the columns that are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from service.core import clock
from service.core.storage import Storage, StorageMissing
from service.core.tasks import gather
from service.datasets.text.languages import UNKNOWN, detect
from service.grading.examples import Example, Message
from service.jobs.evaluation.engine import EvaluationEngine, Likelihood
from service.jobs.evaluation.records import JobEvaluation, ProgressReporter
from service.jobs.records import JobRecord
from service.verdict.comparison import Answer, Comparison, Row, with_calls
from service.verdict.results import Statement
from service.verdict.statements import write
from service.verdict.thresholds import LEAST_FOLLOWED

T = TypeVar("T", bound=msgspec.Struct)

# An answer may be half again as long as the longest reference. A token has at least this many
# bytes in the languages that a tokenizer was made for.
_LONGER: Final = 1.5
_TOKEN_BYTES: Final = 2.5
_FEWEST_TOKENS, _MOST_TOKENS = 32, 512


class ReferenceScores(msgspec.Struct, frozen=True):
    """Teacher-forced scores of a model on the reference answers of all rows."""

    loss: float | None = None
    token_accuracy: float | None = None


class _ColumnAnswers(msgspec.Struct, frozen=True):
    answers: list[Answer]


class Columns:
    """Asks models for columns, and keeps those that are finished."""

    def __init__(
        self,
        evaluation: JobEvaluation,
        job: JobRecord,
        rows: Sequence[Example],
        *,
        engine: EvaluationEngine,
        storage: Storage,
        progress: ProgressReporter,
        max_tokens: int | None = None,
    ) -> None:
        """`max_tokens` is the limit of an answer. By default, the rows' own answers set it."""
        self.evaluation = evaluation
        self.job = job
        self.rows = rows
        self.engine = engine
        self.progress = progress
        self.max_tokens = answer_limit(rows) if max_tokens is None else max_tokens
        self._storage = storage

    async def ask(
        self, name: str, model: str, prompts: Sequence[Sequence[Message]]
    ) -> list[Answer]:
        """Return the model's answers to the prompts. Raises EngineAway and ModelGone."""

        async def ask(asked: tuple[Sequence[Message], Example]) -> Answer:
            prompt, row = asked
            return await self.engine.answer(
                model, prompt, max_tokens=self.max_tokens, tools=row.tools
            )

        async def make() -> _ColumnAnswers:
            answers = await gather(ask, list(zip(prompts, self.rows, strict=True)))
            await self.progress.report_answers(name, answers)
            return _ColumnAnswers(answers)

        question = [model, self.max_tokens, prompts, [row.tools for row in self.rows]]
        return (await self._once(f"answers-{name}", question, _ColumnAnswers, make)).answers

    async def score_references(self, name: str, model: str) -> ReferenceScores:
        """Return the model's loss and accuracy on the reference answers.

        Raises EngineAway and ModelGone.
        """

        async def score(row: Example) -> Likelihood | None:
            return await self.engine.likelihood(model, row)

        async def make() -> ReferenceScores:
            return _mean(await gather(score, self.rows))

        return await self._once(f"scored-{name}", [model, list(self.rows)], ReferenceScores, make)

    async def _once(
        self, name: str, question: object, kind: type[T], make: Callable[[], Awaitable[T]]
    ) -> T:
        """Return what an earlier attempt stored for the same question, or make and store it."""
        digest = hashlib.sha256(msgspec.json.encode(question)).hexdigest()[:16]
        key = self.evaluation.key(f"{name}-{digest}.json")
        try:
            return msgspec.json.decode(await self._storage.get_bytes(key), type=kind)
        except StorageMissing:
            made = await make()
        await self._storage.put_bytes(key, msgspec.json.encode(made))
        return made

    def compare(
        self, parity: Mapping[str, float] | None, notes: Sequence[Statement], **measured: Any
    ) -> Comparison:
        """Return a comparison. `measured` are the fields of `Comparison` that the job does not set.

        `parity` are the figures of the comparison of engine and trainer, if it was made.
        """
        return Comparison(
            job_id=self.job.id,
            model=self.evaluation.model,
            base_model=self.job.model,
            created_at=clock.now_s(),
            base_verified=is_base_verified(parity),
            parity="unchecked" if parity is None else "checked",
            chosen_on_rows=self.job.chose_by_test_rows,
            notes=list(map(write, notes)),
            note_details=list(notes),
            **measured,
        )


def answer_limit(rows: Sequence[Example]) -> int:
    """Return the most tokens that an answer may have, by the lengths of the rows' own answers."""
    longest = max((len((row.thought + _reference(row)).encode()) for row in rows), default=0)
    return max(_FEWEST_TOKENS, min(_MOST_TOKENS, round(_LONGER * longest / _TOKEN_BYTES)))


def build_rows(rows: Sequence[Example], answers: Mapping[str, Sequence[Answer]]) -> list[Row]:
    """Return the rows of a comparison, with the answers of each column."""
    return [
        Row(
            line=example.line,
            prompt=[dict(message) for message in example.prompt],
            reference=_reference(example),
            cluster=cluster_of(example),
            language=_language(example.answer),
            answers={name: column[place] for name, column in answers.items()},
        )
        for place, example in enumerate(rows)
    ]


def cluster_of(example: Example) -> str:
    """Return a key that examples with the same question share."""
    return hashlib.sha256(example.question.strip().lower().encode()).hexdigest()[:16]


def is_base_verified(parity: Mapping[str, float] | None) -> bool:
    """Return whether the engine's base model is the one that the trainer started from.

    The trainer scored the same tokens with and without the adapter. Quantization moves the base
    model's scores, but less than the training did.
    """
    if parity is None:
        return False
    is_close = parity["base_gap"] < parity["trainer_move"]
    return is_close and parity["followed"] >= LEAST_FOLLOWED


def _reference(row: Example) -> str:
    """Return a row's own answer as a text, with its tool calls."""
    return with_calls(row.answer, row.tool_calls)


def _language(text: str) -> str | None:
    code = detect(text).code
    return None if code == UNKNOWN else code


def _mean(found: Sequence[Likelihood | None]) -> ReferenceScores:
    tokens = sum(len(one.logprobs) for one in found if one)
    if not tokens:
        return ReferenceScores()
    return ReferenceScores(
        loss=-sum(one.total for one in found if one) / tokens,
        token_accuracy=sum(one.likeliest for one in found if one) / tokens,
    )
