"""Answers of several models to the same held-out rows, with their scores.

A `Comparison` is what an evaluation measured. It has one column per model or prompt and one row
per held-out example. Statistics, verdict, gate and report are computed from it. The API imports
this module, so it does without numpy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, Self

import msgspec

from service.verdict.results import Statement

BASE = "base"
PROMPT = "prompt"
TUNED = "tuned"

VERSION = 1


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer of one column to one row.

    `scores` maps the name of a metric to a score from 0 to 1; binary metrics score 0 or 1. A
    metric that could not be computed is absent, null or NaN. `error` is the code of the reason why
    there is no answer; such an answer has no scores and is left out of the statistics. An empty or
    truncated answer is not an error: it has scores. `tool_calls` are those that the engine found in
    the answer, in the shape of chat completions.
    """

    text: str
    tool_calls: list[dict[str, Any]] = []
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_s: float | None = None
    scores: dict[str, float | None] = {}
    passed: bool | None = None
    error: str | None = None

    @property
    def full_text(self) -> str:
        """Text of the answer, with its tool calls."""
        return with_calls(self.text, self.tool_calls)


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A held-out example and its answers by column name.

    `line` is the line of the held-out file, from 1; null if the row comes from elsewhere. `prompt`
    is the list of chat messages without the system prompt and examples of the column "prompt".
    `cluster` is equal for rows that ask the same question, such as a digest of the last user
    message: their answers are not independent. `language` is the BCP-47 tag of the reference.
    """

    line: int | None = None
    prompt: list[dict[str, Any]]
    reference: str
    cluster: str
    language: str | None = None
    answers: dict[str, Answer]


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model, checkpoint or prompt that answered the rows.

    The names "base", "prompt" and "tuned" have a fixed meaning: the base model, the base model with
    the best prompt, and the final model of the job. Any other column is a checkpoint, such as
    "ckpt-step-12". `example_lines` are the lines of the training file that the prompt shows as
    examples; `nearest_examples` is the number of training rows that it shows because they are most
    similar to the question. If `is_baseline`, `system_prompt` is the user's own. `loss` is the
    teacher-forced loss on the reference answers in nats per token; `token_accuracy` is the share of
    their tokens that the model would have chosen.
    """

    name: str
    model: str
    step: int | None = None
    system_prompt: str | None = None
    example_lines: list[int] = []
    nearest_examples: int = 0
    is_baseline: bool = False
    loss: float | None = None
    token_accuracy: float | None = None


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A metric by which answers are scored, such as "chrf", "exact", "label" or "language".

    The score of the metric "language" is 1 if the answer is in the expected language.
    """

    name: str
    kind: Literal["continuous", "binary"]
    higher_is_better: bool = True
    primary: bool = False


class LanguageForgetting(msgspec.Struct, frozen=True, kw_only=True):
    """Mean scores from 0 to 1 on the general set's rows in one language, before and after."""

    language: str
    rows: int
    base: float
    tuned: float


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """Change of the scores on the general set through the training.

    `change` is the mean of tuned minus base, from -1 to 1, with its 95% confidence interval; it is
    negative if the model forgot something.
    """

    languages: list[LanguageForgetting]
    rows: int
    change: float
    low: float
    high: float


class LeakedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A training row whose personal data the tuned model returned, without the data itself."""

    line: int
    kinds: list[str]


class Memorization(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Training text that the tuned model returns and the base model does not.

    `verbatim` and `near` count probed rows that the model continues word for word or almost so; a
    row counts once. `verbatim_lines` and `near_lines` list lines of the training file, and may be
    truncated.
    """

    canaries_planted: int = 0
    canaries_returned: int = 0
    rows_probed: int = 0
    verbatim: int = 0
    near: int = 0
    verbatim_lines: list[int] = []
    near_lines: list[int] = []
    personal: list[LeakedRow] = []

    @property
    def returned(self) -> int:
        """Number of canaries and training rows that the model returned, verbatim or nearly."""
        return self.canaries_returned + self.verbatim + self.near


