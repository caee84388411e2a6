"""Columns of an evaluation: the answers of one model, with one prompt, to all rows.

A finished column is stored, so that an evaluation that is continued after its worker was killed
asks only for the columns that are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from service.core.storage import Storage, StorageMissing
from service.core.tasks import gather
from service.grading.examples import Example, Message
from service.jobs.evaluation.engine import EvaluationEngine, Likelihood
from service.jobs.evaluation.records import JobEvaluation, Progress
from service.verdict.comparison import Answer, with_calls

T = TypeVar("T", bound=msgspec.Struct)

# An answer may be half again as long as the longest reference. A token has at least this many
# bytes in the languages that a tokenizer was made for.
_LONGER: Final = 1.5
_TOKEN_BYTES: Final = 2.5
_FEWEST_TOKENS, _MOST_TOKENS = 32, 512


class Scored(msgspec.Struct, frozen=True):
    """Teacher-forced scores of a model on the reference answers of all rows."""

    loss: float | None
    token_accuracy: float | None


class ColumnAnswers(msgspec.Struct, frozen=True):
    """The answers of one column, by row."""

    answers: list[Answer]


def answer_limit(rows: Sequence[Example]) -> int:
    """Return the most tokens that an answer may have, by the lengths of the rows' own answers."""
    longest = max((len((row.thought + reference_of(row)).encode()) for row in rows), default=0)
    return max(_FEWEST_TOKENS, min(_MOST_TOKENS, round(_LONGER * longest / _TOKEN_BYTES)))


def reference_of(row: Example) -> str:
    """Return a row's own answer as a text, with its tool calls."""
    return with_calls(row.answer, row.tool_calls)


class Columns:
    """Asks models for columns, and keeps those that are finished."""

    def __init__(
        self,
        evaluation: JobEvaluation,
        rows: Sequence[Example],
        *,
        engine: EvaluationEngine,
        storage: Storage,
        progress: Progress,
        max_tokens: int | None = None,
    ) -> None:
        """`max_tokens` is the limit of an answer. By default, the rows' own answers set it."""
        self._evaluation = evaluation
        self._rows = rows
        self._engine = engine
        self._storage = storage
        self._progress = progress
        self.max_tokens = answer_limit(rows) if max_tokens is None else max_tokens

    async def answers(
        self, name: str, model: str, prompts: Sequence[Sequence[Message]]
    ) -> list[Answer]:
        """Return the model's answers to the prompts. Raises EngineAway."""

        async def ask(asked: tuple[Sequence[Message], Example]) -> Answer:
            prompt, row = asked
            return await self._engine.answer(
                model, prompt, max_tokens=self.max_tokens, tools=row.tools
            )

        async def make() -> ColumnAnswers:
            answers = await gather(ask, list(zip(prompts, self._rows, strict=True)))
            await self._progress.answered(name, answers)
            return ColumnAnswers(answers)

        parts = [model, self.max_tokens, prompts, [row.tools for row in self._rows]]
        return (await self._kept(f"answers-{name}", parts, ColumnAnswers, make)).answers

    async def scored(self, name: str, model: str) -> Scored:
        """Return the model's loss and accuracy on the reference answers. Raises EngineAway."""

        async def score(row: Example) -> Likelihood | None:
            return await self._engine.likelihood(model, row)

        async def make() -> Scored:
            return _mean(await gather(score, self._rows))

        parts = [model, list(self._rows)]
        return await self._kept(f"scored-{name}", parts, Scored, make)

    async def _kept(
        self, name: str, parts: object, kind: type[T], make: Callable[[], Awaitable[T]]
    ) -> T:
        """Return what an earlier attempt stored for the same questions, or make and store it."""
        digest = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]
        key = self._evaluation.key(f"{name}-{digest}.json")
        try:
            return msgspec.json.decode(await self._storage.get_bytes(key), type=kind)
        except StorageMissing:
            made = await make()
        await self._storage.put_bytes(key, msgspec.json.encode(made))
        return made


def _mean(found: Sequence[Likelihood | None]) -> Scored:
    tokens = sum(len(one.logprobs) for one in found if one)
    if not tokens:
        return Scored(None, None)
    return Scored(
        loss=-sum(one.total for one in found if one) / tokens,
        token_accuracy=sum(one.likeliest for one in found if one) / tokens,
    )
