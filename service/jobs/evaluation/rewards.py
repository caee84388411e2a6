"""The evaluation of a job with a grader: the rewards of base and tuned model on held-out prompts.

The rows have no answers, so nothing is compared with them: there are no losses, no best prompt, and
no memorized answers. Forgetting is measured as usual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from service.core import ids
from service.core.tasks import gather
from service.grading.examples import Example
from service.grading.grade import grade
from service.grading.model_graders import GraderTools
from service.grading.results import Sample
from service.grading.schemas import Grader, ScoreModelGrader
from service.grading.tool_call import find_written_calls
from service.jobs.evaluation.columns import Columns
from service.jobs.evaluation.engine import EvaluationEngine
from service.jobs.evaluation.examples import cluster_of
from service.jobs.evaluation.job_data import HeldOut, JobFiles, rows_of
from service.jobs.evaluation.measure import row_notes
from service.jobs.evaluation.probes import measure_forgetting
from service.jobs.evaluation.records import JobEvaluation, Phase, Progress
from service.jobs.records import JobRecord
from service.verdict.comparison import BASE, TUNED, Answer, Column, Comparison, Metric, Row


@dataclass(frozen=True)
class Prompts:
    """The prompts `held_out` as examples without an answer, and what the grader knows about each.

    `items` has the latter by line, and `trained` is the number of training rows.
    """

    examples: list[Example]
    items: dict[int, dict[str, Any]]
    trained: int
    held_out: HeldOut


def read_prompts(files: JobFiles, held_out: HeldOut) -> Prompts:
    """Read the held-out prompts of a job."""
    rows = [] if files.training is None else list(rows_of(files.training))
    source = rows if held_out.source in (None, files.training) else list(rows_of(held_out.source))
    found = {place + 1: msgspec.json.decode(source[place]) for place in held_out.places}
    return Prompts(
        [_example(line, row) for line, row in found.items()],
        {line: row["item"] for line, row in found.items()},
        len(rows) - len(held_out.trained_without),
        held_out,
    )


def _example(line: int, row: dict[str, Any]) -> Example:
    return Example(line, tuple(row["messages"]), "", tools=tuple(row.get("tools") or ()))


REWARD: Final = "reward"


class RewardEvaluator:
    """Measures one finished job by its grader. `tools` are made for each answer."""

    def __init__(
        self,
        evaluation: JobEvaluation,
        job: JobRecord,
        grader: Grader,
        *,
        rows: Sequence[Example],
        most_rows: int,
        prompts: Prompts,
        columns: Columns,
        engine: EvaluationEngine,
        progress: Progress,
        tools: Callable[[], GraderTools],
    ) -> None:
        self._evaluation = evaluation
        self._job = job
        self._grader = grader
        self._rows = rows
        self._most_rows = most_rows
        self._prompts = prompts
        self._columns = columns
        self._engine = engine
        self._enter = progress.enter
        self._tools = tools

    async def compare(self, *, is_base: bool, parity: bool) -> Comparison:
        """Ask and grade both models. Raises EngineAway.

        `is_base` is whether the engine's base model was shown to be that of the trainer, and
        `parity` whether their scores were compared.
        """
        await self._enter(Phase.ANSWERS)
        plain = [list(row.prompt) for row in self._rows]
        models = {BASE: self._job.model, TUNED: self._evaluation.model}
        given = {
            name: await self._columns.answers(name, model, plain) for name, model in models.items()
        }
        graded = {name: await self._graded(answers) for name, answers in given.items()}
        scale = self._scale(graded)
        answers = {name: [scale.apply(one) for one in found] for name, found in graded.items()}
        await self._enter(Phase.FORGETTING)
        forgetting = await measure_forgetting(self._engine, self._evaluation.model, len(self._rows))
        held_out = self._prompts.held_out
        notes = row_notes(self._rows, self._prompts.examples, held_out.selecting, self._job.seed)
        return Comparison(
            job_id=self._job.id,
            model=self._evaluation.model,
            base_model=self._job.model,
            created_at=ids.now_s(),
            columns=[Column(name=name, model=model) for name, model in models.items()],
            metrics=[Metric(name=REWARD, kind=_kind(answers), primary=True)],
            rows=self._compared(answers),
            train_rows=self._prompts.trained or None,
            base_verified=is_base,
            parity="checked" if parity else "unchecked",
            forgetting=forgetting,
            notes=[*notes, *scale.notes],
            most_rows=self._most_rows,
            overlapping=held_out.overlapping,
            chosen_on_rows=self._job.chose_by_test_rows,
        )

    async def _graded(self, answers: Sequence[Answer]) -> list[Answer]:
        async def one(pair: tuple[Answer, Example]) -> Answer:
            return await self._reward(*pair)

        return await gather(one, list(zip(answers, self._rows, strict=True)))

    async def _reward(self, answer: Answer, row: Example) -> Answer:
        """Return the answer with its reward, or without a score if it cannot be graded."""
        if answer.error is not None:
            return answer
        calls = answer.tool_calls or (find_written_calls(answer.text) if row.tools else [])
        sample = Sample.from_text(
            answer.text, tool_calls=calls or None, finish_reason=answer.finish_reason
        )
        item = self._prompts.items[row.line]
        result = await grade(self._grader, item, sample, self._tools())
        if result.errors:
            return answer
        return msgspec.structs.replace(answer, scores={REWARD: result.score})

    def _scale(self, graded: Mapping[str, Sequence[Answer]]) -> Scale:
        if isinstance(self._grader, ScoreModelGrader):
            return Scale(*self._grader.bounds)
        found = [score for answers in graded.values() for score in map(_score, answers)]
        rewards = [score for score in found if score is not None]
        return Scale(min([0.0, *rewards]), max([1.0, *rewards]))

    def _compared(self, answers: Mapping[str, Sequence[Answer]]) -> list[Row]:
        return [
            Row(
                line=row.line,
                prompt=[dict(message) for message in row.prompt],
                reference="",
                cluster=cluster_of(row),
                answers={name: found[place] for name, found in answers.items()},
            )
            for place, row in enumerate(self._rows)
        ]


class Scale(msgspec.Struct, frozen=True):
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
    def notes(self) -> list[str]:
        """What a reader has to know about the points."""
        if (self.low, self.high) == (0, 1):
            return []
        return [f"Rewards from {self.low:g} to {self.high:g} are shown as 0 to 100 points."]


def _score(answer: Answer) -> float | None:
    return answer.scores.get(REWARD)


def _kind(answers: Mapping[str, Sequence[Answer]]) -> Literal["binary", "continuous"]:
    scores = {_score(answer) for found in answers.values() for answer in found}
    return "binary" if scores <= {None, 0.0, 1.0} else "continuous"
