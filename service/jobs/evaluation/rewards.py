"""Measures a finished job by its own grader: the rewards of base and tuned model on prompts.

The rows have no answers, so nothing is compared with them: there are no losses, no best prompt, and
no memorized answers. Forgetting is measured as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from service.core.tasks import gather
from service.grading.examples import Example
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.schemas import Grader, ScoreModelGrader
from service.jobs.evaluation.columns import Columns, build_rows
from service.jobs.evaluation.job_data import HeldOut, JobFiles, describe_sample, read_rows
from service.jobs.evaluation.probes import measure_forgetting
from service.jobs.evaluation.records import Phase
from service.jobs.evaluation.scoring import sample_of
from service.verdict.comparison import BASE, TUNED, Answer, Column, Comparison, Metric
from service.verdict.results import Statement
from service.verdict.statements import state

REWARD: Final = "reward"


@dataclass(frozen=True)
class Prompts:
    """The held-out prompts as examples without an answer, and the grader's items.

    `items` has the item of each prompt by its line, and `trained` is the number of training rows.
    """

    examples: list[Example]
    items: dict[int, dict[str, Any]]
    trained: int
    held_out: HeldOut


def read_prompts(files: JobFiles, held_out: HeldOut) -> Prompts:
    """Read the held-out prompts of a job."""
    rows = [] if files.training is None else list(read_rows(files.training))
    source = rows if held_out.source in (None, files.training) else list(read_rows(held_out.source))
    found = {place + 1: msgspec.json.decode(source[place]) for place in held_out.places}
    return Prompts(
        [
            Example(line, tuple(row["messages"]), "", tools=tuple(row.get("tools") or ()))
            for line, row in found.items()
        ],
        {line: row["item"] for line, row in found.items()},
        len(rows) - len(held_out.trained_without),
        held_out,
    )


class RewardEvaluator:
    """Measures one finished job by its grader. `make_tools` is called for each answer."""

    def __init__(
        self,
        columns: Columns,
        prompts: Prompts,
        grader: Grader,
        make_tools: Callable[[], GraderTools],
        *,
        most_rows: int,
    ) -> None:
        self._columns = columns
        self._prompts = prompts
        self._grader = grader
        self._make_tools = make_tools
        self._most_rows = most_rows
        self._rows = columns.rows

    async def compare(self, parity: Mapping[str, float] | None) -> Comparison:
        """Ask and grade both models. `parity` are the figures of engine and trainer.

        Raises EngineAway.
        """
        job, progress, engine = self._columns.job, self._columns.progress, self._columns.engine
        models = {BASE: job.model, TUNED: self._columns.evaluation.model}
        await progress.enter(Phase.ANSWERS)
        plain = [list(row.prompt) for row in self._rows]
        given = {
            name: await self._columns.ask(name, model, plain) for name, model in models.items()
        }
        graded = {name: await self._grade(answers) for name, answers in given.items()}
        scale = self._scale(graded)
        answers = {name: [scale.apply(one) for one in found] for name, found in graded.items()}
        await progress.enter(Phase.FORGETTING)
        held_out = self._prompts.held_out
        notes = describe_sample(self._rows, self._prompts.examples, held_out.selecting, job.seed)
        return self._columns.compare(
            parity,
            columns=[Column(name=name, model=model) for name, model in models.items()],
            metrics=[Metric(name=REWARD, kind=_kind(answers), primary=True)],
            rows=build_rows(self._rows, answers),
            train_rows=self._prompts.trained or None,
            forgetting=await measure_forgetting(engine, models[TUNED], len(self._rows)),
            notes=[*notes, *scale.notes],
            most_rows=self._most_rows,
            overlapping=held_out.overlapping,
        )

    async def _grade(self, answers: Sequence[Answer]) -> list[Answer]:
        """Return the answers with their rewards; without a score if they cannot be graded."""

        async def add_reward(pair: tuple[Answer, Example]) -> Answer:
            answer, row = pair
            if answer.error is not None:
                return answer
            item, sample = self._prompts.items[row.line], sample_of(answer, row)
            result = await grade(self._grader, item, sample, self._make_tools())
            if result.errors:
                return answer
            return msgspec.structs.replace(answer, scores={REWARD: result.score})

        return await gather(add_reward, list(zip(answers, self._rows, strict=True)))

    def _scale(self, graded: Mapping[str, Sequence[Answer]]) -> _Scale:
        if isinstance(self._grader, ScoreModelGrader):
            return _Scale(*self._grader.bounds)
        found = [score for answers in graded.values() for score in map(_score, answers)]
        rewards = [score for score in found if score is not None]
        return _Scale(min([0.0, *rewards]), max([1.0, *rewards]))


@dataclass(frozen=True)
class _Scale:
    """The range of rewards, which reports show as 0 to 100 points."""

    low: float
    high: float

    def apply(self, answer: Answer) -> Answer:
        """Return the answer with its reward from 0 to 1."""
        score = _score(answer)
        if score is None:
            return answer
        part = (score - self.low) / (self.high - self.low)
        return msgspec.structs.replace(answer, scores={REWARD: part})

    @property
    def notes(self) -> list[Statement]:
        """A note on the points, if they are not the rewards themselves."""
        if (self.low, self.high) == (0, 1):
            return []
        return [state("rewards_scaled", low=self.low, high=self.high)]


def _score(answer: Answer) -> float | None:
    return answer.scores.get(REWARD)


def _kind(answers: Mapping[str, Sequence[Answer]]) -> Literal["binary", "continuous"]:
    scores = {_score(answer) for found in answers.values() for answer in found}
    return "binary" if scores <= {None, 0.0, 1.0} else "continuous"
