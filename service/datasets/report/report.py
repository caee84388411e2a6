"""The report of a data set: plain values, made once and shown in several forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from service.datasets.checks.issues import Issue
from service.datasets.checks.validate import ValidationReport
from service.datasets.facts import SourceFacts


class Histogram(msgspec.Struct, frozen=True):
    """`counts[i]` values lie in [edges[i], edges[i + 1]), the last bin closed."""

    edges: list[float]
    counts: list[int]


class Distribution(msgspec.Struct, frozen=True):
    """How a number of each row is spread."""

    min: int
    p50: int
    p95: int
    max: int
    mean: float
    total: int
    histogram: Histogram


class TokenStats(msgspec.Struct, frozen=True):
    """One tokenizer's view. Counts are of `rows`, a sample where the file is large.

    Tokens of texts, and five a message for what a chat template adds. `truncated_rows` and
    `unlearnable_rows` are by context length.
    """

    model: str
    rows: int
    sampled: bool
    tokens: Distribution
    supervised_tokens: Distribution
    truncated_rows: dict[int, int]
    unlearnable_rows: dict[int, int]


class TokenizerFit(msgspec.Struct, frozen=True):
    """How well a model's tokenizer knows a language; 0.25 tokens a character is English."""

    model: str
    language: str
    rows: int
    tokens_per_character: float
    byte_fallback_share: float


class GroupStats(msgspec.Struct, frozen=True):
    """Groups of rows that are alike. `extra_rows` could go; `examples` are their lines."""

    groups: int
    rows: int
    extra_rows: int
    examples: list[list[int]]


class OverlapStats(msgspec.Struct, frozen=True):
    """Rows of the validation file that stand in the training file."""

    rows: int
    exact: int
    near: int
    same_prompt: int
    examples: list[list[int]]  # [validation line, training line]


class Share(msgspec.Struct, frozen=True):
    """How many rows a language or a script has."""

    name: str
    rows: int
    share: float


class PersonalData(msgspec.Struct, frozen=True):
    """One kind of personal data: how often, in how many rows, and where, never what."""

    kind: str
    count: int
    places: list[tuple[int, str]]  # line, JSON pointer


class SystemPrompts(msgspec.Struct, frozen=True):
    """System prompts; `top_share` is the share of all rows with the commonest."""

    distinct: int
    rows_without: int
    top_share: float


class Advice(msgspec.Struct, frozen=True):
    """What to do, why, and on which evidence; the first is the first to do."""

    code: str
    title: str
    text: str
    evidence: dict[str, float]
    lines: list[int] = msgspec.field(default_factory=list)


class Report(msgspec.Struct, frozen=True):
    """All that is told of a data set. Line numbers are of the file as uploaded."""

    version: int
    source: SourceFacts
    validation: ValidationReport
    rows: int
    turns: Distribution | None
    characters: Distribution | None
    answer_characters: Distribution | None
    tokens: list[TokenStats]
    tokenizer_fit: list[TokenizerFit]
    languages: list[Share]
    scripts: list[Share]
    exact_duplicates: GroupStats
    near_duplicates: GroupStats
    contradictions: GroupStats
    overlap: OverlapStats | None
    personal_data: list[PersonalData]
    system_prompts: SystemPrompts
    findings: tuple[Issue, ...]
    finding_counts: Mapping[str, int]
    advice: list[Advice]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return built
