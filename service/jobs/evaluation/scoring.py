"""Scores answers with the graders that fit the data's own answers.

Texts may be scored by a judge: a model that compares each answer with the row's own, in both
orders. It must first be right more often than chance (`Calibration`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, NoReturn

import msgspec

from service.core.tasks import gather
from service.grading.default_graders import applies, graders_for, item_of
from service.grading.examples import Example, Row, examples_of
from service.grading.grade import grade
from service.grading.model_graders import GraderTools, Judge, JudgeFailed, PythonRunner, pairwise
from service.grading.results import Sample
from service.grading.schemas import ChrfGrader, SingleGrader, ToolCallGrader
from service.grading.tool_call import find_written_calls
from service.verdict.comparison import Answer, Metric
from service.verdict.intervals import wilson_interval
from service.verdict.memorization import given_text

_WON: Final = {"a": 1.0, "tie": 0.5, "b": 0.0}
_MOST_PAIRS: Final = 50  # to calibrate by; 41 of 50 are 69 to 90% with 95% confidence
_LEAST_PAIRS: Final = 10


class Pair(NamedTuple):
    """Two answers to a prompt, of which the first is known to be better."""

    prompt: str
    better: str
    worse: str


class Calibration(NamedTuple):
    """How often a judge preferred the better of two answers; a tie counts as half.

    `is_human` is whether people said which is better. Otherwise, the worse one answers another
    question.
    """

    right: float
    pairs: int
    is_human: bool

    @property
    def is_usable(self) -> bool:
        """Whether the judge is right more often than at random (Wilson's interval)."""
        if not self.pairs:
            return False
        return wilson_interval(self.right, self.pairs)[0] > 0.5


class AnswerJudge:
    """Compares answers with the rows' own answers by asking a model."""

    def __init__(self, judge: Judge, model: str) -> None:
        self._model = model
        self._judge = judge
        self._judged: dict[Pair, float | None] = {}

    @property
    def unusable(self) -> int:
        """Number of pairs for which the judge gave no usable answer."""
        return sum(won is None for won in self._judged.values())

    async def score(self, row: Example, answer: str) -> float | None:
        """Return 1 if an answer is better than the row's own, 0 if it is worse, 0.5 for a tie.

        Returns None if the judge gives no usable answer.
        """
        if answer.strip() == row.answer.strip():
            return _WON["tie"]
        if not answer.strip():
            return _WON["b"]
        return await self._won(Pair(given_text(row.prompt), answer, row.answer))

    async def calibrate(
        self, rows: Sequence[dict[str, Any]], seed: int, labeled: Sequence[Pair] = ()
    ) -> Calibration:
        """Compare the judge with people if they said what they prefer, or else with the rows.

        `labeled` are the answers of an earlier evaluation that people compared.
        """
        pairs, is_human = [*labeled, *_preferences(rows)], True
        if len(pairs) < _LEAST_PAIRS:
            pairs, is_human = list(_mismatched(examples_of(rows))), False
        draw = random.Random(seed)  # noqa: S311 - reproducible, not a key
        pairs = draw.sample(pairs, min(_MOST_PAIRS, len(pairs)))
        # An unusable answer of the judge does not count as right.
        right = [won or 0.0 for won in await gather(self._won, pairs)]
        return Calibration(sum(right), len(pairs), is_human)

    async def _won(self, pair: Pair) -> float | None:
        if pair not in self._judged:
            try:
                found = await pairwise(self._judge, self._model, *pair)
            except JudgeFailed:
                self._judged[pair] = None
            else:
                self._judged[pair] = _WON[found.winner]
        return self._judged[pair]


def _preferences(rows: Sequence[dict[str, Any]]) -> Iterator[Pair]:
    """Yield the pairs of answers whose better one was chosen by people."""
    judged: defaultdict[str, dict[bool, str]] = defaultdict(dict)
    for row in rows:
        if "preferred_output" in row:
            prompt = given_text(row["input"]["messages"])
            better, worse = (
                given_text(row[name]) for name in ("preferred_output", "non_preferred_output")
            )
            yield Pair(prompt, better, worse)
        elif row.get("label") is not None:
            *asked, answer = row["messages"]
            judged[given_text(asked)][row["label"]] = given_text([answer])
    for prompt, answers in judged.items():
        if len(answers) == 2:
            yield Pair(prompt, answers[True], answers[False])


def _mismatched(examples: Sequence[Example]) -> Iterator[Pair]:
    """Yield each answer with one that belongs to another question."""
    for one, other in zip(examples, [*examples[1:], *examples[:1]], strict=True):
        if one.answer.strip() and other.answer.strip() not in ("", one.answer.strip()):
            yield Pair(given_text(one.prompt), one.answer, other.answer)


JUDGE: Final = "judge"
"""Name of the metric of a judge: how often an answer is preferred to the row's own."""

_ON_A_SCALE: Final = (ChrfGrader, ToolCallGrader)


class Scoring:
    """The graders of one comparison. The score of the first decides the verdict."""

    def __init__(self, rows: Sequence[Row], sandbox: PythonRunner) -> None:
        """Choose the graders that fit the answers of all training and held-out rows."""
        self._graders = graders_for(rows)
        self._tools = GraderTools(judge=_no_judge, sandbox=sandbox)
        self.judge: AnswerJudge | None = None
        """The judge that decides instead of chrF, if there is one."""

    @property
    def metrics(self) -> list[Metric]:
        """All metrics. The first is primary."""
        found = [_metric(grader) for grader in self._graders]
        if self.judge is not None:
            found.insert(0, Metric(name=JUDGE, kind="continuous"))
        return [msgspec.structs.replace(found[0], primary=True), *found[1:]]

    @property
    def primary(self) -> str:
        """Name of the metric that decides the verdict."""
        return self._graders[0].name if self.judge is None else JUDGE

    @property
    def is_of_text(self) -> bool:
        """Whether answers are compared as texts, for which a judge may decide."""
        return isinstance(self._graders[0], ChrfGrader)

    async def score(self, answers: Sequence[Answer], rows: Sequence[Example]) -> list[Answer]:
        """Return the answers with their scores."""

        async def one(pair: tuple[Answer, Example]) -> Answer:
            return await self._score(*pair)

        return await gather(one, list(zip(answers, rows, strict=True)))

    async def _score(self, answer: Answer, row: Example) -> Answer:
        if answer.error is not None:
            return answer
        sample = sample_of(answer, row)
        scores: dict[str, float | None] = {}
        passed: bool | None = None
        for grader in self._graders:
            if not applies(grader, row):
                continue
            result = await grade(grader, item_of(row), sample, self._tools)
            if result.errors:
                continue
            scores[grader.name] = result.score
            if grader.name == self.primary and not isinstance(grader, _ON_A_SCALE):
                passed = result.passed
        if self.judge is not None and row.answer.strip():
            scores[JUDGE] = await self.judge.score(row, answer.text)
        return msgspec.structs.replace(answer, scores=scores, passed=passed)


def sample_of(answer: Answer, row: Example) -> Sample:
    """Return an answer as graders read it, with the tool calls that its text contains."""
    # A prompt may show calls in another form than the template's, which no parser expects.
    calls = answer.tool_calls or (find_written_calls(answer.text) if row.tools else [])
    return Sample.from_text(
        answer.text, tool_calls=calls or None, finish_reason=answer.finish_reason
    )


def _metric(grader: SingleGrader) -> Metric:
    kind: Literal["continuous", "binary"] = (
        "continuous" if isinstance(grader, _ON_A_SCALE) else "binary"
    )
    return Metric(name=grader.name, kind=kind)


async def _no_judge(
    model: str, messages: list[dict[str, Any]], *, params: dict[str, Any]
) -> NoReturn:
    raise JudgeFailed("model_grader_server_error", "An evaluation of a job has no judge.")