class Retrieval(msgspec.Struct, frozen=True, kw_only=True):
    """Signs that the task needs facts, which a search over the training rows could return.

    Of `rows` held-out rows, `facts` have a reference that is a fact, and `only_facts` one that adds
    little else to the question. For `found`, a BM25 search over the training rows returns a right
    answer. The tuned model answers `seen_right` of
    `seen_rows` training rows right, and `unseen_right` of `unseen_rows` held-out rows.
    """

    rows: int
    facts: int
    found: int
    seen_rows: int
    seen_right: int
    unseen_rows: int
    unseen_right: int
    only_facts: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that an evaluation measured.

    `created_at` is in Unix seconds. `base_verified` is true if the model of the column "base" was
    shown to be the untrained base model. `parity` is "checked" if the engine's scores for the tuned
    model were compared with the trainer's. `notes` are sentences for the reader of the report,
    and `note_details` their codes in the same order.
    An evaluation has at most `most_rows` rows. `overlapping` held-out rows were left out because
    they are in the training data; null if that is unknown. If `chosen_on_rows`, the loss on the
    rows chose the model among checkpoints or trials.
    """

    version: int = VERSION
    job_id: str | None = None
    model: str
    base_model: str
    created_at: int
    columns: list[Column]
    metrics: list[Metric]
    rows: list[Row]
    train_rows: int | None = None
    base_verified: bool = False
    parity: Literal["checked", "unchecked"] = "unchecked"
    forgetting: Forgetting | None = None
    memorization: Memorization | None = None
    retrieval: Retrieval | None = None
    notes: list[str] = []
    note_details: list[Statement] = []
    most_rows: int | None = None
    overlapping: int | None = 0
    chosen_on_rows: bool = False

    def __post_init__(self) -> None:
        _require_unique("column", (column.name for column in self.columns))
        _require_unique("metric", (metric.name for metric in self.metrics))
        primary = [metric.name for metric in self.metrics if metric.primary]
        if len(primary) != 1:
            raise ValueError(f"exactly one metric must be primary, but {len(primary)} are")
        known = {column.name for column in self.columns}
        for place, row in enumerate(self.rows, 1):
            if unknown := row.answers.keys() - known:
                raise ValueError(f"row {place} has an answer of an unknown column: {min(unknown)}")

    @property
    def primary(self) -> Metric:
        """Metric that decides the verdict."""
        return next(metric for metric in self.metrics if metric.primary)

    @property
    def checkpoints(self) -> list[Column]:
        """Columns of checkpoints, in the order of their steps."""
        found = [c for c in self.columns if c.name not in {BASE, PROMPT, TUNED}]
        return sorted(found, key=lambda column: column.step or 0)

    def column(self, name: str) -> Column | None:
        """Return the column of this name; None if the evaluation has none."""
        return next((column for column in self.columns if column.name == name), None)

    def to_json(self) -> bytes:
        """Return the comparison as JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a comparison from JSON.

        Raises:
            msgspec.ValidationError: The JSON is not a comparison, or is inconsistent.
        """
        return msgspec.json.decode(data, type=cls)


def _require_unique(noun: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two {noun}s are named {name!r}")
        seen.add(name)


def with_calls(text: str, calls: Sequence[dict[str, Any]]) -> str:
    """Join a text and tool calls, which are written as JSON."""
    written = [
        json.dumps(
            {key: call["function"].get(key) for key in ("name", "arguments")}, ensure_ascii=False
        )
        for call in calls
    ]
    return "\n".join(filter(None, [text, *written]))


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Mean tokens and seconds per answer. `latency_s` is null if no answer was timed."""

    column: str
    prompt_tokens: float
    completion_tokens: float
    latency_s: float | None
    n: int

    @property
    def tokens(self) -> float:
        """Mean tokens of prompt and answer together."""
        return self.prompt_tokens + self.completion_tokens


def cost(comparison: Comparison, column: str) -> Cost | None:
    """Return the mean cost of a column's answers. None if it has no answers."""
    answers = [row.answers[column] for row in comparison.rows if column in row.answers]
    answers = [answer for answer in answers if answer.error is None]
    if not answers:
        return None
    timed = [answer.latency_s for answer in answers if answer.latency_s is not None]
    return Cost(
        column=column,
        prompt_tokens=fmean(answer.prompt_tokens for answer in answers),
        completion_tokens=fmean(answer.completion_tokens for answer in answers),
        latency_s=fmean(timed) if timed else None,
        n=len(answers),
    )


@dataclass(frozen=True)
class Pairs:
    """Differences `a` minus `b` by row, positive if `a` is better, and the cluster of each row.

    `rival` is the mean score of `b`, turned around if less is better; 0 if no row has both scores.
    `missing` counts the rows without a score of both columns.
    """

    differences: list[float]
    clusters: list[str]
    rival: float
    missing: int


@dataclass(frozen=True)
class Scores:
    """Scores of a column by row, and the cluster of each row."""

    scores: list[float]
    clusters: list[str]
    missing: int


def pair_scores(
    comparison: Comparison, metric: Metric, a: str, b: str, *, language: str | None = None
) -> Pairs:
    """Return the paired differences between two columns, of all rows or those of a language."""
    sign = 1.0 if metric.higher_is_better else -1.0
    differences, clusters, others, missing = [], [], [], 0
    for row in _rows(comparison, language):
        one, other = score_of(row, a, metric), score_of(row, b, metric)
        if one is None or other is None:
            missing += 1
            continue
        differences.append(sign * (one - other))
        clusters.append(row.cluster)
        others.append(other if metric.higher_is_better else 1 - other)
    return Pairs(differences, clusters, fmean(others) if others else 0.0, missing)


def scores_of(comparison: Comparison, metric: Metric, column: str) -> Scores:
    """Return the scores of a column."""
    rows = comparison.rows
    found = [(score_of(row, column, metric), row.cluster) for row in rows]
    kept = [(score, cluster) for score, cluster in found if score is not None]
    return Scores([score for score, _ in kept], [c for _, c in kept], len(rows) - len(kept))


def score_of(row: Row, column: str, metric: Metric) -> float | None:
    """Return the score of a column's answer to a row; None if it has no finite score."""
    answer: Answer | None = row.answers.get(column)
    if answer is None or answer.error is not None:
        return None
    score = answer.scores.get(metric.name)
    return score if score is not None and math.isfinite(score) else None


def _rows(comparison: Comparison, language: str | None) -> list[Row]:
    return [row for row in comparison.rows if language is None or row.language == language]
